"""Pictures of a soak, by gnuplot: SVG files."""

import os
import shutil
import subprocess

MB = 1024 * 1024
MOST = 120      # points of a line

COLOURS = ("#1b6ca8", "#d1495b", "#3a7d44", "#edae49", "#6a4c93", "#00798c", "#8d6b4f", "#e36397",
           "#5c5c5c", "#9bc53d", "#2b2d42", "#f26419", "#a06cd5", "#33a1fd")

HEAD = """
set terminal svg size 900,500 dynamic font 'sans,12' background 'white'
set output '{path}'
set title '{title}'
set xlabel 'minutes'
set ylabel '{ylabel}'
set yrange [0:*]
set grid lc rgb '#dddddd'
set key outside right top samplen 1 spacing 1.1 font 'sans,10' noenhanced
"""


def thin(points):
    return points[::-(-len(points) // MOST)]


def plot(directory, name, title, ylabel, lines):
    """Draw lines: pairs of a name (empty: not in the key) and points."""
    if not lines:
        return
    path = os.path.join(directory, name + ".svg")
    styles, data, colours = [], [], {}
    for label, colour, points in lines:
        number = colours.setdefault(colour, len(colours) + 1)
        styles.append("'-' with lines lw 1.5 lt %d %s" % (
            number, "title '%s'" % label if label else "notitle"))
        data += ["%.2f %.3f" % (t / 60, value / MB) for t, value in thin(points)] + ["e"]
    script = HEAD.format(path=path, title=title, ylabel=ylabel) + "".join(
        "set linetype %d lc rgb '%s'\n" % pair for pair in enumerate(COLOURS, 1)) + "plot " + ", ".join(styles) + "\n"
    subprocess.run(["gnuplot"], input=script + "\n".join(data) + "\n", text=True, check=True)


def draw(samples, directory):
    """Draw memory by process, and sizes of tables and of indexes."""
    if not shutil.which("gnuplot"):
        print("there is no gnuplot: no pictures")
        return
    named, lines = set(), []
    for (kind, _), points in sorted(samples.processes.items()):
        if len(points) > 3:
            label = "" if kind in named else kind
            named.add(kind)
            lines.append((label, kind, [(t, own) for t, _, _, own in points]))
    plot(directory, "soak-memory", "Own memory of each process", "MB", lines)
    for kind, what in (("r", "tables"), ("i", "indexes")):
        rows = [(name, points) for (name, k), points in samples.relations.items()
                if k == kind and max(p[1] for p in points) >= 256 * 1024]
        rows.sort(key=lambda row: -row[1][-1][1])
        plot(directory, "soak-" + what, "Sizes of " + what, "MB",
             [(name, name, [(p[0], p[1]) for p in points]) for name, points in rows[:14]])

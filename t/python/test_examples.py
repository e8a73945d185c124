"""The examples of clients/python/README.md and docs/*.md in Python do what they show.

A block marked "py" is a program; a block marked "text" or "console" after it is what
it prints."""

import glob
import os
import re
import subprocess
import sys
import unittest

from support import LONG, create_extension

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def examples(path):
    """The programs of a file: line, text, output."""
    with open(path, encoding="utf8") as file:
        text = file.read()
    found, last = [], None
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
        mark, body = match.groups()
        if mark == "py":
            last = [text.count("\n", 0, match.start()) + 1, body, None]
            found.append(last)
        else:
            if last is not None and mark in ("text", "console"):
                last[2] = body
            last = None
    return found


class Examples(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        create_extension()


def add(path, line, body, output):
    def test(self):
        done = subprocess.run([sys.executable, "-W", "default", "-c", body], timeout=LONG, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("Warning", done.stderr)
        if output is not None:
            self.assertEqual(done.stdout, output)

    name = f"test_{os.path.relpath(path, TOP)}_line_{line}"
    setattr(Examples, re.sub(r"\W", "_", name), test)


for path in [f"{TOP}/clients/python/README.md", *sorted(glob.glob(f"{TOP}/docs/*.md"))]:
    for example in examples(path):
        add(path, *example)

"""Does a series of samples grow without bound?

Looked at is the second half of a run, since caches and free space fill at its
beginning, in twelve blocks.  The slope is the median of the slopes between all
pairs of blocks (Theil and Sen), which single peaks do not move much; of two,
that of the least values of the blocks and that of the largest, the smaller one
counts, so that the sawtooth of VACUUM is no growth.  A series grows if that
slope adds, over the half, more than a tenth of the median and more than a
floor, and if the last blocks lie above the first ones by half as much.
"""

import statistics

BLOCKS = 12


def slope(points):
    """The median slope of pairs (time, value)."""
    return statistics.median(
        (b[1] - a[1]) / (b[0] - a[0]) for n, a in enumerate(points) for b in points[n + 1:])


def blocks(points, choose):
    """One value for each block of the points, at its place."""
    size = len(points) / BLOCKS
    return [(n, choose(value for _, value in points[int(n * size):int((n + 1) * size)]))
            for n in range(BLOCKS)]


def grows(points, floor, share=0.1):
    """Return by how much the second half grows; 0 if it does not."""
    if not points:
        return 0
    middle = (points[0][0] + points[-1][0]) / 2
    half = [point for point in points if point[0] >= middle]
    if len(half) < BLOCKS:
        return 0
    allowed = max(floor, share * statistics.median(value for _, value in half))
    added = []
    for choose in (min, max):
        chosen = blocks(half, choose)
        third = BLOCKS // 3
        ends = (statistics.median(value for _, value in chosen[-third:])
                - statistics.median(value for _, value in chosen[:third]))
        by = slope(chosen) * (BLOCKS - 1)
        added.append(by if by > allowed and ends > allowed / 2 else 0)
    return min(added)

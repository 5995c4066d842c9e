"""The engraved lines of a certificate: waves for its border, a rosette for its seal.

As data of SVG paths; lengths are millimetres. The template puts them together and colours them.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

WAVE_WIDTH, WAVE_HEIGHT = 9.0, 5.0
ROSETTE_WIDTH = 34.0


@cache
def wave() -> str:
    """One period of six interlaced waves, as the data of a path; side by side they make a band."""
    half, middle = WAVE_WIDTH / 2, WAVE_HEIGHT / 2
    path = ""
    for amplitude in (0.55, 1.15, 1.75):
        for sign in (1, -1):
            path += f"M0 {middle}"
            for start, side in ((0.0, sign), (half, -sign)):
                # The cubic that comes closest to half a wave of a sine.
                peak = side * amplitude * 4 / 3
                points = ((0.3642, peak), (0.6358, peak), (1.0, 0.0))
                path += "C" + " ".join(
                    f"{start + half * x:.3f} {middle + y:.3f}" for x, y in points
                )
    return path


@cache
def rosette() -> str:
    """Rings of interlaced loops, as on banknotes, as the data of a path."""
    centre = ROSETTE_WIDTH / 2
    path = ""
    for petals, depth, turns in ((24, 0.06, 2), (16, 0.16, 4)):
        steps = petals * 8
        for turn in range(turns):
            corners = []
            for step in range(steps):
                angle = 2 * math.pi * step / steps
                swing = math.cos(petals * angle + 2 * math.pi * turn / turns)
                radius = (centre - 0.2) * (1 - depth + depth * swing)
                corners.append(
                    (centre + radius * math.cos(angle), centre + radius * math.sin(angle))
                )
            # From the middle of one side to the middle of the next, each corner rounded.
            (x, y), (next_x, next_y) = corners[-1], corners[0]
            path += f"M{(x + next_x) / 2:.2f} {(y + next_y) / 2:.2f}"
            for (x, y), (next_x, next_y) in pairwise([*corners, corners[0]]):
                path += f"Q{x:.2f} {y:.2f} {(x + next_x) / 2:.2f} {(y + next_y) / 2:.2f}"
    return path

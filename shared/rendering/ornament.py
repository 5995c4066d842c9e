"""The engraved lines of a certificate: waves for its border, a rosette for its seal.

As data of SVG paths; lengths are millimetres. The template puts them together and colours them.
"""

from __future__ import annotations

import math
from functools import cache

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
    """Rings of interlaced loops, as on banknotes."""
    centre = ROSETTE_WIDTH / 2
    path = ""
    for petals, depth, turns, steps in ((24, 0.06, 2, 240), (16, 0.16, 4, 240)):
        for turn in range(turns):
            points = []
            for step in range(steps):
                angle = 2 * math.pi * step / steps
                swing = math.cos(petals * angle + 2 * math.pi * turn / turns)
                radius = (centre - 0.2) * (1 - depth + depth * swing)
                x, y = centre + radius * math.cos(angle), centre + radius * math.sin(angle)
                points.append(f"{x:.2f} {y:.2f}")
            path += "M" + "L".join(points) + "z"
    return path

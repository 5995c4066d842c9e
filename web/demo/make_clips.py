"""Draws the two short films of the demo course. Run by hand when they change:

pip install imageio-ffmpeg && python web/demo/make_clips.py
"""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

import imageio_ffmpeg
from PIL import Image, ImageDraw, ImageFont

SIZE = (640, 360)
RATE = 2
PAPER, INK, BROWN, BLAZE = "#f6f1e4", "#20352b", "#b08a5b", "#d9622b"
FOLDER = Path(__file__).parents[1] / "public" / "demo"

FILMS = {
    "welcome": (180, ["Why read a map at all?", "A dot and a line tell you: this way, now.",
                      "A map tells you what else there is.", "A gentler way up.",
                      "Where to go when the weather turns.", "What that hill over there is called.",
                      "Bring a pencil, a ruler and a map.", "Let us begin."]),
    "three-norths": (300, ["Three norths", "True north: where the earth's axis comes out.",
                           "Grid north: where the map's lines point.",
                           "Magnetic north: where the needle points.",
                           "The needle's north wanders every year.",
                           "Two degrees off: 35 metres in a kilometre.",
                           "The margin of the map tells the difference."]),
}  # fmt: skip


def frame(second: float, length: int, captions: list[str]) -> Image.Image:
    """One picture: a hill in contour lines, a walker on its way up, and what is being said."""
    picture = Image.new("RGB", SIZE, PAPER)
    draw = ImageDraw.Draw(picture)
    for ring in range(1, 12):
        draw.line([_point(ring, step) for step in range(73)], fill=BROWN, width=2 - ring % 2)
    share = second / length
    trail = [_point(11 - 10 * part / 60, 12 + part * 0.55) for part in range(61)]
    draw.line(trail, fill="#c9bfa6", width=3)
    done = trail[: max(2, round(share * 60) + 1)]
    draw.line(done, fill=BLAZE, width=4)
    x, y = done[-1]
    draw.ellipse((x - 7, y - 7, x + 7, y + 7), fill=BLAZE, outline=PAPER, width=2)
    text = captions[min(len(captions) - 1, int(share * len(captions)))]
    draw.rectangle((0, 300, 640, 360), fill=INK)
    draw.text((24, 318), text, fill=PAPER, font=ImageFont.load_default(size=22))
    return picture


def _point(ring: float, step: float) -> tuple[float, float]:
    angle = step * math.tau / 72
    radius = ring * 15 * (1 + 0.16 * math.sin(3 * angle + ring / 4) + 0.09 * math.cos(5 * angle))
    return 330 + radius * 1.7 * math.cos(angle), 150 + radius * 0.82 * math.sin(angle)


def main() -> None:
    """Encode both films with VP9, which every browser plays."""
    for name, (length, captions) in FILMS.items():
        encoder = subprocess.Popen(
            [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-f", "rawvideo",
             "-pix_fmt", "rgb24", "-s", "640x360", "-r", str(RATE), "-i", "-", "-c:v", "libvpx-vp9",
             "-crf", "52", "-b:v", "0", "-g", "300", "-pix_fmt", "yuv420p",
             str(FOLDER / f"{name}.webm")],
            stdin=subprocess.PIPE,
        )  # fmt: skip
        assert encoder.stdin is not None
        for number in range(length * RATE):
            # The walker takes a step every five seconds: still pictures cost next to nothing.
            encoder.stdin.write(frame(number // RATE // 5 * 5, length, captions).tobytes())
        encoder.stdin.close()
        encoder.wait()


if __name__ == "__main__":
    main()

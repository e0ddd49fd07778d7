"""How many faces are found in light of one colour, with the colour in sight and without.

    python -m benchmarks.leaks.coloured_light CLIP...

Some frames of each clip are lit in one colour after another. Of the faces that the built-in detector is
sure of in the frame as it is, those count that it finds in that light at the same place; and what it finds
elsewhere.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from fractions import Fraction
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from streamanon.api import Anonymizer
from streamanon.config import load_config
from streamanon.geometry import overlap
from streamanon.media import coloured_light
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.media.yuv import from_rgb, to_rgb
from streamanon.types import Faces, RawFrame

#: Factors of red, green and blue.
LIGHTS = {
    "as it is": (1, 1, 1),
    "sodium lamp": (1, 0.6, 0.1),
    "under water": (0.25, 0.6, 1),
    "red": (1, 0.15, 0.1),
    "purple": (0.9, 0.2, 1),
    "blue": (0.1, 0.25, 1),
    "green": (0.15, 1, 0.3),
}
#: So many frames of a clip, one in so many.
FRAMES, STEP = 5, 50
#: The scores from which faces count as sure and as found; the overlap of boxes of the same face.
SURE, FOUND, SAME = 0.7, 0.5, 0.4
#: No picture is more saturated.
NEVER, RAMP = 2.0, coloured_light.ENDS - coloured_light.BEGINS


def frames_of(clip: str) -> Iterator[NDArray[np.uint8]]:
    some = itertools.islice(read_frames(clip, probe(clip)), STEP // 2, None, STEP)
    return (to_rgb(frame.picture) for frame in itertools.islice(some, FRAMES))


def found_in(anonymizer: Anonymizer, rgb: NDArray[np.uint8], score: float) -> Faces:
    faces = anonymizer.detector.detect(RawFrame(0, 0, Fraction(1), from_rgb(rgb)))
    return faces[faces.scores >= score]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", metavar="CLIP")
    args = parser.parse_args()
    anonymizer = Anonymizer(load_config(None, []))
    frames = [frame for clip in args.clips for frame in frames_of(clip)]
    sure = [found_in(anonymizer, frame, SURE).boxes for frame in frames]
    print(f"{len(frames)} frames, {sum(map(len, sure))} faces")
    print(
        "| light | found in colour | as in use | elsewhere, in colour | as in use |\n|---|---|---|---|---|"
    )
    for name, factors in LIGHTS.items():
        shares, others = [], []
        for begins in (NEVER, coloured_light.BEGINS):
            with patch.multiple(coloured_light, BEGINS=begins, ENDS=begins + RAMP):
                hits = extra = 0
                for frame, boxes in zip(frames, sure, strict=True):
                    lit = np.rint(frame * np.array(factors, np.float32)).astype(np.uint8)
                    same = overlap(boxes, found_in(anonymizer, lit, FOUND).boxes) > SAME
                    hits, extra = hits + int(same.any(1).sum()), extra + int((~same.any(0)).sum())
            shares.append(hits / sum(map(len, sure)))
            others.append(extra)
        print(f"| {name} | {shares[0]:.0%} | {shares[1]:.0%} | {others[0]} | {others[1]} |", flush=True)


if __name__ == "__main__":
    main()

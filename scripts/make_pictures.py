"""Make the pictures in docs/ from the shipped clip of synthetic people.

    python scripts/make_pictures.py

``before-after.jpg``: two frames of the clip and what comes out. ``geometry.jpg``: one face as three
delegates, the features moved by none, half and all of the way to where each delegate has them.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.api import Anonymizer
from streamanon.cli import DEMO_SEED
from streamanon.config import load_config
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.media.yuv import to_rgb

ROOT = Path(__file__).parent.parent
CLIP = ROOT / "tests" / "data" / "demo.mp4"
FRAMES = (10, 150)
FACE_FRAME = 10
DELEGATES = ("d072", "d105", "d145")
AMOUNTS = (0.0, 0.5, 1.0)
FACE_PX = 220
Image = NDArray[np.uint8]


def before_after() -> Image:
    anonymizer = Anonymizer(load_config(None, [f"identity.seed={DEMO_SEED}"]))
    after = {f.index: to_rgb(f.picture) for f in anonymizer.frames(CLIP) if f.index in FRAMES}
    before = originals()
    rows = [np.hstack([before[index], after[index]]) for index in FRAMES]
    return np.vstack(rows)


def originals() -> dict[int, Image]:
    frames = read_frames(CLIP, probe(CLIP))
    return {f.index: to_rgb(f.picture) for f in frames if f.index in FRAMES}


def geometry() -> Image:
    frame = originals()[FACE_FRAME]
    rows = []
    for delegate in DELEGATES:
        made = []
        for amount in AMOUNTS:
            settings = [f"identity.delegate={delegate}", f"identity.geometry={amount}"]
            made.append(Anonymizer(load_config(None, settings)).image(frame))
        rows.append(np.hstack([face(frame, frame), *(face(frame, image) for image in made)]))
    return np.vstack(rows)


def face(frame: Image, image: Image) -> Image:
    """The largest face of ``frame``, cut out of ``image``."""
    truth = json.loads(CLIP.with_suffix(".json").read_text())["frames"][FACE_FRAME]
    boxes = np.array([one["box"] for one in truth if one["visible"] > 0.95], np.float32)
    x0, y0, x1, y1 = boxes[np.argmax(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))]
    middle, half = ((x0 + x1) / 2, (y0 + y1) / 2), 0.85 * max(x1 - x0, y1 - y0)
    left, top = (max(0, int(value - half)) for value in middle)
    right, bottom = (int(value + half) for value in middle)
    part = image[top:bottom, left:right]
    return np.asarray(cv2.resize(part, (FACE_PX, FACE_PX), interpolation=cv2.INTER_CUBIC), np.uint8)


def main() -> None:
    for name, picture in (("before-after", before_after()), ("geometry", geometry())):
        path = ROOT / "docs" / f"{name}.jpg"
        packed = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
        path.write_bytes(packed.tobytes())
        print(f"wrote {path.relative_to(ROOT)}: {picture.shape[1]}×{picture.shape[0]}")


if __name__ == "__main__":
    main()

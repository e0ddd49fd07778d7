"""Does one key give one person one delegate? On a folder of people's photos, each photo a run of its own.

    python -m benchmarks.identity.identity_key DIR [--epsilon 8]

``DIR`` is laid out as Labeled Faces in the Wild: ``person/photo.jpg``. Printed are the shares of pairs of
photos with the same delegate: of one person, and of two.
"""

from __future__ import annotations

import argparse
import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np

from streamanon.api import Anonymizer
from streamanon.audit.gallery import find_photos, read_photo
from streamanon.config import load_config
from streamanon.identity.assignment import Assigner
from streamanon.media.yuv import from_rgb
from streamanon.types import RawFrame, Target

KEYS = 5
LEAST_CONFIDENCE = 0.55


def drawn(anonymizer: Anonymizer, path: Path, keys: list[bytes]) -> list[str] | None:
    """The delegate by each key; None where no face is found."""
    assert anonymizer.parts is not None
    picture = from_rgb(read_photo(path))
    frame = RawFrame(0, 0, Fraction(1), picture)
    faces = anonymizer.detector.detect(frame)
    if not len(faces.boxes):
        return None
    best = int(np.prod(faces.boxes[:, 2:] - faces.boxes[:, :2], axis=1).argmax())
    target = Target(0, faces.boxes[best], faces.keypoints[best], True)
    measured = anonymizer.parts.mesh.measure(picture, [target])[0]
    if measured.confidence < LEAST_CONFIDENCE:
        return None
    assigners = [Assigner(dataclasses.replace(anonymizer.parts.assigner, key=key)) for key in keys]
    return [assigner.assign(frame, 0, measured).delegate.id for assigner in assigners]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epsilon", type=float, default=8.0)
    args = parser.parse_args()
    anonymizer = Anonymizer(load_config(None, [f"identity.epsilon={args.epsilon}"]))
    rng = np.random.default_rng(0)
    keys = [rng.bytes(32) for _ in range(KEYS)]
    people, delegates = [], []
    for path in find_photos(args.folder):
        found = drawn(anonymizer, path, keys)
        if found is not None:
            people.append(path.parent.name)
            delegates.append(found)
    names, ids = np.array(people), np.array(delegates)
    first, second = np.triu_indices(len(names), 1)
    same = names[first] == names[second]
    agree = (ids[first] == ids[second]).mean(axis=1)
    print(f"{len(names)} photos of {len(set(people))} people, {KEYS} keys, epsilon {args.epsilon:g}")
    print(
        f"same delegate: {agree[same].mean():.3f} of pairs of one person, {agree[~same].mean():.4f} of two"
    )


if __name__ == "__main__":
    main()

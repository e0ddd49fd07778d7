"""Faces painted where they were measured before, so that several draws of a photo cost little."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from streamanon.api import Anonymizer
from streamanon.audit.identities import Cover, Original
from streamanon.audit.pairing import Image
from streamanon.cover.trust import opaque_inside, trusts_mesh
from streamanon.generate import Job
from streamanon.identity.assignment import Assigner
from streamanon.media.yuv import from_rgb, to_rgb, write_rgb
from streamanon.types import Picture, RawFrame, Target


def painted(anonymizer: Anonymizer, originals: Sequence[Original], seed: int | None) -> Cover:
    """Covers the one face that was measured in each photo; photos in which it would not be generated are
    anonymised as ever. ``seed``: of the draws, which differ from photo to photo; None: drawn anew.
    """
    known = {original.path: original for original in originals}
    parts = anonymizer.parts
    if parts is None:
        raise ValueError("the method generates no faces")

    def cover(image: Image, path: Path) -> Image:
        picture, original = from_rgb(image), known[path]
        measured = original.measurement
        target = Target(0, original.face.box, original.face.keypoints, True)
        if not trusts_mesh(anonymizer.config.cover, picture, target, measured, established=False):
            return anonymizer.image(image)
        drawn = None if seed is None else zlib.crc32(f"{seed} {path.name}".encode())
        config = dataclasses.replace(parts.assigner.config, seed=drawn)
        assigner = Assigner(dataclasses.replace(parts.assigner, config=config))
        assignment = assigner.assign(RawFrame(0, 0, Fraction(1), picture), 0, measured)
        painting = parts.generator.paint(picture, [Job(measured, assignment, None)])[0]
        if painting is None:
            return anonymizer.image(image)
        patch = opaque_inside(painting.patch, measured.points)
        planes = tuple(plane.copy() for plane in picture.planes)
        write_rgb(planes, picture, patch.x0, patch.y0, patch.rgb, patch.alpha)
        return to_rgb(Picture(planes, picture.pixel_format, picture.matrix, picture.full_range))

    return cover

"""How many faces a second are made: measured, painted and laid over a picture, several at once. Without
decoding, detection, the choice of delegates and encoding.
"""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from streamanon.api import Anonymizer, SynthesisParts
from streamanon.bench.clips import still
from streamanon.bench.latency import percentiles
from streamanon.errors import ConfigError, StreamanonError
from streamanon.generate import Job
from streamanon.media.yuv import from_rgb
from streamanon.types import Assignment, Geometry, Picture, RawFrame, Target

#: Width and height of the picture, px, and how many faces are made at once.
SIZE, COUNTS = (1920, 1080), (1, 4, 8, 16)
#: The least score of a face.
LEAST_SCORE = 0.5


class NotMadeError(StreamanonError):
    """A face was not found or not painted; nothing is timed."""


def time_faces(anonymizer: Anonymizer, count: int, seconds: float, most: int = 200) -> dict[str, Any]:
    """So many faces at once, for about so many seconds after a first run that is not counted: percentiles
    of a run, ms, and faces a second at the median. Raises :class:`NotMadeError`; ConfigError where the
    anonymizer paints none.
    """
    parts = anonymizer.parts
    if parts is None:
        raise ConfigError("no faces are made with this method; use synthesize")
    picture = from_rgb(still(SIZE, count))
    found = anonymizer.detector.detect(RawFrame(0, 0, Fraction(1), picture))
    found = found[found.scores >= LEAST_SCORE]
    if len(found) != count:
        raise NotMadeError(f"{len(found)} of {count} faces were found, so that nothing was timed")
    targets = [
        Target(number, *one, detected=True)
        for number, one in enumerate(zip(found.boxes, found.keypoints, strict=True))
    ]
    _make(parts, picture, targets)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while not taken or (time.perf_counter() < end and len(taken) < most):
        new = replace(picture)  # another object is another frame, whose planes go to the device anew
        begun = time.perf_counter()
        _make(parts, new, targets)
        taken.append(1000 * (time.perf_counter() - begun))
    found_ms = percentiles(taken)
    return {"milliseconds": found_ms, "faces_per_second": round(1000 * count / found_ms["p50"], 1)}


def _make(parts: SynthesisParts, picture: Picture, targets: list[Target]) -> None:
    jobs = [_job(parts, row, one) for row, one in enumerate(parts.mesh.measure(picture, targets))]
    paintings = [one for one in parts.generator.paint(picture, jobs) if one is not None]
    if len(paintings) != len(jobs):
        raise NotMadeError(f"{len(paintings)} of {len(jobs)} faces were painted, so that nothing was timed")
    canvas = parts.canvas(picture)
    for painting in paintings:
        patch = painting.patch
        canvas.write(patch.x0, patch.y0, patch.rgb, patch.alpha)
    canvas.finish()


def _job(parts: SynthesisParts, row: int, measured: Geometry) -> Job:
    """Each face becomes another delegate, in every run the same."""
    delegates = parts.assigner.gallery.delegates
    feature = np.random.default_rng(row).normal(size=256).astype(np.float32)
    assignment = Assignment(delegates[row % len(delegates)], parts.assigner.config.geometry, feature)
    return Job(measured, assignment, None)

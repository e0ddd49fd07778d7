"""What is timed. From one usual case, one thing is varied at a time: every combination would take hours."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from streamanon.types import METHODS, Method

SIZES = ((640, 360), (1280, 720), (1920, 1080), (3840, 2160))
FACES = (0, 1, 4, 16)
PRECISIONS = ("auto", "fp32")
#: A case whose rounds have taken that long, s, is timed no further: a slow machine needs fewer of them.
MOST_SECONDS = 30.0


@dataclass(frozen=True)
class Case:
    """A clip, processed in one way. ``frames``: of the clip; ``rounds``: how often it is timed, at most."""

    width: int
    height: int
    faces: int
    method: Method
    backend: str
    precision: str
    frames: int
    rounds: int

    @property
    def clip_name(self) -> str:
        return f"{self.width}x{self.height}-{self.faces}-{self.frames}.mp4"

    @property
    def words(self) -> str:
        clip = f"{self.width}x{self.height}, {self.faces} face{'' if self.faces == 1 else 's'}"
        return f"{clip}, {self.method}, {self.backend} {self.precision}"


def another_round(case: Case, seconds: Sequence[float]) -> bool:
    """Whether to time it once more after rounds that took ``seconds`` each."""
    return len(seconds) < case.rounds and sum(seconds) < MOST_SECONDS


def all_cases(backends: Sequence[str], quick: bool) -> list[Case]:
    """``backends``: those that work, in the order of "auto". ``quick``: one small case a backend."""
    if quick:
        return [Case(640, 360, 1, "synthesize", name, "auto", frames=20, rounds=1) for name in backends]
    usual = Case(1920, 1080, 4, "synthesize", backends[0], "auto", frames=100, rounds=3)
    cases = [
        dataclasses.replace(usual, width=width, height=height, faces=faces)
        for width, height in SIZES
        for faces in FACES
    ]
    cases += [dataclasses.replace(usual, method=method) for method in METHODS]
    cases += [
        dataclasses.replace(usual, backend=backend, precision=precision)
        for backend in backends
        for precision in PRECISIONS
    ]
    return list(dict.fromkeys(cases))

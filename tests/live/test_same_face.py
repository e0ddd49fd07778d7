"""A person keeps their synthetic face over a reconnect, as long as they are remembered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import av
import pytest
from av.video.frame import VideoFrame
from live_scenes import Unhurried, an_info, wait_for

import streamanon.live.backoff as backoff
from streamanon.api import Anonymizer
from streamanon.config import load_config
from streamanon.errors import SourceError
from streamanon.identity.assignment import Sight
from streamanon.live.camera import Camera, CameraSettings
from streamanon.live.connection import Connection, Got, SourceOptions
from streamanon.live.states import Journal
from streamanon.live.targets import target_of
from streamanon.types import Assignment, Geometry, RawFrame

DEMO = Path(__file__).parents[1] / "data" / "demo.mp4"
SIZE, RATE = (640, 360), 25
#: The clip's frames that two connections deliver, and how long the source is away between them, s.
PARTS, AWAY_SECONDS = ((0, 13), (100, 112)), 20.0


class _Part:
    """A connection that delivers some frames, stamped from ``begin`` (s) on, and breaks."""

    has_sound = False

    def __init__(self, frames: list[VideoFrame], begin: float) -> None:
        self._frames, self._begin = frames, begin
        self.trust = cast(Any, type("Trusting", (), {"causes": {}})())

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, *_: object) -> None: ...

    def describe(self, _frame: VideoFrame) -> Any:
        return an_info(SIZE)

    def read(self, _should_stop: Callable[[], bool], _begin: float | None = None) -> Iterator[Got]:
        for number, frame in enumerate(self._frames):
            yield Got(frame, self._begin + number / RATE, 0.0, False)
        raise SourceError("the connection broke")


class _Drawn:
    """Which delegates each person of the clip got, by connection."""

    def __init__(self, camera: Camera) -> None:
        truth = json.loads((DEMO.parent / "demo.json").read_text())["frames"]
        self.by_person: list[dict[int, set[str]]] = [{}, {}]
        assigner = camera._assigner
        assert assigner is not None
        assign = assigner.assign

        def noted(
            frame: RawFrame,
            track_id: int,
            geometry: Geometry,
            later: Callable[[], Sequence[Sight]] = tuple,
        ) -> Assignment:
            made = assign(frame, track_id, geometry, later)
            second = frame.index >= PARTS[0][1]
            number = frame.index + (PARTS[1][0] - PARTS[0][1]) * second
            middle = geometry.points[:, :2].mean(axis=0)
            for one in truth[number]:
                left, top, right, bottom = one["box"]
                if left < middle[0] < right and top < middle[1] < bottom:
                    self.by_person[second].setdefault(one["person"], set()).add(made.delegate.id)
            return made

        assigner.assign = noted  # type: ignore[method-assign]


def drawn_over_a_reconnect(folder: Path, ttl: float, monkeypatch: pytest.MonkeyPatch) -> _Drawn:
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.001)
    with av.open(str(DEMO)) as opened:
        frames = list(opened.decode(video=0))
    begins = iter((1000.0, 1000.0 + PARTS[0][1] / RATE + AWAY_SECONDS))
    parts = iter([frames[first:last] for first, last in PARTS])

    def connect(_options: SourceOptions, _clock: Callable[[], float]) -> Connection:
        part = next(parts, None)
        if part is None:
            raise SourceError("no more")
        return cast(Connection, _Part(part, next(begins)))

    config = load_config("livestream", ["identity.seed=7", f"identity.ttl_seconds={ttl}"])
    target = target_of(str(folder / "out.mkv"))
    settings = CameraSettings("camera", Unhurried("rtsp://camera/"), (target,), strict=False)
    camera = Camera(settings, Anonymizer(config), Journal(False, lambda _line: None), connect)
    camera._origin = 0.0
    drawn = _Drawn(camera)
    camera.start()
    assert wait_for(lambda: camera.reconnects["open"] >= 1 or camera.is_over, 280)
    camera.stop()
    assert camera.join(20)
    assert camera.error is None
    assert camera.context.tally.frames == sum(last - first for first, last in PARTS)
    return drawn


@pytest.mark.slow
def test_everybody_keeps_their_face(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remembering_models: None
) -> None:
    before, after = drawn_over_a_reconnect(tmp_path, 60, monkeypatch).by_person
    print(before, after)
    assert set(before) == set(after) == {0, 1, 2}
    assert before == after
    assert all(len(one) == 1 for one in before.values())


@pytest.mark.slow
def test_who_is_forgotten_gets_another_face(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remembering_models: None
) -> None:
    """As the reconnect took longer than people are remembered."""
    before, after = drawn_over_a_reconnect(tmp_path, AWAY_SECONDS / 2, monkeypatch).by_person
    print(before, after)
    assert set(before) == set(after) == {0, 1, 2}
    assert before != after

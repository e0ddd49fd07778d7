"""Cameras that are started, reloaded and stopped together."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from live_scenes import FakeAnonymizer, wait_for

from streamanon.api import Anonymizer
from streamanon.config import ComputeConfig, Config
from streamanon.live import service as under_test
from streamanon.live.camera import CameraSettings
from streamanon.live.service import Models, Service
from streamanon.live.site import CameraSection, Plan, load_site, plan
from streamanon.live.states import Journal


class FakeModels(Models):
    def of(self, config: Config) -> Anonymizer:
        return cast(Anonymizer, FakeAnonymizer())


def test_a_reload_begins_those_again_that_had_ended_by_an_error(tmp_path: Path) -> None:
    lines: list[str] = []
    service = Service(Journal(False, lines.append), FakeModels())
    there = tmp_path / "video.mkv"
    there.write_bytes(b"no video")
    plans = [
        plan(name, CameraSection(source, (f"hls://{tmp_path}/{name}",)), strict=name == "bad")
        for name, source in (("bad", str(there)), ("away", "http://127.0.0.1:9/s"))
    ]
    service.start(plans)
    bad, away = service.cameras["bad"], service.cameras["away"]
    assert wait_for(lambda: bad.is_over, 20)
    service.reload(plans)
    assert service.cameras["bad"] is not bad
    assert service.cameras["away"] is away, "it goes on trying"
    assert service.stop()
    assert [line for line in lines if "reloaded" in line] == ["streamanon: bad: reloaded"]


class FakeCamera:
    """Notes when it starts and when it has ended."""

    is_over, error = False, None

    def __init__(self, settings: CameraSettings, *_: object, **__: object) -> None:
        self._name, self._to = settings.name, settings.targets[0].address[-1]

    def start(self) -> None:
        EVENTS.append(f"{self._name} begins {self._to}")

    def stop(self) -> None: ...

    def join(self, _seconds: float) -> bool:
        EVENTS.append(f"{self._name} ended")
        return True


EVENTS: list[str] = []


def test_cameras_that_change_outputs_with_each_other_end_before_either_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(under_test, "Camera", FakeCamera)
    EVENTS.clear()

    def plans(gate: int, door: int) -> list[Plan]:
        ports = {"gate": gate, "door": door}
        return [
            plan(name, CameraSection(f"rtsp://c/{name}", (f"udp://h:{port}?pkt_size={port}",)))
            for name, port in ports.items()
        ]

    service = Service(Journal(False, lambda _: None), FakeModels())
    service.start(plans(1, 2))
    service.reload(plans(2, 1))
    assert EVENTS[2:] == ["gate ended", "door ended", "gate begins 2", "door begins 1"]


def test_cameras_that_hang_are_waited_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload holds up the end of the process, which is to come within seconds."""

    class Hangs(FakeCamera):
        def join(self, seconds: float) -> bool:
            time.sleep(seconds)
            return False

    monkeypatch.setattr(under_test, "Camera", Hangs)
    monkeypatch.setattr(under_test, "DRAIN_SECONDS", 0.1)
    service = Service(Journal(False, lambda _: None), FakeModels())
    service.start([plan(f"c{n}", CameraSection(f"rtsp://c/{n}", (f"udp://h:{n}",))) for n in range(1, 9)])
    began = time.monotonic()
    service.reload([])
    assert time.monotonic() - began < 0.4
    assert not service.cameras


def test_the_end_waits_for_networks_that_are_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread in a backend at the interpreter's end aborts the process."""
    goes_on, sizes = threading.Event(), []

    def warm_up(_anonymizer: Anonymizer, width: int, _height: int) -> None:
        sizes.append(width)
        goes_on.wait(20)

    monkeypatch.setattr(under_test, "warm_up", warm_up)
    models = FakeModels()
    service = Service(Journal(False, lambda _: None), models)
    for width in (640, 1280):
        models.warm(models.of(Config()), width, 360)
    assert wait_for(lambda: bool(sizes))
    assert not service.stop(0.1)
    goes_on.set()
    assert service.stop(20)
    assert sizes == [640], "no more are begun"


def test_threads_that_prepared_a_size_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reconnect asks for its size again: for days that would be many."""
    monkeypatch.setattr(under_test, "warm_up", lambda *_: None)
    models = FakeModels()
    for _ in range(20):
        models.warm(models.of(Config()), 640, 360)
    assert wait_for(lambda: not models._threads)


GPUS = """
cameras:
  gate: {source: "rtsp://c/1", to: "udp://h:1", set: [compute.device=0]}
  door: {source: "rtsp://c/2", to: "udp://h:2", set: [compute.device=0, cover.method=mosaic]}
  yard: {source: "rtsp://c/3", to: "udp://h:3", set: [compute.device=1]}
"""


def test_each_gpu_of_a_site_has_its_own_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []

    def open_backend(config: ComputeConfig) -> SimpleNamespace:
        opened.append(config.device)
        return SimpleNamespace(name="fake", memory=f"memory of GPU {config.device}")

    def anonymizer(config: Config, backend: object) -> SimpleNamespace:
        return SimpleNamespace(config=config, backend=backend)

    monkeypatch.setattr(under_test, "open_backend", open_backend)
    monkeypatch.setattr(under_test, "Anonymizer", anonymizer)
    monkeypatch.setattr(under_test, "warm_up", lambda *_: None)
    path = tmp_path / "site.yaml"
    path.write_text(GPUS)
    configs = [plan(name, one).config for name, one in load_site(path).sections.items()]
    models = Models()
    gate, door, yard = (models.of(config) for config in configs)
    assert gate is not door
    assert gate.backend is door.backend
    assert yard.backend is not gate.backend
    assert (gate.backend.memory, yard.backend.memory) == ("memory of GPU 0", "memory of GPU 1")  # type: ignore[attr-defined]
    assert opened == [0, 1]

    models.keep_only(configs[:1])
    assert models.of(configs[0]) is gate
    assert models.of(configs[1]).backend is gate.backend
    assert models.of(configs[2]).backend is not yard.backend
    assert opened == [0, 1, 1]

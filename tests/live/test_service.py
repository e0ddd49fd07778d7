"""Cameras that are started, reloaded and stopped together."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from live_scenes import FakeAnonymizer, wait_for

from streamanon.api import Anonymizer
from streamanon.config import Config
from streamanon.live.service import Models, Service
from streamanon.live.site import CameraSection, plan
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

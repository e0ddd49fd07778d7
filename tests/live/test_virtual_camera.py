"""A virtual camera: raw pictures to a device; here to a file in its place, as no test machine has one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from live_scenes import RATE, look_at, scene, wait_for

from streamanon.errors import ConfigError
from streamanon.live.states import State
from streamanon.live.targets import Target, target_of
from streamanon.live.virtual_camera import VirtualCamera
from streamanon.testing.safe_frames import unchecked_safe_frame


def test_pictures_reach_it_and_nothing_waits(tmp_path: Path) -> None:
    path, told = tmp_path / "device.nut", []
    target = Target("device", str(path), "/dev/video9", "nut")
    camera = VirtualCamera(target, lambda state, reason: told.append((state, reason)), Fraction(RATE))
    for number, frame in enumerate(scene(20)):
        camera.show(unchecked_safe_frame(frame), 5.0 + number)
        assert wait_for(lambda number=number: camera.counts.sent == number + 1)  # type: ignore[misc]
    assert camera.newest == 24.0
    assert camera.is_fresh(25.0)
    camera.close()
    camera.join(10)
    assert [state for state, _ in told] == [State.RUNNING, State.ENDED]
    seen = look_at(path)
    assert len(seen) == 20
    assert min(one.raw for one in seen) > 100, "what was shown is not what came out"


def test_what_is_no_camera_ends_this_output_with_a_reason() -> None:
    told: list[tuple[State, str]] = []
    target = Target("device", "/dev/null", "/dev/null", "v4l2")
    camera = VirtualCamera(target, lambda state, reason: told.append((state, reason)), Fraction(RATE))
    frames = [unchecked_safe_frame(frame) for frame in scene(2)]
    camera.show(frames[0], 0.0)
    assert wait_for(lambda: camera.status.state is State.ENDED)
    assert "the device accepts no pictures" in told[-1][1]
    camera.show(frames[1], 0.0)  # the others go on
    camera.close()
    camera.join(10)


def test_only_safe_frames_are_shown(tmp_path: Path) -> None:
    target = Target("device", str(tmp_path / "x.nut"), "x", "nut")
    camera = VirtualCamera(target, lambda _state, _reason: None, Fraction(RATE))
    with pytest.raises(TypeError, match="only a SafeFrame"):
        camera.show(next(iter(scene(1))), 0.0)  # type: ignore[arg-type]
    camera.close()
    camera.join(10)


def test_a_device_that_is_not_there_is_told_with_what_makes_one() -> None:
    with pytest.raises(ConfigError, match=r"no device /dev/video97: .* v4l2loopback"):
        target_of("/dev/video97")

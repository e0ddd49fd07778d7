"""Cameras at this machine, through FFmpeg's own reader for them: the device is one of a preloaded library
(``tests/support/fake_v4l2.c``), which answers as a driver does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from live_scenes import RATE, SIZE, look_at, scene, wait_for

SUPPORT = Path(__file__).parents[1] / "support"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux's")]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("v4l2") / "fake_v4l2.so"
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler (gcc)")
    command = [compiler, "-shared", "-fPIC", "-o", str(path), str(SUPPORT / "fake_v4l2.c"), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the device cannot be built here: {done.stderr.splitlines()[0]}")
    return path


@pytest.fixture
def device(tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the camera is; removing the file unplugs it."""
    pictures = tmp_path / "pictures"
    pictures.write_bytes(b"".join(yuyv(raw.picture.planes) for raw in scene(RATE)))
    path = Path(f"/dev/shm/streamanon-{os.getpid()}-{tmp_path.name}")
    path.touch()
    for name, value in {
        "LD_PRELOAD": library,
        "FAKE_V4L2": path,
        "FAKE_V4L2_PICTURES": pictures,
        "FAKE_V4L2_WIDTH": SIZE[0],
        "FAKE_V4L2_HEIGHT": SIZE[1],
        "PYTHONPATH": f"{SUPPORT}{os.pathsep}{SUPPORT.parents[1]}",
    }.items():
        monkeypatch.setenv(name, str(value))
    yield path
    path.unlink(missing_ok=True)


def yuyv(planes: tuple[np.ndarray, ...]) -> bytes:
    """4:2:0 as 4:2:2 in one plane, as webcams send it."""
    luma, u, v = planes
    packed = np.empty((*luma.shape, 2), np.uint8)
    packed[:, :, 0] = luma
    packed[:, 0::2, 1], packed[:, 1::2, 1] = np.repeat(u, 2, 0), np.repeat(v, 2, 0)
    return packed.tobytes()


def live(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(SUPPORT / "live_cli.py"), "live", *map(str, arguments)]
    return subprocess.Popen(command, text=True, stderr=subprocess.PIPE)


def test_a_camera_is_anonymised(tmp_path: Path, device: Path) -> None:
    output = tmp_path / "out.mkv"
    with live(device, "--to", output, "--duration", "4s") as process:
        _, said = process.communicate(timeout=90)
    assert process.returncode == 0, said
    seen = look_at(output)
    assert len(seen) >= 40, said
    assert not any(one.raw for one in seen)
    assert 3 < seen[-1].seconds <= 4.1
    assert not any(one.grey > 0.95 for one in seen), "the first frame counts: each stands by itself"


def test_a_camera_that_another_program_has(tmp_path: Path, device: Path) -> None:
    device.write_text("taken")
    with live(device, "--to", tmp_path / "out.mkv") as process:
        _, said = process.communicate(timeout=90)
    assert process.returncode == 2
    line = said.splitlines()[-1]
    assert f"ended: {device} is in use by another program; close it, or give another" in line


def test_a_camera_that_is_unplugged_and_plugged_in_again(tmp_path: Path, device: Path) -> None:
    output = tmp_path / "out.mkv"
    with live(device, "--to", output) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any(line == "streamanon: camera: running\n" for line in lines)
        assert wait_for(lambda: (tmp_path / "out.partial.mkv").stat().st_size > 20_000, 30)
        device.unlink()
        lost = next(line for line in lines if "camera: lost" in line)
        assert "(No such device); check that it is plugged in" in lost
        assert any("there is no device" in line for line in lines)
        device.touch()
        assert any(line == "streamanon: camera: running\n" for line in lines)
        process.terminate()
        assert process.wait(30) == 0
    seen = look_at(output)
    assert not any(one.raw for one in seen)
    assert any(one.grey > 0.95 for one in seen), "no plain picture stood for the lost camera"

"""Decoding on an NVIDIA GPU: FFmpeg's own code for it, on a driver that is a stand-in
(``tests/support/fake_nvdec.c``) and gives pictures that were decoded on the CPU.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import on_gpu
import pytest
from av.codec.hwaccel import hwdevices_available
from clips import write_clip
from odd_media import Clip, write

from streamanon.config import ComputeConfig
from streamanon.errors import ConfigError
from streamanon.media.gpu_decoder import COMPARED, Decoder, choose_decoder
from streamanon.media.probe import probe

SUPPORT = Path(__file__).parents[1] / "support"
FRAMES = 20
#: Whether this build of PyAV can use a GPU at all.
CAN = "cuda" in hwdevices_available()
needs_cuda = pytest.mark.skipif(not CAN, reason="this build of PyAV has no NVDEC")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the stand-in's libraries."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None or not CAN:
        pytest.skip("needs Linux, a C compiler (gcc) and PyAV with NVDEC")
    folder = tmp_path_factory.mktemp("driver")
    command = [compiler, "-w", "-shared", "-fPIC", "-o", str(folder / "libcuda.so.1")]
    subprocess.run([*command, str(SUPPORT / "fake_nvdec.c")], check=True)
    shutil.copy(folder / "libcuda.so.1", folder / "libnvcuvid.so.1")
    return folder


def film(folder: Path, name: str = "libx264", pixels: str = "yuv420p", full: bool = False) -> Path:
    """A clip whose frames are stored in the order in which they are shown, of a size that is no 16's."""
    options = {"bf": "0"} if name == "libx264" else {"x265-params": "bframes=0:log-level=error"}
    colour = (1, 1, 1, 2 if full else 1)
    return write_clip(
        folder / "a.mp4",
        pts=FRAMES,
        size=(142, 110),
        codec=name,
        pixel_format=pixels,
        options=options,
        colour=colour,
    )


def pictures(path: Path, target: Path) -> Path:
    """What a GPU would decode: all pictures as NV12 or P016 of the coded size, one after the other."""
    with av.open(str(path)) as opened, target.open("wb") as out:
        for frame in opened.decode(video=0):
            width, height = (frame.width + 15) // 16 * 16, (frame.height + 15) // 16 * 16
            deep = frame.format.name.endswith("10le")
            depth = np.dtype(np.uint16 if deep else np.uint8)
            stored = np.zeros((height * 3 // 2, width), depth)
            y, u, v = (
                np.frombuffer(memoryview(one), depth).reshape(one.height, -1)[:, : one.width] << 6 * deep
                for one in frame.planes
            )
            stored[: len(y), : y.shape[1]] = y
            stored[height : height + len(u), 0 : 2 * u.shape[1] : 2] = u
            stored[height : height + len(v), 1 : 2 * v.shape[1] : 2] = v
            out.write(stored.tobytes())
    return target


def decode(path: Path, *wanted: str, device: int = 0, **environment: object) -> list[dict[str, Any]]:
    """What each ``compute.decoder`` makes of a file."""
    given = {key: str(value) for key, value in environment.items()}
    given |= {"PYTHONPATH": f"{SUPPORT}{os.pathsep}{SUPPORT.parents[1]}"}
    done = subprocess.run(
        [sys.executable, str(SUPPORT / "on_gpu.py"), str(path), str(device), *wanted],
        env=os.environ | given,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("codec", "pixels", "full"),
    [
        ("libx264", "yuv420p", False),
        pytest.param("libx264", "yuvj420p", True, marks=pytest.mark.slow),
        pytest.param("libx265", "yuv420p10le", False, marks=pytest.mark.slow),
        ("libx265", "yuv420p10le", True),
    ],
)
def test_the_frames_are_those_of_the_cpu(
    tmp_path: Path, driver: Path, codec: str, pixels: str, full: bool
) -> None:
    path = film(tmp_path, codec, pixels, full)
    log = tmp_path / "log"
    (there,) = decode(
        path,
        "cuda",
        device=1,
        LD_LIBRARY_PATH=driver,
        FAKE_NVDEC_PICTURES=pictures(path, tmp_path / "p"),
        FAKE_NVDEC_LOG=log,
    )
    here = on_gpu.decode(path, "cpu", 0)
    assert (there["decoder"], here["decoder"]) == ("cuda", "cpu")
    assert there["frames"] == here["frames"]
    assert len(here["frames"]) == FRAMES
    assert len({frame[-1] for frame in here["frames"]}) == FRAMES
    assert here["frames"][0][-2] is full
    assert set(log.read_text().split()) == {"1"}
    assert not there["notes"]


def test_what_fails_on_the_way_is_decoded_by_the_cpu(tmp_path: Path, driver: Path) -> None:
    path = film(tmp_path)
    (found,) = decode(
        path,
        "auto",
        LD_LIBRARY_PATH=driver,
        FAKE_NVDEC_PICTURES=pictures(path, tmp_path / "p"),
        FAKE_NVDEC_FAIL_AT=COMPARED + 5,
    )
    assert found["decoder"] == "cuda"
    assert found["frames"] == on_gpu.decode(path, "cpu", 0)["frames"]
    (note,) = found["notes"]
    assert "failed after" in note
    assert "the CPU decoded the rest" in note


def test_a_file_whose_size_changes_goes_on_on_the_cpu(tmp_path: Path, driver: Path) -> None:
    path = tmp_path / "a.h264"
    parts = [Clip(frames=FRAMES, size=size, options={"bf": "0"}) for size in ((142, 110), (78, 62))]
    for number, part in enumerate(parts):
        write(tmp_path / f"{number}.h264", part)
    path.write_bytes(b"".join((tmp_path / f"{number}.h264").read_bytes() for number in range(2)))
    (found,) = decode(
        path, "cuda", LD_LIBRARY_PATH=driver, FAKE_NVDEC_PICTURES=pictures(path, tmp_path / "p")
    )
    here = on_gpu.decode(path, "cpu", 0)
    assert len(here["frames"]) == 2 * FRAMES
    assert found["frames"] == here["frames"]
    told = f"decoding on the GPU failed after {FRAMES} frames (the picture's size changes)"
    assert found["notes"] == [f"{told}; the CPU decoded the rest", *here["notes"]]


def test_a_gpu_with_other_pictures_is_not_used(tmp_path: Path, driver: Path) -> None:
    path = film(tmp_path)
    wrong = pictures(path, tmp_path / "p")
    content = bytearray(wrong.read_bytes())
    content[144 * 112 * 3 // 2 * 3 + 50] ^= 1  # one pixel of the fourth picture, by one level
    wrong.write_bytes(content)
    around: dict[str, Any] = {"LD_LIBRARY_PATH": driver, "FAKE_NVDEC_PICTURES": wrong}
    found, named = decode(path, "auto", "cuda", **around)
    assert (found["decoder"], found["passed_over"]) == ("cpu", "its pictures differ from the CPU's")
    assert found["frames"] == on_gpu.decode(path, "cpu", 0)["frames"]
    assert "its pictures differ" in named["error"]


@pytest.mark.parametrize(
    ("around", "device", "words"),
    [
        ({"FAKE_NVDEC_NO": 1}, 0, "its decoder refused a packet"),
        pytest.param({}, 7, "NVIDIA's driver refused it", marks=pytest.mark.slow),
    ],
)
def test_a_gpu_that_cannot_leaves_it_to_the_cpu(
    tmp_path: Path, driver: Path, around: dict[str, Any], device: int, words: str
) -> None:
    path = film(tmp_path)
    around = around | {"LD_LIBRARY_PATH": driver, "FAKE_NVDEC_PICTURES": pictures(path, tmp_path / "p")}
    found, named = decode(path, "auto", "cuda", device=device, **around)
    assert found["decoder"] == "cpu"
    assert words in found["passed_over"]
    assert len(found["frames"]) == FRAMES
    assert words in named["error"]


@needs_cuda
def test_without_a_driver_auto_takes_the_cpu_and_cuda_is_an_error(tmp_path: Path) -> None:
    path = film(tmp_path)
    (found,) = decode(path, "auto")
    assert found["frames"] == on_gpu.decode(path, "cpu", 0)["frames"]
    if found["decoder"] == "cuda":
        return  # there is a GPU here, and that was its test
    assert found["passed_over"] == "NVIDIA's driver is not installed"
    with pytest.raises(
        ConfigError, match=r"a\.mp4 cannot be decoded on GPU 0: NVIDIA's driver is not .*auto"
    ):
        choose_decoder(path, probe(path), ComputeConfig(decoder="cuda"), False)


@pytest.mark.parametrize(
    ("codec", "name", "words"),
    [("mpeg4", "a.mp4", "this is mpeg4"), ("libsvtav1", "a.mkv", "this is (lib)?[a-z]*av1d?")],
)
def test_codecs_that_are_not_exact_stay_on_the_cpu(
    tmp_path: Path, codec: str, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamanon.media.gpu_decoder.hwdevices_available", lambda: ["cuda"])
    path = write_clip(tmp_path / name, codec=codec)
    with pytest.raises(ConfigError, match=words):
        choose_decoder(path, probe(path), ComputeConfig(decoder="cuda"), True)


def test_only_files_are_decoded_on_a_gpu(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamanon.media.gpu_decoder.hwdevices_available", lambda: ["cuda"])
    for source in ("-", "rtsp://10.0.0.1/stream"):
        found = choose_decoder(source, probe(clip), ComputeConfig(), networks_on_gpu=True)
        assert found == Decoder(
            passed_over="only files are decoded on the GPU, as they can be read again if it fails"
        )


def test_auto_is_the_cpu_where_the_networks_are(clip: Path) -> None:
    assert choose_decoder(clip, probe(clip), ComputeConfig(), networks_on_gpu=False) == Decoder()

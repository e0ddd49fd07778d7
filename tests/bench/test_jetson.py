"""Power rails, read from files as a Jetson has them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from streamanon.bench.gpu import GpuSampler
from streamanon.bench.jetson import open_rails, read_rails


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")


@pytest.fixture
def orin(tmp_path: Path) -> Path:
    """An Orin Nano with JetPack 6."""
    folder = tmp_path / "ina3221" / "1-0040" / "hwmon" / "hwmon1"
    write(folder, in1_label="VDD_IN", in1_input="5000", curr1_input="1600")
    write(folder, in2_label="VDD_CPU_GPU_CV", in2_input="4980", curr2_input="500")
    write(folder, in3_label="VDD_SOC", in3_input="4990", curr3_input="300")
    write(folder, in4_input="12", in7_label="sum of shunt voltages", in7_input="40")
    return tmp_path


@pytest.fixture
def xavier(tmp_path: Path) -> Path:
    """One with JetPack 4, and a channel that leads nowhere."""
    write(
        tmp_path / "ina3221x" / "7-0040" / "iio:device0",
        rail_name_0="POM_5V_IN",
        in_power0_input="4212",
        rail_name_1="NC",
        in_power1_input="0",
    )
    return tmp_path


def test_each_rail_and_the_whole_module(orin: Path) -> None:
    assert read_rails(open_rails(orin)) == pytest.approx(
        {"watts VDD_IN": 8.0, "watts": 8.0, "watts VDD_CPU_GPU_CV": 2.49, "watts VDD_SOC": 1.497}
    )


def test_older_jetpacks_tell_power_itself(xavier: Path) -> None:
    assert read_rails(open_rails(xavier)) == pytest.approx({"watts POM_5V_IN": 4.212, "watts": 4.212})


def test_what_cannot_be_read_is_left_out(orin: Path) -> None:
    rails, folder = open_rails(orin), orin / "ina3221" / "1-0040" / "hwmon" / "hwmon1"
    (folder / "curr1_input").unlink()
    (folder / "in2_input").write_text("broken")
    assert read_rails(rails).keys() == {"watts VDD_SOC"}


def test_other_machines_have_none(tmp_path: Path) -> None:
    assert open_rails(tmp_path / "nothing") == {}


def test_they_are_sampled_without_nvml(orin: Path) -> None:
    rails = open_rails(orin)
    with GpuSampler(None, rails=rails) as sampler:
        for _ in range(2000):
            if sampler.result() is not None:
                break
            time.sleep(0.005)
        (orin / "ina3221" / "1-0040" / "hwmon" / "hwmon1" / "curr1_input").write_text("3000")
        for _ in range(2000):
            found = sampler.result()
            if found is not None and found["watts"]["most"] == 15.0:
                break
            time.sleep(0.005)
    found = sampler.result()
    assert found is not None
    assert found["watts"]["most"] == 15.0
    assert 8.0 < found["watts"]["mean"] < 15.0
    assert found["watts VDD_SOC"] == {"most": 1.5, "mean": 1.5}
    assert found["throttled"] == []

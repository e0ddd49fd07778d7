"""Cases, latencies, streams and GPU samples."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streamanon.bench import gpu
from streamanon.bench.cases import FACES, MOST_SECONDS, SIZES, all_cases, another_round
from streamanon.bench.child import Given, run_networks
from streamanon.bench.gpu import GpuSampler
from streamanon.bench.latency import LatencyClock, batches_of, percentiles, time_network
from streamanon.bench.machine import machine_facts, versions
from streamanon.bench.streams import most_sustained
from streamanon.model_list import Recorder, chain_models
from streamanon.runtime.backends.tensorrt_profiles import fitting, profiles_of
from streamanon.runtime.example_inputs import example
from streamanon.runtime.models import Engines
from streamanon.runtime.onnx_header import read_onnx_header
from streamanon.types import METHODS


def test_each_thing_is_varied_once() -> None:
    cases = all_cases(["openvino", "onnxruntime"], quick=False)
    assert len(cases) == len(set(cases))
    assert {(case.width, case.height) for case in cases} == set(SIZES)
    assert {case.faces for case in cases} == set(FACES)
    assert {case.method for case in cases} == set(METHODS)
    assert {(case.backend, case.precision) for case in cases} == {
        (backend, precision) for backend in ("openvino", "onnxruntime") for precision in ("auto", "fp32")
    }


def test_a_quick_benchmark_has_a_case_a_backend() -> None:
    assert [case.backend for case in all_cases(["a", "b"], quick=True)] == ["a", "b"]


def test_slow_cases_are_timed_less_often() -> None:
    case = all_cases(["a"], quick=False)[0]
    assert another_round(case, [])
    assert another_round(case, [1.0, 1.0])
    assert not another_round(case, [1.0] * case.rounds)
    assert not another_round(case, [MOST_SECONDS])


def test_waiting_is_no_work() -> None:
    clock = LatencyClock()

    def slow() -> Iterator[int]:
        for number in range(3):
            time.sleep(0.05)
            yield number

    def stage() -> Iterator[int]:
        for number in clock.watch(slow(), "a/wait"):
            time.sleep(0.01)
            yield number

    assert list(clock.watch(stage(), "a")) == [0, 1, 2]
    assert list(clock.milliseconds()) == ["a"]
    work = clock.milliseconds()["a"]
    assert len(work) == 3
    assert sum(work) == pytest.approx(1000 * clock.stages()["a"], abs=2)
    assert min(work) >= 9


def test_percentiles_are_those_of_all_values() -> None:
    assert percentiles(list(range(101))) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}


@pytest.mark.parametrize("batch", [1, 4])
def test_every_network_gets_what_it_takes(batch: int, engines: Engines) -> None:
    for path in engines.folder.glob("*.onnx"):
        inputs = read_onnx_header(path).inputs
        given = example(inputs, batch)
        shapes = tuple(one.shape for one in given)
        assert fitting(profiles_of(inputs), shapes) is not None
        assert all(one.dtype == np.float32 for one in given)
        assert batches_of(inputs, quick=True) == (1,)


def test_a_network_is_run_as_long_as_asked() -> None:
    runs: list[int] = []
    model: Any = SimpleNamespace(run=lambda one: runs.append(one))
    assert len(time_network(model, [1], 0)) == 1
    assert len(time_network(model, [1], 60, most=7)) == 7
    assert len(runs) == 2 + 8


def test_networks_are_timed_as_the_chain_loads_them(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small one has one thread in a run, and some are in bfloat16 where the processor has it."""

    class Noting(Recorder):
        def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Any:
            super().load(path, precise=precise, threads=threads, bfloat16=bfloat16)
            return SimpleNamespace(run=lambda *_: [])

    noting = Noting()
    monkeypatch.setattr("streamanon.bench.child.open_backend", lambda _config: noting)
    monkeypatch.setattr("streamanon.bench.child.QUICK_SECONDS", 0.0)
    rows = run_networks(Given(None, ()), "auto", "auto", quick=True)
    assert noting.loaded == chain_models(engines)
    assert [row["model"] for row in rows] == [one.path.stem for one in noting.loaded]
    assert {one.threads for one in noting.loaded} == {0, 1}
    assert any(one.bfloat16 for one in noting.loaded)


@pytest.mark.parametrize("true", [0, 1, 2, 3, 5, 8, 13, 20])
def test_the_most_streams_are_found(true: int) -> None:
    tried: list[int] = []

    def sustains(count: int) -> bool:
        tried.append(count)
        return count <= true

    assert most_sustained(sustains, most=16) == min(true, 16)
    assert len(tried) == len(set(tried)) <= 9


class FakeNvml:
    """A GPU that tells its memory, and that it is too hot, but not its power."""

    NVML_CLOCK_SM = NVML_TEMPERATURE_GPU = 0
    nvmlClocksEventReasonSwPowerCap = 4  # noqa: N815
    nvmlClocksEventReasonHwSlowdown = 8  # noqa: N815
    nvmlClocksEventReasonSwThermalSlowdown = 32  # noqa: N815
    nvmlClocksEventReasonHwThermalSlowdown = 64  # noqa: N815
    nvmlClocksEventReasonHwPowerBrakeSlowdown = 128  # noqa: N815

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.used = 100e6

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:  # noqa: N802
        return number

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:  # noqa: N802
        if name != "GPU-8a5f":
            raise self.NVMLError
        return name

    def nvmlDeviceGetMemoryInfo(self, _handle: int) -> SimpleNamespace:  # noqa: N802
        self.used += 100e6
        return SimpleNamespace(used=self.used)

    def nvmlDeviceGetPowerUsage(self, _handle: int) -> int:  # noqa: N802
        raise self.NVMLError

    def nvmlDeviceGetClockInfo(self, _handle: int, _kind: int) -> int:  # noqa: N802
        return 1500

    def nvmlDeviceGetUtilizationRates(self, _handle: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(gpu=70)

    def nvmlDeviceGetTemperature(self, _handle: int, _kind: int) -> int:  # noqa: N802
        return 80

    def nvmlDeviceGetCurrentClocksEventReasons(self, _handle: int) -> int:  # noqa: N802
        return 32 | 1


def test_a_gpu_is_sampled_and_what_it_does_not_tell_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_STEP_SECONDS", 0.001)
    fake: Any = FakeNvml()
    with GpuSampler(fake) as sampler:
        while fake.used < 400e6:
            time.sleep(0.001)
    found = sampler.result()
    assert found is not None
    assert found["memory_mb"]["most"] >= 400 > found["memory_mb"]["mean"] > 100
    assert found["clock_mhz"] == {"most": 1500.0, "mean": 1500.0}
    assert "watts" not in found
    assert found["throttled"] == ["SwThermalSlowdown"]


@pytest.mark.parametrize(
    ("visible", "device", "found"),
    [("", 1, 1), ("3,1", 0, 3), ("3, 1", 1, 1), ("GPU-8a5f", 0, "GPU-8a5f"), ("2", 1, 1), ("GPU-8a", 0, 0)],
)
def test_the_gpu_sampled_is_the_one_that_computes(
    visible: str, device: int, found: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    fake: Any = FakeNvml()
    assert gpu.handle_of(fake, device) == found


def test_nvml_has_all_that_is_asked_of_it() -> None:
    nvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    assert [name for name in vars(FakeNvml) if name.startswith("nvml") and not hasattr(nvml, name)] == []
    assert issubclass(nvml.NVMLError, Exception)


def test_without_a_gpu_there_are_no_samples() -> None:
    with GpuSampler(None) as sampler:
        pass
    assert sampler.result() is None


def test_the_machine_is_described_without_its_name() -> None:
    facts = machine_facts()
    assert facts.keys() == {"board", "processor", "cores", "memory_gb", "system", "gpu"}
    assert facts["cores"] >= 1
    assert {"streamanon", "python", "numpy", "av"} <= versions().keys()

"""The command: what it refuses, what it writes, and that a wrong output is never timed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

import streamanon.bench
from streamanon.bench import deface
from streamanon.bench import run as bench
from streamanon.bench.cases import Case
from streamanon.bench.child import task_of
from streamanon.bench.result import SCHEMA, compare, read_result, tables
from streamanon.bench.verify import Covers, NotAsExpectedError, verify
from streamanon.cli import main
from streamanon.commands import bench as command
from streamanon.detect.yolo import INT8_NAME, NAME
from streamanon.errors import ConfigError, ModelError
from streamanon.runtime.backends import Verdict
from streamanon.runtime.run_context import Tally
from streamanon.types import Cover

STAGES = {"detect": {"p50": 1.0, "p95": 2.0, "p99": 3.0}}
ANSWER: dict[str, Any] = {
    "frames_per_second": 20.0,
    "rounds": [19.0, 20.0, 21.0],
    "processor_ms": 40.0,
    "load_seconds": 1.0,
    "first_frame_seconds": 2.0,
    "peak_memory_mb": 300,
    "stages_ms": STAGES,
    "verified": {
        "face_frames": 20,
        "by_method": {"synthesize": 20},
        "change_inside": 9,
        "change_outside": 1,
    },
}


class FakeChild:
    """Answers at once; a stream is as quick as those beside it leave room for."""

    fails = ""
    open = 0
    tasks: list[dict[str, Any]] = []  # noqa: RUF012

    def __enter__(self) -> FakeChild:
        FakeChild.open += 1
        return self

    def __exit__(self, *_error: object) -> None:
        FakeChild.open -= 1

    def ask(self, task: dict[str, Any]) -> dict[str, Any]:
        self.start(task)
        return self.answer()

    def start(self, task: dict[str, Any]) -> None:
        self.tasks.append(task)
        self._task = task

    def wait_until_ready(self) -> None: ...

    def go(self) -> None: ...

    def answer(self) -> dict[str, Any]:
        if self._task["what"] == "networks":
            found = {"milliseconds": STAGES["detect"], "faces_per_second": 4000.0}
            made = {"error": "3 of 4 faces were found"} if self.fails == "faces" else found
            return {
                "networks": [{"model": "face-mesh", "batch": 1, "milliseconds": STAGES["detect"]}],
                "faces": [{"faces": 4} | made],
            }
        if self._task["case"]["method"] == self.fails:
            return {"error": "it failed"}
        return ANSWER | {"frames_per_second": 100.0 / FakeChild.open}


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> type[FakeChild]:
    FakeChild.tasks, FakeChild.open = [], 0
    verdicts = [
        Verdict("tensorrt", False, "no CUDA device is available"),
        Verdict("onnxruntime", True, "works"),
    ]
    monkeypatch.setattr(bench, "_Child", FakeChild)
    monkeypatch.setattr(bench, "examine_backends", lambda _compute: verdicts)
    monkeypatch.setattr(bench, "write_clip", lambda path, *_: path.write_bytes(b""))
    return FakeChild


def run(*options: str) -> int:
    return main(["bench", *options])


def schema() -> dict[str, Any]:
    path = Path(streamanon.bench.__file__).parent / "schema.json"
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


@pytest.mark.usefixtures("children")
@pytest.mark.parametrize("quick", [["--quick"], []])
def test_the_result_fits_its_schema(
    quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "b.json"
    assert run("--json", str(path), *quick) == 0
    result = read_result(path)
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(result, schema())
    told = capsys.readouterr().out
    assert "tensorrt: no CUDA device is available; onnxruntime: works" in told
    assert "### Networks, ms a batch" in told
    assert "| 4 | onnxruntime | auto | 4000.0 | 1.00 | 2.00 | 3.00 |" in told
    assert ("### Streams" in told) is (not quick)


@pytest.mark.usefixtures("children")
def test_streams_share_the_machine(tmp_path: Path) -> None:
    """The fake does 100 frames a second in all, so four streams at 25 and three at 30."""
    assert run("--json", str(tmp_path / "b.json"), "--quiet") == 0
    streams = read_result(tmp_path / "b.json")["streams"]
    assert [(row["rate"], row["streams"]) for row in streams] == [(25, 4), (30, 3)] * 2


def test_a_case_that_fails_is_told_and_the_others_go_on(
    children: type[FakeChild], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(children, "fails", "mosaic")
    assert run() == 1
    told = capsys.readouterr().out
    assert "| mosaic | onnxruntime | auto | it failed |" in told
    assert "| solid | onnxruntime | auto | 100.0 (19.0–21.0) | 40.0 |" in told


def test_faces_that_are_not_made_are_told(
    children: type[FakeChild],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(children, "fails", "faces")
    assert run("--quick", "--json", str(tmp_path / "b.json")) == 1
    assert "| 4 | onnxruntime | auto | 3 of 4 faces were found |  |" in capsys.readouterr().out
    jsonschema.validate(read_result(tmp_path / "b.json"), schema())


@pytest.mark.usefixtures("children")
def test_nothing_is_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "b.json"
    path.write_text("mine")
    assert run("--quick", "--json", str(path)) == 2
    assert "exists already" in capsys.readouterr().err
    assert path.read_text() == "mine"


@pytest.mark.usefixtures("children")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--json", "no/such/b.json"], "make its folder first"),
        (["--json", "."], "cannot write ., which is a folder: give the name of a file"),
        (["--json", "b.png", "--plot", "./b.png"], "--json and --plot both name b.png: give two files"),
        (["--plot", "b.txt"], "--plot writes png, svg or pdf, not b.txt"),
        (["--profile", "none"], "there is no profile 'none'"),
        (["--backend", "tensorrt"], "no backend can be timed (tensorrt: no CUDA device is available); see"),
        (["--backend", "cuda"], "no backend 'cuda'; known: auto, tensorrt, openvino, onnxruntime"),
        (
            ["--set", "cover.method=solid"],
            "--set cover.method has no effect here, because the benchmark",
        ),
        (["--set", "compute.backend=openvino"], "because the benchmark varies it; use --backend"),
        (["--set", "compute.thread=2"], "compute.thread"),
        (["--set", "compute.providers=[cuda]", "--backend", "openvino"], "compute.providers is for the"),
        (
            ["--compare", "a.json", "b.json", "--quick"],
            "--compare only reads two results: leave --quick out",
        ),
        (["--compare", "a.json", "b.json", "--backend", "openvino"], "leave --backend out"),
        (["--compare", "a.json", "b.json", "--set", "output.crf=20"], "leave --set out"),
        (["--compare", "a.json", "b.json"], "cannot read a.json: No such file or directory"),
    ],
)
def test_wrong_options_are_one_sentence(
    options: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*options) == 2
    assert said in capsys.readouterr().err


def test_a_folder_without_rights_is_told_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rights bind no root, so they are asked for."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(command, "run_bench", lambda *_: pytest.fail("it runs"))
    assert run("--json", str(tmp_path / "b.json")) == 2
    assert "choose a folder that you may write to" in capsys.readouterr().err


@pytest.mark.usefixtures("children")
def test_a_full_disk_loses_no_numbers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command, "write_file", full)
    assert run("--quick", "--json", str(tmp_path / "b.json")) == 2
    told = capsys.readouterr()
    assert "| 100.0 (19.0–21.0) | 40.0 |" in told.out
    assert "No space left on device" in told.err


@pytest.mark.usefixtures("children")
def test_deface_has_to_be_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert run("--quick", "--vs", "deface") == 2
    assert "--vs deface needs deface: pip install deface" in capsys.readouterr().err


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of those run, each of which writes an empty file; deface takes twice as long."""
    ran: list[str] = []

    def run_program(words: list[str]) -> deface.Taken:
        ran.append(Path(words[0]).name)
        Path(words[words.index("-o") + 1]).write_bytes(b"")
        return deface.Taken(*((10.0, 8.0) if ran[-1] == "deface" else (5.0, 2.0)))

    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(deface, "run_program", run_program)
    monkeypatch.setattr(deface, "verify_faces", lambda *_: None)
    return ran


@pytest.mark.usefixtures("children")
def test_deface_is_timed_in_turn(programs: list[str], tmp_path: Path) -> None:
    assert run("--quick", "--vs", "deface", "--json", str(tmp_path / "b.json"), "--quiet") == 0
    assert programs == [Path(sys.executable).name, "deface"] * 3
    result = read_result(tmp_path / "b.json")
    jsonschema.validate(result, schema())
    row = result["deface"][0]
    assert row["frames_per_second"] == {"streamanon": 20.0, "deface": 10.0}
    assert row["processor_ms"] == {"streamanon": 20.0, "deface": 80.0}
    idle, busy = result | {"load": 0.0}, result | {"load": 64.0}
    assert "| 20.0 (20.0–20.0) | 10.0 (10.0–10.0) | 2.00 | 20.0 | 80.0 | 0.25 |" in tables(idle)
    assert "| 20.0 (20.0–20.0) | 10.0 (10.0–10.0) |  | 20.0 | 80.0 | 0.25 |" in tables(busy)


@pytest.mark.usefixtures("children")
def test_a_wrong_output_beside_deface_is_told_and_the_rest_is_kept(
    programs: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(program: str, *_: Any) -> None:
        if program == "deface":
            raise NotAsExpectedError("deface changed only 3 of 100 faces")

    monkeypatch.setattr(deface, "verify_faces", refuse)
    assert run("--quick", "--vs", "deface", "--json", str(tmp_path / "b.json")) == 1
    assert len(programs) == 2
    result = read_result(tmp_path / "b.json")
    jsonschema.validate(result, schema())
    assert "frames_per_second" in result["cases"][0]
    assert "| deface changed only 3 of 100 faces |  |" in capsys.readouterr().out


def test_a_programs_processor_time_is_that_of_its_own() -> None:
    pytest.importorskip("resource")
    taken = deface.run_program([sys.executable, "-c", "sum(range(2_000_000))"])
    assert taken.processor_seconds is not None
    assert 0 < taken.processor_seconds < 10
    with pytest.raises(ModelError, match=r"failed on the benchmark's clip: bad$"):
        deface.run_program([sys.executable, "-c", "import sys; sys.exit('bad')"])


@pytest.mark.usefixtures("children")
def test_settings_reach_every_process(children: type[FakeChild], tmp_path: Path) -> None:
    given = ["output.crf=30", "compute.threads=1"]
    options = [word for one in given for word in ("--set", one)]
    assert run("--quick", "--json", str(tmp_path / "b.json"), "--quiet", *options) == 0
    assert {task["what"] for task in children.tasks} == {"case", "networks"}
    assert all(task["settings"] == tuple(given) for task in children.tasks)
    result = read_result(tmp_path / "b.json")
    assert result["settings"] == given
    assert "profile livestream, output.crf=30, compute.threads=1, " in tables(result)


@pytest.mark.usefixtures("children")
def test_providers_are_timed_by_onnx_runtime_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    verdicts = [Verdict("openvino", True, "works"), Verdict("onnxruntime", True, "works")]
    monkeypatch.setattr(bench, "examine_backends", lambda _compute: verdicts)
    options = ["--set", "compute.providers=[cuda]", "--json", str(tmp_path / "b.json")]
    assert run("--quick", "--quiet", *options) == 0
    assert [case["backend"] for case in read_result(tmp_path / "b.json")["cases"]] == ["onnxruntime"]


@pytest.mark.usefixtures("children")
@pytest.mark.parametrize(("load", "busy"), [(0.1, False), (64.0, True), (None, False)])
def test_a_busy_machine_is_told(
    load: float | None,
    busy: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bench, "load_of_others", lambda: load)
    path = str(tmp_path / "b.json")
    assert run("--quick", "--json", path) == 0
    assert ("busy with other work" in capsys.readouterr().out) is busy
    assert run("--compare", path, path) == 0
    assert ("the second machine was busy" in capsys.readouterr().out) is busy


@pytest.mark.parametrize("quick", [["--quick"], pytest.param([], marks=pytest.mark.slow)])
@pytest.mark.usefixtures("children", "programs")
def test_a_plot_is_drawn(quick: list[str], tmp_path: Path) -> None:
    """Sizes, ways and stages, with a line a number of faces; deface among the ways."""
    pytest.importorskip("matplotlib")
    path = tmp_path / "b.svg"
    with_text = ["--json", str(tmp_path / "b.json"), "--quiet", "--vs", "deface"]
    assert run("--plot", str(path), *with_text, *quick) == 0
    drawn = path.read_text(encoding="utf-8")
    for text in ("640×360", "1 face", "deface, 1 face, with start-up", "ms of work a frame", "detect"):
        assert f"<!-- {text} -->" in drawn, text
    for text in ("16 faces", "3840×2160", "mosaic, onnxruntime auto", "synthesize, onnxruntime fp32"):
        assert (f"<!-- {text} -->" in drawn) is not bool(quick), text


@pytest.mark.usefixtures("children")
def test_two_results_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = tmp_path / "a.json", tmp_path / "b.json"
    assert run("--quick", "--json", str(one), "--quiet") == 0
    changed = read_result(one)
    changed["cases"][0]["frames_per_second"] = 150.0
    changed["versions"]["numpy"] = "9"
    two.write_text(json.dumps(changed))
    assert run("--compare", str(one), str(two)) == 0
    told = capsys.readouterr().out
    assert "| 100.0 | 150.0 | 1.50 | 40.0 | 40.0 | 1.00 |" in told
    assert "different versions" in told
    assert "different machine" not in told


def test_results_without_a_common_case_are_told() -> None:
    empty = {"cases": [], "machine": 1, "versions": 1, "profile": 1, "models": 1}
    with pytest.raises(ConfigError, match="no case in common"):
        compare(empty, empty)


@pytest.mark.parametrize("text", ["[]", "{}", "no", json.dumps({"schema": "streamanon-bench/0"})])
def test_other_files_are_no_results(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigError, match=r"give a file of streamanon bench --json"):
        read_result(tmp_path / "a.json")
    assert SCHEMA.endswith("/1")


@pytest.mark.parametrize(
    "change",
    [
        {"cases": 5},
        {"cases": [{"width": 1}]},
        {"machine": None},
        {"versions": []},
        {"networks": [{"model": "a"}]},
        {"deface": None},
    ],
)
@pytest.mark.usefixtures("children")
def test_a_result_that_lacks_something_is_one_sentence(
    change: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "a.json", tmp_path / "b.json"
    assert run("--quick", "--json", str(one), "--quiet") == 0
    two.write_text(json.dumps(read_result(one) | change))
    assert run("--compare", str(one), str(two)) == 2
    assert capsys.readouterr().err.endswith(
        "b.json is not complete: give a file as streamanon bench --json wrote it\n"
    )


def test_results_of_before_are_still_read(tmp_path: Path) -> None:
    """Keys that were added later may be missing."""
    case = {"width": 1, "height": 1, "faces": 0, "method": "solid", "backend": "a", "precision": "auto"}
    timed = {"rounds": [0.0], "frames_per_second": 0.0, "first_frame_seconds": 1, "peak_memory_mb": None}
    machine = {"board": None, "processor": "a CPU", "cores": 2, "memory_gb": 8, "gpu": None, "system": ""}
    result = {
        "schema": SCHEMA, "made": "2026-01-01", "profile": "file", "machine": machine, "models": {},
        "versions": {"streamanon": "0.1.0"}, "backends": [], "networks": [], "streams": [], "deface": [],
        "cases": [case | timed | {"gpu": None, "stages_ms": {}}],
    }  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(result))
    assert compare(read_result(tmp_path / "a.json"), result).endswith("| 0.0 | 0.0 |  |  |  |  |")


def test_what_a_gpu_decoded_is_told(tmp_path: Path, children: None) -> None:
    one = tmp_path / "a.json"
    assert run("--quick", "--json", str(one), "--quiet") == 0
    result = read_result(one)
    assert "NVDEC" not in tables(result)
    result["cases"][0]["decoder"] = "cuda"
    (line,) = [line for line in tables(result).splitlines() if "NVDEC" in line]
    assert f"{result['cases'][0]['backend']}, NVDEC |" in line


def _report(frames: int = 12, **tally: Any) -> Any:
    return SimpleNamespace(
        frames_in=12, tally=Tally(frames=frames, **tally), faults={}, troubles=lambda: "none"
    )


def _covers(count: int, each: int = 1) -> Covers:
    covers = Covers()
    one = (Cover(0, (0, 0, 20, 20), "solid", True),)
    covers.frames = [one * each if n < count else () for n in range(12)]
    return covers


@pytest.mark.parametrize(
    ("report", "covers", "said"),
    [
        (_report(11), _covers(12), "has not all frames"),
        (_report(withheld=1), _covers(12), "there were faults"),
        (_report(), _covers(6), "only 6 of 12 faces are covered"),
        (_report(), _covers(6, each=2), "only 6 of 12 faces are covered"),
        (_report(), _covers(12), "only 0 of 12 covers are by the method solid"),
    ],
)
def test_a_run_that_did_less_is_not_timed(report: Any, covers: Covers, said: str, clip: Path) -> None:
    with pytest.raises(NotAsExpectedError, match=said):
        verify(clip, clip, report, covers, 1, "solid")


def test_faces_that_were_not_changed_are_not_timed(clip: Path) -> None:
    report = _report()
    report.tally.by_method["solid"] = 12
    with pytest.raises(NotAsExpectedError, match=r"faces differ by only 0\.0 levels"):
        verify(clip, clip, report, _covers(12), 1, "solid")


@pytest.mark.slow
def test_a_small_case_is_really_timed(tmp_path: Path) -> None:
    """A whole quick benchmark on one backend, in processes of their own."""
    path = tmp_path / "b.json"
    assert run("--quick", "--backend", "onnxruntime", "--json", str(path), "--quiet") == 0
    result = read_result(path)
    jsonschema.validate(result, schema())
    case = result["cases"][0]
    assert case["verified"]["by_method"]["synthesize"] >= 18
    assert {"decode", "detect", "composite", "encode"} <= case["stages_ms"].keys()
    networks = {row["model"] for row in result["networks"]}
    assert "generator" in networks
    assert len(networks & {NAME, INT8_NAME}) == 1
    assert [row["faces"] for row in result["faces"] if "error" not in row] == [1]


def test_a_child_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    case = Case(64, 64, 0, "solid", "onnxruntime", "auto", 1, 1)
    with bench._Child() as child:
        answer = child.ask(task_of(case, Path()))
    assert answer == {"error": "the process ended without an answer, with code 1"}

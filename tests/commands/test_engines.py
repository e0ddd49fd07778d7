from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fake_tensorrt
import pytest

from streamanon.api import Anonymizer
from streamanon.cli import main
from streamanon.commands import engines as command
from streamanon.commands.engines import plan_specs
from streamanon.config import ComputeConfig
from streamanon.errors import ModelError
from streamanon.model_list import chain_models
from streamanon.runtime import backends
from streamanon.runtime.backends import Model
from streamanon.runtime.backends.tensorrt import Place
from streamanon.runtime.models import Engines


class Noting:
    """A backend that notes what it is asked for."""

    name = "noting"

    def __init__(self) -> None:
        self.asked: set[tuple[Path, bool]] = set()

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Model:
        self.asked.add((path, precise))
        return backends.open_backend(ComputeConfig("onnxruntime")).load(path, precise=precise)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = fake_tensorrt.fake_library()
    monkeypatch.setattr(command, "open_library", lambda rtx: made)
    return made


def test_the_models_are_those_of_a_run(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the run loads them: a plan of another precision would never be found."""
    noting = Noting()
    monkeypatch.setattr("streamanon.api.choose_backend", lambda _config: backends.Choice(noting))
    Anonymizer()
    assert {(one.path, one.precise) for one in chain_models(engines)} == noting.asked
    shipped = {path.name for path in engines.folder.glob("*.onnx")}
    assert {path.name for path, _ in noting.asked} == shipped - {"face-detector-int8.onnx"}


@pytest.mark.slow
def test_each_target_has_each_plan_once(engines: Engines) -> None:
    specs = plan_specs(chain_models(engines), ["sm86", "sm120"], ["fp16", "fp32"])
    precise = [one.precise for one in chain_models(engines)]
    assert len(specs) == len(set(specs)) == 2 * (sum(precise) + 2 * (len(precise) - sum(precise)))
    assert {spec.target for spec in specs} == {"sm86", "sm120"}


@pytest.mark.slow
def test_plans_are_found_by_a_run_on_such_a_gpu(
    engines: Engines, library: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["engines", "build", "--target", "sm86,sm89", "--out", str(tmp_path)]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert len(names) == 2 * len(chain_models(engines))
    assert {line.split(":")[0] for line in capsys.readouterr().out.splitlines()} == names
    place = Place(library, fake_tensorrt.HostMemory("sm89"), tmp_path)
    for model in chain_models(engines):
        profiles = plan_specs([model], ["sm89"], ["fp16"])[0].profiles
        assert place.spec(model.path, not model.precise, profiles).file_name(library) in names


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--target", "sm90"], "builds for sm86, sm89, not for sm90"),
        (["--target", ","], "--target names nothing: give, for example, --target sm86,sm89"),
        (["--target", "sm86", "--precision", "int8"], "--precision takes fp16 or fp32, not 'int8'"),
    ],
)
@pytest.mark.usefixtures("library")
def test_wrong_options_are_one_sentence(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["engines", "build", *options, "--out", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("file", "file is a file: give --out a folder"),
        ("file/plans", "plans: Not a directory; give --out another"),
        ("closed", "closed: Permission denied; give --out another folder"),
    ],
)
@pytest.mark.usefixtures("library")
def test_a_folder_that_cannot_be_written_is_one_sentence(
    out: str,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before anything is built. Rights bind no root, so they are asked for."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path).name != "closed")
    monkeypatch.setattr(command, "build_plan", lambda *_: pytest.fail("it builds"))
    assert main(["engines", "build", "--target", "sm86", "--out", str(tmp_path / out), "--quiet"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("library")
def test_a_full_disk_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "store_plan", lambda *_: False)
    assert main(["engines", "build", "--target", "sm86", "--out", str(tmp_path), "--quiet"]) == 2
    assert "check that the folder is writable and the disk not full" in capsys.readouterr().err


def test_without_tensorrt_rtx_it_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(rtx: bool) -> None:
        raise ModelError("TensorRT-RTX is not installed: pip install it")

    monkeypatch.setattr(command, "open_library", missing)
    assert main(["engines", "build", "--target", "sm86"]) == 2
    assert capsys.readouterr().err == "streamanon: TensorRT-RTX is not installed: pip install it\n"

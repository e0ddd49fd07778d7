"""What the Dockerfiles install and build, as far as that can be checked without Docker."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import fake_tensorrt
import pytest

from streamanon.cli import main
from streamanon.commands import engines as command
from streamanon.commands.engines import plan_specs
from streamanon.model_list import chain_models
from streamanon.runtime.backends.plan_cache import cache_folder
from streamanon.runtime.backends.tensorrt import Place
from streamanon.runtime.models import Engines

ROOT = Path(__file__).parents[1]
FILES = sorted([*ROOT.glob("docker/*.Dockerfile"), ROOT / "docs" / "deploy" / "Dockerfile"])
TARGETS = {"sm86", "sm89", "sm120"}


def instructions(path: Path) -> list[tuple[str, str]]:
    """Name and arguments, with continued lines joined."""
    joined = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_installs_extras_that_exist_as_a_user_without_rights(path: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = [name for name, _ in instructions(path)]
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"\[([a-z-]+)\]'", text)) <= extras.keys()
    assert names[0] == "FROM"
    assert names.index("USER") > max(number for number, name in enumerate(names) if name == "RUN")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_the_package_is_built_from_is_not_left_out(path: Path) -> None:
    """``.dockerignore`` keeps the copy small."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    needed = [*included, "streamanon", "pyproject.toml", project["project"]["readme"], "LICENSE"]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert ("COPY", f". {'/source' if path.parent.name == 'deploy' else '/src'}") in instructions(path)
    assert not set(needed) & set(ignored)
    assert all((ROOT / one).exists() for one in needed)


@pytest.mark.slow
def test_a_run_in_the_cuda_image_finds_its_plans(
    engines: Engines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Built by the image's own command in its own environment, looked up as a run without settings does."""
    steps = instructions(ROOT / "docker" / "cuda.Dockerfile")
    build = next(number for number, (_, text) in enumerate(steps) if "engines build" in text)
    for name, value in (shlex.split(text)[0].split("=", 1) for key, text in steps[:build] if key == "ENV"):
        monkeypatch.setenv(name, str(tmp_path / value.lstrip("/")))
    library = fake_tensorrt.fake_library()
    monkeypatch.setattr(command, "open_library", lambda rtx: library)
    monkeypatch.setattr(type(library), "targets", lambda _self: sorted(TARGETS))
    monkeypatch.setattr(command, "build_plan", lambda *_: b"plan")
    words = shlex.split(steps[build][1].partition("&&")[0])
    assert main(words[1:]) == 0
    assert tmp_path in cache_folder().parents
    for target in TARGETS:
        place = Place(library, fake_tensorrt.HostMemory(target), cache_folder())
        for model in chain_models(engines):
            spec = plan_specs([model], [target], ["fp16"])[0]
            assert (place.folder / spec.file_name(place.library)).read_bytes() == b"plan"

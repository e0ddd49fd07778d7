"""Which way imports point, and what importing costs: each cost in a fresh interpreter."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "streamanon"
#: Rooms and top modules, each of which imports only what stands before it.
ROOMS = (
    "errors", "types", "geometry", "config", "media", "runtime", "detect", "track", "mesh", "gallery",
    "identity", "generate", "cover", "device", "portraits", "model_list", "pipeline", "api", "live",
    "audit", "bench", "commands", "cli",
)  # fmt: skip
#: They import anything below ``api`` (training the audit, too), and nothing above imports them.
OUTSIDE = {"testing": ROOMS[: ROOMS.index("api")], "training": ROOMS[: ROOMS.index("audit") + 1]}
#: The package itself, which imports its public names when they are asked for, and what starts it.
FRONT = ("", "__main__")

HEAVY = ("numpy", "av", "cv2", "torch", "onnxruntime", "openvino", "tensorrt", "yaml", "tqdm")
RUNTIME = (
    "api",
    "cli",
    "commands.batch",
    "commands.doctor",
    "commands.engines",
    "cover.composite",
    "detect.yolo",
    "generate",
    "identity.assignment",
    "media.decode",
    "media.demux",
    "media.probe",
    "media.remux",
    "media.encode",
    "pipeline",
    "runtime.backends.tensorrt",
    "runtime.run_report",
    "testing.fakes",
)


def room_of(parts: tuple[str, ...]) -> str:
    """The room of a module given by its path within the package; "" for the package itself."""
    return "" if not parts or parts == ("__init__",) else parts[0]


def imports_of(module: Path) -> Iterator[tuple[int, str]]:
    """Line and room of every import of ours in a file, also of those within functions."""
    package = ("streamanon", *module.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(module.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            base = ".".join((*above, *((node.module,) if node.module else ())))
            names = [f"{base}.{alias.name}" for alias in node.names]
        line = getattr(node, "lineno", 0)
        for name in names:
            if name.split(".")[0] == "streamanon" and name != "streamanon.__version__":
                yield line, room_of(tuple(name.split(".")[1:]))


def allowed(room: str) -> tuple[str, ...]:
    if room in OUTSIDE:
        return (*OUTSIDE[room], room)
    return ROOMS[: ROOMS.index(room) + 1]


def test_imports_only_point_down() -> None:
    wrong = []
    for module in sorted(PACKAGE.rglob("*.py")):
        room = room_of(module.relative_to(PACKAGE).with_suffix("").parts)
        if room in FRONT:
            continue
        wrong += [
            f"{module.relative_to(PACKAGE)}:{line} imports {target}"
            for line, target in imports_of(module)
            if target not in allowed(room)
        ]
    assert not wrong


def test_the_front_imports_no_training_and_no_fakes() -> None:
    front = [PACKAGE / "__init__.py", PACKAGE / "__main__.py"]
    targets = {target for module in front for _, target in imports_of(module)}
    assert targets <= set(ROOMS)


def test_every_import_of_ours_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "media").mkdir()
    module = tmp_path / "media" / "one.py"
    module.write_text(
        "import streamanon.cover.mosaic, os\n"
        "from streamanon import cli\n"
        "from . import yuv\n"
        "def late():\n    from ..track.tracker import track\n"
    )
    assert list(imports_of(module)) == [(1, "cover"), (2, "cli"), (3, "media"), (5, "track")]


def imported_by(code: str) -> set[str]:
    """The modules that are there after running ``code``."""
    program = f"import sys\n{code}\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not imported_by("import streamanon") & set(HEAVY)


def test_asking_for_an_error_class_does_not_either() -> None:
    assert not imported_by("from streamanon import StreamanonError") & set(HEAVY)


def test_the_command_lines_help_loads_no_media_and_no_model_library() -> None:
    loaded = imported_by(
        "from streamanon.cli import main\ntry:\n    main(['--version'])\nexcept SystemExit:\n    pass"
    )
    assert not loaded & {"av", "cv2", "torch", "onnxruntime", "openvino", "tensorrt"}


def test_the_runtime_never_imports_torch_nor_the_training() -> None:
    code = "\n".join(f"import streamanon.{name}" for name in RUNTIME)
    loaded = imported_by(code)
    assert "torch" not in loaded
    assert not {name for name in loaded if name.startswith("streamanon.training")}


def test_opening_a_cpu_backend_does_not_either() -> None:
    loaded = imported_by(
        "from streamanon.runtime.backends import open_backend\n"
        "from streamanon.config import ComputeConfig\n"
        "open_backend(ComputeConfig('onnxruntime'))"
    )
    assert "torch" not in loaded


@pytest.mark.parametrize(
    "name", ["Anonymizer", "Config", "StreamanonError", "anonymize", "load_config", "to_rgb"]
)
def test_public_names_are_there(name: str) -> None:
    import streamanon

    assert name in streamanon.__all__
    assert getattr(streamanon, name).__module__.startswith("streamanon.")


def test_unknown_names_are_attribute_errors() -> None:
    import streamanon

    with pytest.raises(AttributeError, match="no attribute 'anonymizer_'"):
        streamanon.anonymizer_  # noqa: B018

"""What importing costs: each case in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "av", "cv2", "torch", "onnxruntime", "openvino", "tensorrt", "yaml", "tqdm")
RUNTIME = (
    "anonymizer",
    "batch",
    "cli",
    "compositor",
    "detector",
    "doctor",
    "fakes",
    "generator",
    "identity",
    "metrics",
    "pipeline",
    "sink",
    "source",
)


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
        "from streamanon.backends import open_backend\n"
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

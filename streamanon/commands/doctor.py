"""What this machine can do, and why each backend was or was not chosen."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import av

from streamanon import __version__
from streamanon.config import ComputeConfig
from streamanon.detect.yolo import detector_name
from streamanon.errors import ModelError
from streamanon.runtime.backends import Backend, Verdict, choose_backend, examine_backends, prefers_int8
from streamanon.runtime.models import Engines

ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9", "ffv1": "ffv1"}
LIBRARIES = ("numpy", "av", "opencv-python-headless", "onnxruntime", "openvino", "tensorrt", "torch")


def describe() -> str:
    """A few lines of plain text."""
    lines = [f"streamanon {__version__}, Python {platform.python_version()}, {platform.platform()}"]
    lines.append(f"processor cores: {os.cpu_count()}")
    lines.append("libraries: " + ", ".join(_library(name) for name in LIBRARIES))
    lines += _backends() + _models() + _encoders()
    return "\n".join(lines)


def _library(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} not installed"


def _backends() -> list[str]:
    verdicts = examine_backends()
    backend, timed = _chosen(verdicts)
    chosen = backend.name if backend is not None else None
    lines = [f"backends, in the order in which auto tries them (chosen: {chosen or 'none'}):"]
    for verdict in verdicts:
        reason = "chosen" if verdict.name == chosen else verdict.reason
        if verdict.works and verdict.name != chosen:
            reason = timed.get(verdict.name, f"works, but {chosen} comes first")
        lines.append(f"  {verdict.name}: {reason}")
    if backend is not None:
        why = "INT8, quicker here" if prefers_int8(backend) else "the float32 file"
        lines.append(f"detector: {detector_name(backend)} ({why})")
    return lines


def _chosen(verdicts: list[Verdict]) -> tuple[Backend | None, dict[str, str]]:
    """The backend that "auto" takes, and why not others that work, if they were timed."""
    if not any(verdict.works for verdict in verdicts):
        return None, {}
    choice = choose_backend(ComputeConfig())
    return choice.backend, {one.name: one.reason for one in choice.passed_over}


def _models() -> list[str]:
    try:
        engines = Engines.open()
    except ModelError as error:
        return [f"models: {error}"]
    return [f"models in {engines.folder}:"] + [f"  {_model(engines, name)}" for name in engines.models]


def _model(engines: Engines, name: str) -> str:
    try:
        return f"{name}: {engines.path(name).name}, digest matches"
    except ModelError as error:
        return f"{name}: {error}"


def _encoders() -> list[str]:
    built = [name for name, encoder in ENCODERS.items() if encoder in av.codecs_available]
    return [f"encoders in this build of FFmpeg: {', '.join(built) or 'none'}"]

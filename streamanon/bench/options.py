"""What a benchmark is asked for."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamanon.config import ComputeConfig, load_config
from streamanon.errors import ConfigError, ModelError
from streamanon.runtime.backends import BACKENDS, Verdict

#: Settings that the benchmark varies itself, and the option that chooses among them, if there is one.
_VARIED = {"cover.method": "", "compute.backend": "--backend", "compute.precision": ""}


@dataclass(frozen=True)
class Options:
    """``backend``: one, or "auto" for all that work. ``settings``: as of ``streamanon run --set``.
    ``deface``: whether to time that as well.
    """

    quick: bool = False
    backend: str = "auto"
    profile: Path | None = None
    settings: tuple[str, ...] = ()
    deface: bool = False

    def compute(self) -> ComputeConfig:
        """Raises :class:`ConfigError` for a profile or setting that is wrong."""
        return load_config(self.profile, self.settings).compute

    @property
    def words(self) -> list[str]:
        """Profile and settings as options of ``streamanon run``."""
        profile = ["--profile", str(self.profile)] if self.profile is not None else []
        return [*profile, *(word for one in self.settings for word in ("--set", one))]


def check_options(options: Options) -> None:
    """Raises :class:`ConfigError` for what cannot be done, before any work."""
    if options.deface and shutil.which("deface") is None:
        raise ConfigError("--vs deface needs deface: pip install deface")
    if options.backend not in ("auto", *BACKENDS):
        raise ConfigError(f"there is no backend {options.backend!r}; known: auto, {', '.join(BACKENDS)}")
    for key in (one.partition("=")[0].strip() for one in options.settings):
        if key in _VARIED:
            instead = f"; use {_VARIED[key]}" if _VARIED[key] else ""
            raise ConfigError(f"--set {key} has no effect here, because the benchmark varies it{instead}")
    if options.compute().providers and options.backend not in ("auto", "onnxruntime"):
        raise ConfigError(
            f"compute.providers is for the backend onnxruntime, not {options.backend}; leave one out"
        )


def usable(verdicts: Sequence[Verdict], options: Options) -> list[str]:
    """The backends to time. Raises :class:`ModelError` where there is none."""
    named = "onnxruntime" if options.compute().providers else options.backend
    asked = [one for one in verdicts if named in ("auto", one.name)]
    if not any(one.works for one in asked):
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in asked)
        raise ModelError(f"no backend can be timed ({reasons}); see streamanon doctor")
    return [one.name for one in asked if one.works]

"""``streamanon models``: face detectors of the user's own, checked, stored and listed."""

from __future__ import annotations

import argparse
import sys

from streamanon.config import load_config
from streamanon.detect.ultralytics_export import ModelFacts, pick_classes, read_facts
from streamanon.detect.ultralytics_model import try_model
from streamanon.errors import ConfigError, ModelError, answer, tell
from streamanon.runtime.backends import open_backend
from streamanon.runtime.user_models import StoredModel, find_model, store_model, stored_models


def run_models(args: argparse.Namespace) -> int:
    """Raises :class:`StreamanonError`."""
    if args.what == "list":
        answer("\n".join(listing(stored_models())))
    else:
        _add(args)
    return 0


def _add(args: argparse.Namespace) -> None:
    path = find_model(str(args.file.absolute()))
    compute = load_config(None, [f"compute.backend={args.backend}"]).compute
    facts = try_model(open_backend(compute), path)
    stored = store_model(path, args.name, args.overwrite)
    tell(f"{stored.name}: {described(facts)}; SHA-256 {stored.sha256}", sys.stdout)
    tell(f"use it with --detector {stored.name}{_classes_hint(facts)}", sys.stdout)


def _classes_hint(facts: ModelFacts) -> str:
    try:
        pick_classes(facts, (), "")
    except ConfigError:
        return " and --set 'detect.classes=[...]', as none of its classes is called face"
    return ""


def listing(models: list[StoredModel]) -> list[str]:
    """A line each: name, what it is, digest."""
    if not models:
        return ["no models are stored; streamanon models add FILE stores one"]
    return [f"{model.name}: {_state(model)}; SHA-256 {model.sha256}" for model in models]


def _state(model: StoredModel) -> str:
    try:
        return described(read_facts(find_model(model.name)))
    except ModelError as error:
        return str(error)


def described(facts: ModelFacts) -> str:
    """Task, input, classes and keypoints in one line."""
    size = "any size" if facts.size is None else f"{facts.size[0]}x{facts.size[1]} px"
    names = ", ".join(list(facts.names.values())[:5]) + (", ..." if len(facts.names) > 5 else "")
    points = "five keypoints" if facts.has_keypoints else "no keypoints of a face"
    return f"{facts.task}, {size}, classes {names}, {points}"

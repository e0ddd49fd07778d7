"""What ``streamanon run --report`` writes follows its JSON schema."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from clips import write_clip

from streamanon.api import Anonymizer
from streamanon.config import ComputeConfig, Config, CoverConfig
from streamanon.runtime.models import Engines
from streamanon.runtime.run_report import write_reports


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    text = (files("streamanon.runtime") / "run_report.schema.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(content)
    return content


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The reports of an image and of a video."""
    Engines.open()
    folder: Path = tmp_path_factory.mktemp("reports")
    anonymizer = Anonymizer(
        Config(cover=CoverConfig("mosaic"), compute=ComputeConfig("onnxruntime", threads=1))
    )
    _, image = anonymizer.image_with_report(np.full((60, 80, 3), 120, np.uint8))
    video = anonymizer.run(write_clip(folder / "in.mp4", pts=4), folder / "out.mp4")
    write_reports(folder / "reports.json", [image, video])
    content: list[dict[str, Any]] = json.loads((folder / "reports.json").read_text())
    return content


def test_real_reports_follow_it(schema: dict[str, Any], written: list[dict[str, Any]]) -> None:
    jsonschema.validate(written, schema)
    for one in written:
        jsonschema.validate(one, schema)


def test_it_describes_every_key(schema: dict[str, Any], written: list[dict[str, Any]]) -> None:
    assert all(set(one) == set(schema["$defs"]["report"]["properties"]) for one in written)


@pytest.mark.parametrize("key", ["frames", "faults", "settings", "interrupted"])
def test_it_refuses_less(key: str, schema: dict[str, Any], written: list[dict[str, Any]]) -> None:
    less = {name: value for name, value in written[1].items() if name != key}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(less, schema)

from __future__ import annotations

import dataclasses
import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from audits import a_result


@pytest.fixture
def schema() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((files("streamanon.audit") / "schema.json").read_text())
    return content


def as_json(result: Any) -> Any:
    return json.loads(json.dumps(result.as_dict()))


def test_the_schema_is_one(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


def test_a_result_follows_it(schema: dict[str, Any]) -> None:
    jsonschema.validate(as_json(a_result()), schema)


def test_what_is_not_a_number_becomes_null(schema: dict[str, Any]) -> None:
    result = a_result()
    strange = dataclasses.replace(result.utility, landmark_nme=float("nan"), psnr_outside=float("inf"))
    content = as_json(dataclasses.replace(result, utility=strange))
    jsonschema.validate(content, schema)
    assert content["utility"]["landmark_nme"] is None
    assert content["utility"]["psnr_outside"] is None


@pytest.mark.parametrize("where", ["leaks", "utility", "container"])
def test_it_refuses_more_and_less(schema: dict[str, Any], where: str) -> None:
    more, less = as_json(a_result()), as_json(a_result())
    more[where]["embedding"] = [0.1, 0.2]
    less[where].popitem()
    for content in (more, less):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(content, schema)

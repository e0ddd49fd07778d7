"""What the documents say of the code, checked against it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import streamanon

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "engines" / "cards").glob("*.md")]
)
#: Pages that are generated from code, and have a test of their own.
GENERATED = {f"{folder}{name}.md" for folder in ("", "docs/") for name in ("settings", "cli")}
#: ``[text](target)`` with a target in this repository.
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = set(_LINK.findall(page.read_text(encoding="utf-8"))) - GENERATED
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("name", streamanon.__all__)
def test_public_names_are_on_the_api_page(name: str) -> None:
    assert f"`{name}" in (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
def test_shown_code_is_python(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        compile(block, page, "exec")

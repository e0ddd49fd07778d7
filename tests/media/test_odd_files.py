"""Files as people have them: each becomes what the corpus says, and no more and no less is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from make_odd_files import OddFile, odd_files, page
from odd_checks import check

CORPUS = {one.name: one for one in odd_files()}


@pytest.mark.parametrize("one", [one for one in CORPUS.values() if one.quick], ids=lambda one: one.name)
def test_an_odd_file(one: OddFile, tmp_path: Path) -> None:
    check(one, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("one", [one for one in CORPUS.values() if not one.quick], ids=lambda one: one.name)
def test_the_rest_of_the_corpus(one: OddFile, tmp_path: Path) -> None:
    check(one, tmp_path)


def test_no_two_have_one_name() -> None:
    assert len(CORPUS) == len(odd_files())


def test_the_page_is_up_to_date() -> None:
    written = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    assert page() == written, "run python scripts/make_odd_files.py --page"

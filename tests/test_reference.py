from __future__ import annotations

from pathlib import Path

import pytest
from make_reference import cli_page, main, settings_page

from streamanon.config import settings

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize(("name", "page"), [("settings.md", settings_page), ("cli.md", cli_page)])
def test_the_pages_are_up_to_date(name: str, page: object) -> None:
    """If not: python scripts/make_reference.py"""
    assert callable(page)
    assert (DOCS / name).read_text(encoding="utf-8") == page()


def test_every_setting_and_option_is_on_its_page(tmp_path: Path) -> None:
    main(tmp_path)
    told, options = (tmp_path / "settings.md").read_text(), (tmp_path / "cli.md").read_text()
    for key, _hint, _default, setting in settings():
        assert f"| `{key}` |" in told
        assert setting.help
        assert setting.flag is None or f"`{setting.flag}" in options

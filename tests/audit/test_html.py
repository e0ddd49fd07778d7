from __future__ import annotations

import dataclasses
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from audits import a_result

from streamanon.audit.html import headline, render
from streamanon.audit.measure import Thumbnail
from streamanon.audit.result import Interval
from streamanon.errors import ConfigError


class Page(HTMLParser):
    """The text of a page and every address in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def a_thumbnail() -> Thumbnail:
    image = np.full((40, 30, 3), 200, np.uint8)
    return Thumbnail(1, 25, 0.9, image, image)


def test_the_page_stands_alone() -> None:
    page = Page(render(a_result()))
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert "script" not in page.tags
    assert "link" not in page.tags


@pytest.mark.slow
def test_a_leak_is_told_first() -> None:
    result = a_result()
    assert headline(result) == "Real faces can be seen: 1 of 2 people, for 0.1 seconds in all."
    text = Page(render(result)).text
    assert text.index("Real faces can be seen") < 200
    assert "Failed: leak>0" in text


def test_being_recognised_is_told_when_nothing_leaks() -> None:
    result = a_result()
    clean = dataclasses.replace(result, leaks=dataclasses.replace(result.leaks, seen=0))
    assert "dlib still takes 5.0 % " in headline(clean)
    dlib = dataclasses.replace(result.reidentification[0], accepted=Interval(0.0, 0.0, 0.1, 20))
    unknown = dataclasses.replace(clean, reidentification=(dlib,))
    assert headline(unknown) == "No real face can be seen in the output."


def test_an_empty_video_is_not_praised() -> None:
    result = a_result()
    empty = dataclasses.replace(result.leaks, face_frames=0, seen=0, tracks=0, per_track=())
    page = render(dataclasses.replace(result, leaks=empty, reidentification=(), failed=()))
    assert "No face was found in the original" in Page(page).text


@pytest.mark.slow
def test_what_was_not_measured_is_said() -> None:
    result = a_result()
    assert result.utility.mouth_correlation is None
    assert "mouth open alike not measured" in Page(render(result)).text


def test_faces_are_shown_only_when_given() -> None:
    assert "image/jpeg" not in render(a_result())
    page = Page(render(a_result(), [a_thumbnail()]))
    assert sum(address.startswith("data:image/jpeg") for address in page.addresses) == 2
    assert "These pictures show real faces" in page.text


@pytest.mark.slow
def test_names_are_escaped() -> None:
    hostile = dataclasses.replace(a_result(), original="<script>alert(1)</script>.mp4")
    assert "<script>" not in render(hostile)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ConfigError, match=r"jinja2.*streamanon\[audit\]"):
        render(a_result())

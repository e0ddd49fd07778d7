"""``python live_cli.py ARGUMENTS``: the command line with fake faces: a search that knows their colour."""

from __future__ import annotations

import sys
from typing import cast

from live_scenes import FakeAnonymizer

import streamanon.live.service
from streamanon.api import Anonymizer
from streamanon.cli import main
from streamanon.config import Config
from streamanon.live.service import Models


def _of(_self: Models, config: Config) -> Anonymizer:
    return cast(Anonymizer, FakeAnonymizer())


def _warm(self: Models, anonymizer: Anonymizer, width: int, height: int) -> None:
    """Fake faces need no network."""


if __name__ == "__main__":
    streamanon.live.service.Models.of = _of  # type: ignore[method-assign, assignment]
    streamanon.live.service.Models.warm = _warm  # type: ignore[method-assign]
    sys.exit(main())

"""The stages that cover, in one call: for tests that need no source and no detector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streamanon.cover.composite import composite
from streamanon.cover.covering import Covering
from streamanon.cover.keeping import keep
from streamanon.cover.measure import measure
from streamanon.cover.synthesis import assign, synthesise
from streamanon.types import Resolved, SafeFrame


def cover(frames: Iterable[Resolved], covering: Covering, ahead: int = 0) -> Iterator[SafeFrame]:
    """The frames covered, each when ``ahead`` more have been measured."""
    decided = keep(measure(frames, covering.measurer, ahead), covering.keeping)
    assigned = assign(decided, covering.synthesiser)
    return composite(synthesise(assigned, covering.synthesiser), covering.compositor)

"""Parts of the programs in ``benchmarks`` whose numbers would be wrong without anybody noticing."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.leaks.footage import Face, Frame
from benchmarks.leaks.judge import Covered, judge
from benchmarks.speed.identity_cost import watched
from streamanon.config import CoverConfig
from streamanon.cover.covering import Covering
from streamanon.cover.synthesis import Synthesis
from streamanon.testing.covering import cover
from streamanon.testing.fakes import FakeGenerator, FakeMesh, FakeSource, faces_at, fake_assigner
from streamanon.types import Resolved, Target

BOX = (20.0, 20.0, 60.0, 70.0)


def test_identity_work_is_timed_as_the_chain_asks_for_it() -> None:
    source = FakeSource(4, 128, 96, {0: [BOX] * 4})
    found = faces_at(np.array([BOX], np.float32))
    target = Target(0, found.boxes[0], found.keypoints[0], detected=True)
    covering = Covering(CoverConfig(), Synthesis(FakeMesh(), fake_assigner(), FakeGenerator()))
    with watched() as watch:
        made = list(cover([Resolved(frame, (target,)) for frame in source], covering))
    assert [one.report.covers[0].method for one in made] == ["synthesize"] * 4
    assert watch.calls == 4
    assert watch.seconds > 0


@pytest.mark.parametrize(("rate", "why"), [(10, "found too late"), (25, "before it was found")])
def test_a_face_is_found_too_late_by_the_clips_own_rate(rate: int, why: str) -> None:
    """30 frames before its find, with a look-ahead of 1.8 s."""
    box = np.array(BOX, np.float32)
    owners = np.full((96, 128), -1, np.int16)
    owners[20:70, 20:60] = 0
    frame = Frame(np.zeros((96, 128, 3), np.uint8), owners, (Face(0, box, 1.0, False),))
    bare, whole = np.zeros(owners.shape, np.bool_), np.ones(owners.shape, np.bool_)
    nothing = np.zeros((0, 4), np.float32)
    pairs = [(frame, Covered(bare, nothing))]
    pairs += [(frame, Covered(whole, nothing))] * 29 + [(frame, Covered(whole, box[None]))]
    assert list(judge(pairs, rate, 1.8).causes) == [(3, why)]

from __future__ import annotations

import numpy as np
import pytest

from streamanon.audit.gallery import Gallery
from streamanon.audit.leaks import Exposure
from streamanon.audit.measure import EmbeddingPair, Fidelity, Measurements, sample_frames
from streamanon.audit.pairing import Image, Times
from streamanon.audit.people import FaceFrame, Person
from streamanon.audit.result import Interval
from streamanon.audit.summarise import (
    summarise_leaks,
    summarise_recogniser,
    summarise_time,
    summarise_utility,
)
from streamanon.types import Float

TIMES = Times("a.mp4", tuple(n * 0.1 for n in range(20)), 64, 48)
SEEN, UNSEEN = Exposure(0.99, 0.9, 1.0), Exposure(0.2, 0.9, 30.0)


class Dots:
    """A recogniser whose embeddings are directions."""

    name, relation, threshold = "dots", "none", 0.8

    def place(self, _image: Image, _face: FaceFrame) -> None: ...

    def describe(self, _image: Image, _place: None) -> Float:
        return unit(0)

    def similarities(self, one: Float, two: Float) -> Float:
        return np.asarray(one @ two.T, np.float32)


def unit(axis: int) -> Float:
    return np.asarray(np.eye(8)[axis], np.float32)


def person(track: int, indices: range, size: float = 50, sure: bool = True) -> Person:
    box = np.array([0, 0, size, size], np.float32)
    points = np.zeros((5, 2), np.float32)
    return Person(track, tuple(FaceFrame(track, index, box, points) for index in indices), sure)


def test_wilson_knows_that_none_of_few_proves_little() -> None:
    none = Interval.of_counts(0, 10)
    assert none is not None
    assert (none.value, none.low) == (0, 0)
    assert 0.25 < none.high < 0.31
    half = Interval.of_counts(50, 100)
    assert half is not None
    assert (half.low, half.high) == pytest.approx((0.404, 0.596), abs=2e-3)
    assert Interval.of_counts(0, 0) is None


def test_leaks_are_counted_by_face_track_second_and_size() -> None:
    people = [person(0, range(0, 10)), person(1, range(4, 8), 15), person(2, range(3, 4), sure=False)]
    measured = Measurements()
    for one in people[:2]:
        for face in one.frames:
            shown = (face.track == 1 and face.index in (5, 6)) or (face.track, face.index) == (0, 6)
            measured.exposures[face.track, face.index] = SEEN if shown else UNSEEN
    leaks = summarise_leaks(people, measured, TIMES)
    assert (leaks.face_frames, leaks.seen, leaks.tracks, leaks.tracks_seen) == (14, 3, 2, 2)
    assert leaks.seconds_seen == pytest.approx(0.2), "two faces at once are one moment"
    assert leaks.doubtful_tracks == 1
    assert [(b.low, b.face_frames, b.seen) for b in leaks.by_size] == [
        (0, 0, 0), (10, 4, 2), (20, 0, 0), (40, 10, 1), (80, 0, 0)
    ]  # fmt: skip
    first, second = leaks.per_track
    assert [(s.start, s.end) for s in first.leaks] == [pytest.approx((0.6, 0.7))]
    assert [(s.start, s.end) for s in second.leaks] == [pytest.approx((0.5, 0.7))]
    assert [(s.start, s.end) for s in second.spells] == [pytest.approx((0.4, 0.8))]


def test_a_face_that_nothing_was_compared_with_is_hidden() -> None:
    leaks = summarise_leaks([person(0, range(5))], Measurements(missing=5), TIMES)
    assert (leaks.face_frames, leaks.seen, leaks.hidden_frames) == (5, 0, 5)


def embedding_pairs(outputs: dict[int, int], originals: dict[int, int]) -> list[EmbeddingPair]:
    return [
        EmbeddingPair(track, index, unit(originals[track]), unit(outputs[track]))
        for track in originals
        for index in range(4)
    ]


def test_an_unchanged_face_is_recognised_and_another_is_not() -> None:
    originals = {0: 0, 1: 1, 2: 2}
    told = summarise_recogniser(Dots(), embedding_pairs(originals, originals), None)
    assert told.accepted is not None
    assert told.rank1 is not None
    assert (told.accepted.value, told.accepted.of, told.rank1.value, told.chance) == (1, 12, 1, 1 / 3)
    assert len(told.impostor) == 3
    assert told.accepted_people is not None
    assert (told.people, told.accepted_people.value) == (3, 1)
    told = summarise_recogniser(Dots(), embedding_pairs({0: 1, 1: 2, 2: 0}, originals), None)
    assert told.accepted is not None
    assert told.rank1 is not None
    assert (told.accepted.value, told.rank1.value) == (0, 0)


def test_one_person_alone_has_no_rank() -> None:
    told = summarise_recogniser(Dots(), embedding_pairs({0: 3}, {0: 0}), None)
    assert told.rank1 is None
    assert told.chance is None


def test_the_same_person_in_two_tracks_leads_home_either_way() -> None:
    told = summarise_recogniser(Dots(), embedding_pairs({0: 0, 1: 0, 2: 5}, {0: 0, 1: 0, 2: 2}), None)
    assert told.rank1 is not None
    assert told.rank1.value >= 2 / 3


def test_a_gallery_tells_who_is_found_again_and_who_is_taken_for_another() -> None:
    gallery = Gallery({"ann": unit(0), "ben": unit(1), "cat": unit(6)})
    originals = {0: 0, 1: 1, 2: 3}
    told = summarise_recogniser(Dots(), embedding_pairs({0: 0, 1: 6, 2: 4}, originals), gallery)
    assert told.gallery_people == 3
    assert told.gallery_rank1 is not None
    assert (told.gallery_rank1.value, told.gallery_rank1.of) == (0.5, 2)
    assert told.intrusions is not None
    assert told.intrusions.value == pytest.approx(1 / 3)
    assert told.intrusions.of == 3


def test_nothing_met_gives_nothing() -> None:
    told = summarise_recogniser(Dots(), [], None)
    assert told.accepted is None
    assert told.rank1 is None


def test_switches_and_flicker() -> None:
    measured = Measurements(flicker=[(2.0, 3.0), (4.0, 6.0), (0.1, 50.0)])
    steady = [EmbeddingPair(0, n, unit(0), unit(4)) for n in range(4)]
    switching = [EmbeddingPair(1, n, unit(1), unit(5 + n // 2)) for n in range(4)]
    measured.embedding_pairs["dots"] = steady + switching
    told = summarise_time(measured, [Dots()])
    assert told.switches == 1
    assert told.stability == pytest.approx(5 / 6)
    assert told.stability_original == 1
    assert told.flicker == pytest.approx(1.5), "what is still in the original does not count"


def test_utility_is_of_what_was_measured() -> None:
    assert summarise_utility(Measurements()).landmark_nme is None
    measured = Measurements(outside_error=[1.0, 3.0], outside_changed=[0.0, 0.1])
    for n in range(6):
        lids = (0.1 * n, 0.1 * n + 0.02)
        measured.fidelities.append(Fidelity(0, n > 0, 0.02, 1.0, lids, (0.1, 0.1), 0.05, float(n)))
    told = summarise_utility(measured)
    assert told.faces_found is not None
    assert told.faces_found.value == pytest.approx(5 / 6)
    assert told.eye_correlation == pytest.approx(1)
    assert told.mouth_correlation is None, "it never moved"
    assert told.skin_delta_e == pytest.approx(2.5)
    assert told.psnr_outside == pytest.approx(10 * np.log10(255**2 / 2))


def test_samples_are_spread_over_a_track() -> None:
    assert sample_frames(person(0, range(4))) == [0, 1, 2, 3]
    many = sample_frames(person(0, range(100)))
    assert (len(many), many[0], many[-1]) == (10, 0, 99)
    assert max(np.diff(many)) <= 12
    assert sample_frames(person(0, range(9), size=12)) == []

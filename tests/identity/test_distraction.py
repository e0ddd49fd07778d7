from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from streamanon.identity.distraction import ATTRIBUTES, Distraction, load_distraction
from streamanon.identity.encoder import IdentityFeature
from streamanon.types import Float

CHANNELS = 256
RNG = np.random.default_rng(0)


def numbers(*shape: int) -> Float:
    return RNG.normal(0, 1, shape).astype(np.float32)


@pytest.fixture(scope="module")
def distraction() -> Distraction:
    """Forty identity directions, at right angles to the probes."""
    probes = numbers(3, CHANNELS)
    inside = np.linalg.qr(probes.T)[0]
    free = numbers(CHANNELS, 40)
    free -= inside @ (inside.T @ free)
    identity = np.linalg.qr(free)[0].T
    anchors = np.eye(8, 128, dtype=np.float32)
    return Distraction(identity.astype(np.float32), probes, numbers(3), anchors, numbers(8, 3))


def look(importance: Float | None = None) -> IdentityFeature:
    pooled = np.abs(numbers(CHANNELS))
    weights = np.abs(numbers(CHANNELS)) if importance is None else importance
    return IdentityFeature(numbers(128), pooled, weights, 4.0)


def test_identity_directions_tell_the_target_and_attributes_the_person(distraction: Distraction) -> None:
    feature, target = look(), np.abs(numbers(CHANNELS))
    before = np.linalg.norm(distraction.identity @ (feature.pooled - target))
    done = distraction.apply(feature, target)
    assert np.linalg.norm(distraction.identity @ (done - target)) < 0.01 * before
    told, kept = distraction.attributes(feature.pooled), distraction.attributes(done)
    assert set(told) == set(ATTRIBUTES)
    for name in ATTRIBUTES:
        assert kept[name] == pytest.approx(told[name], abs=0.02)


def test_what_made_the_score_high_moves_first(distraction: Distraction) -> None:
    importance = np.zeros(CHANNELS, np.float32)
    importance[:128] = 1
    feature = look(importance)
    moved = np.abs(distraction.apply(feature, np.abs(numbers(CHANNELS))) - feature.pooled)
    assert moved[:128].mean() > 3 * moved[128:].mean() > 0


def test_who_is_the_target_stays(distraction: Distraction) -> None:
    feature = look()
    np.testing.assert_allclose(distraction.apply(feature, feature.pooled), feature.pooled, atol=1e-5)


def test_a_face_that_tells_nothing_gives_numbers(distraction: Distraction) -> None:
    channels: Float = np.zeros(CHANNELS, np.float32)
    nothing = IdentityFeature(numbers(128), channels, channels, 0.0)
    assert np.isfinite(distraction.apply(nothing, numbers(CHANNELS))).all()


def test_a_face_is_of_the_nearest_kind(distraction: Distraction) -> None:
    embedding = 0.1 * numbers(128)
    embedding[5] += 1
    assert distraction.kind_of(embedding) == 5


def test_directions_are_read_as_they_were_written(distraction: Distraction, tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, **{field.name: getattr(distraction, field.name) for field in fields(Distraction)})
    feature, target = look(), numbers(CHANNELS)
    again = load_distraction(path).apply(feature, target)
    np.testing.assert_array_equal(again, distraction.apply(feature, target))

"""The camera's grain on a painted face."""

from __future__ import annotations

import numpy as np
import pytest

from streamanon.generate.grain import add_grain, detail_gain, grain_of

SIZE = (96, 120)


def noisy(level: float, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ramp = np.linspace(60, 180, SIZE[1], dtype=np.float32)[None].repeat(SIZE[0], axis=0)
    return (ramp + rng.normal(0, level, SIZE)).astype(np.float32)


def smooth() -> np.ndarray:
    return noisy(0)[..., None].repeat(3, axis=2)


def everywhere() -> np.ndarray:
    return np.ones(SIZE, np.float32)


def grained(rgb: np.ndarray, grey: np.ndarray) -> np.ndarray:
    return add_grain(rgb, everywhere(), grain_of(grey, everywhere()), grey, (0, 0), None)[0]


@pytest.mark.parametrize("level", [2.0, 5.0, 10.0])
def test_a_smooth_face_becomes_as_grainy_as_the_frame(level: float) -> None:
    made = grained(smooth(), noisy(level))
    assert np.std(made[..., 0] - smooth()[..., 0]) == pytest.approx(level, rel=0.1)


def test_a_face_that_is_grainy_enough_is_left_alone() -> None:
    face = noisy(5, seed=2)[..., None].repeat(3, axis=2)
    assert grained(face, noisy(5)) is face


def test_clean_footage_gets_none() -> None:
    face = smooth()
    assert grained(face, noisy(0.5)) is face


def test_edges_are_not_taken_for_grain() -> None:
    grey = noisy(0)
    grey[::30, :] = 255
    grey[:, ::30] = 0
    assert grain_of(grey, everywhere()) < 0.5


def test_grain_is_not_looked_for_where_nothing_is_painted_or_pixels_are_clipped() -> None:
    assert grain_of(noisy(8), np.zeros(SIZE, np.float32)) == 0
    assert grain_of(np.clip(noisy(8) * 0, 0, 255), everywhere()) == 0


def test_the_same_frame_gets_the_same_grain_and_the_next_another() -> None:
    one, again = (grained(smooth(), noisy(6)) for _ in range(2))
    other = grained(smooth(), noisy(6, seed=3))
    np.testing.assert_array_equal(one, again)
    assert abs(np.corrcoef((one - smooth()).ravel(), (other - smooth()).ravel())[0, 1]) < 0.05


def kept(changed: float) -> tuple[np.ndarray, np.ndarray]:
    """The grain of two frames, in a region that moved, of which the right part ``changed``."""
    frame, columns = noisy(6), round(SIZE[1] * (1 - changed))
    after = frame.copy()
    after[:, columns:] = noisy(6, seed=3)[:, columns:] + 20
    wanted = grain_of(frame, everywhere())
    first, laid = add_grain(smooth(), everywhere(), wanted, frame, (8, 4), None)
    part, plain = np.ones((SIZE[0] - 4, SIZE[1] - 8), np.float32), smooth()[4:, 8:]
    second, again = add_grain(plain, part, wanted, after[4:, 8:], (16, 8), laid)
    assert again is not None
    assert np.std(again.noise) == pytest.approx(1, rel=0.05)
    return first[4:, 8:, 0] - plain[..., 0], second[..., 0] - plain[..., 0]


def alike(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), two.ravel())[0, 1])


def test_grain_stays_in_footage_that_stands_still() -> None:
    before, after = kept(changed=0.0)
    np.testing.assert_allclose(after, before, rtol=0.05, atol=0.05)


def test_as_much_grain_stays_as_of_the_frame_but_not_where() -> None:
    """Where a hidden face changed cannot be told from the grain."""
    before, after = kept(changed=0.5)
    left, right = (alike(before[part], after[part]) for part in (np.s_[:, :50], np.s_[:, 54:]))
    assert left == pytest.approx(0.5, abs=0.06)
    assert right == pytest.approx(left, abs=0.06)


def test_grain_of_a_face_that_was_elsewhere_is_not_kept() -> None:
    frame = noisy(6)
    wanted = grain_of(frame, everywhere())
    first, laid = add_grain(smooth(), everywhere(), wanted, frame, (0, 0), None)
    second, _ = add_grain(smooth(), everywhere(), wanted, frame, (500, 20), laid)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("level", [2.0, 4.0])
def test_a_textures_detail_becomes_as_strong_as_the_frames(level: float) -> None:
    rng = np.random.default_rng(4)
    rising = np.linspace(0, 2, SIZE[1], dtype=np.float32)  # few places are quite without
    detail, fine = (rising * rng.normal(0, size, SIZE).astype(np.float32) for size in (level, 0.1))
    flat = np.full((*SIZE, 3), 100, np.float32)
    gain = detail_gain(
        flat, fine, everywhere(), noisy(0) + detail, grain_of(noisy(0) + detail, everywhere())
    )
    assert np.std(100 * gain * fine) == pytest.approx(np.std(detail), rel=0.2)


@pytest.mark.parametrize("level", [3.0, 6.0])
def test_grain_is_not_taken_for_detail(level: float) -> None:
    """Detail as strong as the grain and the grain added to it would be too much."""
    fine = 0.1 * np.random.default_rng(4).normal(0, 1, SIZE).astype(np.float32)
    flat = np.full((*SIZE, 3), 100, np.float32)
    gain = detail_gain(flat, fine, everywhere(), noisy(level), grain_of(noisy(level), everywhere()))
    detailed = flat * (1 + gain * fine)[..., None]
    made = grained(detailed.astype(np.float32), noisy(level))
    assert np.std(made[..., 0]) == pytest.approx(level, rel=0.15)

from __future__ import annotations

import numpy as np

from streamanon.generate.layers import parabola


def test_a_parabola_is_fitted_as_by_numpy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        u, v = (rng.uniform(-0.6, 1.1, 11).astype(np.float32) for _ in range(2))
        np.testing.assert_allclose(parabola(u, v), np.polyfit(u, v, 2), rtol=1e-3, atol=1e-4)


def test_points_in_one_place_give_finite_numbers() -> None:
    assert np.isfinite(parabola(np.full(9, 0.4, np.float32), np.full(9, 0.1, np.float32))).all()

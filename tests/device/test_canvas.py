"""Covers laid over planes on the device, against those that NumPy lays over them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

import torch
from devices import DEVICE, MEMORY, here, there

from streamanon.cover.canvas import HostCanvas
from streamanon.device.canvas import DeviceCanvas
from streamanon.device.grain import Grain, grain_of
from streamanon.device.pictures import Pictures
from streamanon.generate import grain as host_grain
from streamanon.types import PIXEL_FORMATS, Float, Picture


def noise(fmt: str, width: int, height: int) -> Picture:
    step_x, step_y, bits = PIXEL_FORMATS[fmt]
    random = np.random.default_rng(7)
    kind = np.uint8 if bits == 8 else np.uint16
    shapes = [(height, width)] + [(-(-height // step_y), -(-width // step_x))] * 2
    count = 1 if fmt.startswith("gray") else 3
    return Picture(tuple(random.integers(0, 1 << bits, one).astype(kind) for one in shapes[:count]), fmt)


def painting(height: int, width: int) -> tuple[Float, Float]:
    """Colours, and an alpha that is 0 here, 1 there, and anything between."""
    random = np.random.default_rng(3)
    rgb = random.uniform(0, 255, (height, width, 3)).astype(np.float32)
    alpha = random.uniform(-0.5, 1.5, (height, width)).clip(0, 1).astype(np.float32)
    alpha[: height // 4] = 0
    alpha[-height // 4 :] = 1
    return rgb, alpha


@pytest.mark.parametrize("fmt", ["yuv420p", "yuv422p10le", "gbrp"])
def test_covers_of_a_picture_in_black_and_white_have_no_colour(fmt: str) -> None:
    """On the host and on the device alike."""
    picture = noise(fmt, 64, 48)
    grey = 128 << picture.bits - 8
    luma = picture.planes[0]
    chroma = [np.full_like(plane, grey) for plane in picture.planes[1:]]
    still = Picture((luma, *([luma, luma] if fmt == "gbrp" else chroma)), fmt, full_range=True)
    rgb, alpha = painting(16, 20)
    for canvas in (HostCanvas(still), DeviceCanvas(Pictures(MEMORY), still)):
        canvas.write(8, 4, rgb, alpha)
        written = canvas.finish()
        assert (written.planes[0] != luma).any()
        if fmt == "gbrp":
            np.testing.assert_allclose(written.planes[1], written.planes[0], atol=1)
            np.testing.assert_allclose(written.planes[2], written.planes[0], atol=1)
        else:
            assert all((plane == grey).all() for plane in written.planes[1:])


@pytest.mark.parametrize("fmt", sorted(PIXEL_FORMATS))
@pytest.mark.parametrize("corner", [(8, 4), (31, 23)], ids=["within", "at the odd edge"])
@pytest.mark.parametrize("kind", ["arrays", "tensors"])
def test_the_same_samples_come_back(fmt: str, corner: tuple[int, int], kind: str) -> None:
    """Up to one step of rounding in few of them; what no alpha touches to the bit."""
    picture = noise(fmt, 63, 47)
    x0, y0 = (value // step * step for value, step in zip(corner, picture.chroma_step, strict=True))
    width, height = (20, 16) if corner == (8, 4) else (63 - x0, 47 - y0)
    rgb, alpha = painting(height, width)
    host, device = HostCanvas(picture), DeviceCanvas(Pictures(MEMORY), picture)
    host.write(x0, y0, rgb, alpha)
    given = (rgb, alpha) if kind == "arrays" else (there(rgb), there(alpha))
    device.write(x0, y0, *given)
    expected, made = host.finish(), device.finish()
    assert made.pixel_format == fmt
    for one, two, before in zip(expected.planes, made.planes, picture.planes, strict=True):
        assert two.dtype == one.dtype
        apart = np.abs(one.astype(int) - two)
        assert apart.max() <= 1
        assert (apart > 0).mean() < 0.01
        untouched = one == before
        assert (two[untouched] == before[untouched]).mean() > 0.99
    assert (made.planes[0][:y0] == picture.planes[0][:y0]).all()
    assert (made.planes[0][y0 : y0 + height // 4] == picture.planes[0][y0 : y0 + height // 4]).all()
    assert any((one != two).any() for one, two in zip(made.planes, picture.planes, strict=True))


def test_what_does_not_fit_is_refused() -> None:
    picture = noise("yuv420p", 64, 48)
    canvas, (rgb, alpha) = DeviceCanvas(Pictures(MEMORY), picture), painting(16, 16)
    for x0, y0 in ((1, 0), (0, 3), (56, 0), (-2, 0)):
        with pytest.raises(ValueError, match="chroma grid"):
            canvas.write(x0, y0, rgb, alpha)
    alpha[3, 3] = np.nan
    with pytest.raises(ValueError, match="no number"):
        canvas.write(0, 0, rgb, alpha)
    for one, two in zip(canvas.finish().planes, picture.planes, strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_picture_itself_stays_as_it_is() -> None:
    picture = noise("yuv420p", 64, 48)
    pictures, before = Pictures(MEMORY), [plane.copy() for plane in picture.planes]
    canvas = DeviceCanvas(pictures, picture)
    canvas.write(0, 0, *painting(16, 16))
    canvas.finish()
    for plane, old, held in zip(picture.planes, before, pictures.of(picture).planes, strict=True):
        np.testing.assert_array_equal(plane, old)
        np.testing.assert_array_equal(here(held), old)


def grey(strength: float, shape: tuple[int, int] = (90, 120)) -> Float:
    random = np.random.default_rng(1)
    slope = np.linspace(60, 180, shape[1], dtype=np.float32)[None]
    return np.asarray(slope + random.normal(0, strength, shape), np.float32)


@pytest.mark.parametrize("strength", [0.0, 2.0, 6.0])
def test_grain_is_measured_alike(strength: float) -> None:
    share = np.ones((90, 120), np.float32)
    share[:30] = 0.5
    values = grey(strength)
    found = grain_of(there(values), there(share))
    assert float(found) == pytest.approx(host_grain.grain_of(values, share), rel=0.01, abs=0.01)
    assert float(grain_of(there(values[:4]), there(share[:4]))) == 0


def test_a_painted_face_gets_as_much_grain_as_on_the_host() -> None:
    frame, alpha = grey(5.0), np.ones((90, 120), np.float32)
    rgb = np.repeat(grey(0.0)[..., None], 3, axis=2)
    given = there(rgb.transpose(2, 0, 1).copy()), there(alpha)
    made, laid = Grain(MEMORY).add(*given, there(frame), (0, 0), None)
    wanted = host_grain.grain_of(frame, alpha)
    expected = host_grain.add_grain(rgb, alpha, wanted, frame, (0, 0), None)[0] - rgb
    added = here(made.permute(1, 2, 0)) - rgb
    assert added.std() == pytest.approx(expected.std(), rel=0.05)
    assert expected.std() > 3
    assert added[..., 0] == pytest.approx(added[..., 2], abs=1e-3)
    again, _ = Grain(MEMORY).add(*given, there(frame), (0, 0), None)
    assert torch.equal(again, made)
    still, _ = Grain(MEMORY).add(*given, there(frame), (0, 0), laid)
    assert torch.allclose(still, made, atol=1e-3)
    changed = frame + grey(1.0) - grey(0.0) + 5
    changed[:, 60:] = frame[:, 60:]
    other = here(Grain(MEMORY).add(*given, there(changed), (0, 0), laid)[0])[0] - rgb[..., 0]
    for part in (np.s_[:, :60], np.s_[:, 60:]):  # half of it stays, and not where the frame does
        likeness = np.corrcoef(other[part].ravel(), added[..., 0][part].ravel())[0, 1]
        assert likeness == pytest.approx(0.5, abs=0.06)
    apart = here(Grain(MEMORY).add(*given, there(changed), (500, 0), laid)[0])[0] - rgb[..., 0]
    assert np.corrcoef(apart.ravel(), added[..., 0].ravel())[0, 1] < 0.2


def test_smooth_footage_gets_none() -> None:
    rgb, alpha = torch.full((3, 60, 60), 128.0, device=DEVICE), torch.ones(60, 60, device=DEVICE)
    assert torch.equal(Grain(MEMORY).add(rgb, alpha, there(grey(0.3, (60, 60))), (0, 0), None)[0], rgb)

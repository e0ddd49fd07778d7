"""The frame's light, contrast and sharpness on painted faces, as by :mod:`streamanon.generate.light`; and
their border. Images are [N, C, 128, 128].
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from streamanon.device.resample import blur, blur_each, resize_linear
from streamanon.generate.border import (
    ALONG_PX,
    AROUND_PX,
    BLUER,
    BRIGHTER,
    DARKER,
    EDGE_SHARES,
    FAR,
    GREENER,
    LEAST_RING,
    LEAST_SHARE,
    LEVELS,
    LIKE_TINT,
    MOST,
    SKIN_SHARES,
    SPECK_SIGMA,
)
from streamanon.generate.interface import SMOOTHING
from streamanon.generate.light import (
    CONTRAST_RANGE,
    FINEST_SIGMA_PX,
    LEAST_SIGMA_PX,
    LIGHT_BIAS,
    LIGHT_CELLS,
    LIGHT_RATIO,
    LIGHTER,
    SHARPER,
    SHINE_FROM,
    SHINE_KEPT,
    SIGMAS,
    SPREADS,
    TINY,
)
from streamanon.generate.silhouette import APART, NEARBY, NEARBY_STEP, SHARES, SPECK_SIGMA_PX, STEP
from streamanon.generate.softness import (
    EDGE_SIGMA_PX,
    FINE_SIGMA_PX,
    FINER,
    GAINS,
    LEAST_CONTRAST,
)
from streamanon.generate.softness import LEAST_SIGMA_PX as LEAST_SOFT_PX
from streamanon.generate.softness import SIGMAS as SOFT_SIGMAS
from streamanon.types import LUMA


@dataclass(frozen=True, eq=False, repr=False)
class Detail:
    """How strong and how sharp detail is, [N] each; see ``generate.interface.DetailState``."""

    contrast: torch.Tensor
    sigma_px: torch.Tensor


def light_field(rgb: torch.Tensor, skin: torch.Tensor) -> torch.Tensor:
    """The colour field of 4 by 4 cells, from ``skin`` [N, 1, h, w] alone."""
    side, device = rgb.shape[-1] // LIGHT_CELLS, rgb.device
    cells = F.avg_pool2d(torch.cat([rgb * skin, skin], dim=1), side)
    spread, enlarging = _spreading(device), _enlarging(rgb.shape[-1], device)
    total = (cells.flatten(2) @ spread.mT).reshape(cells.shape)
    return (enlarging @ (total[:, :3] / total[:, 3:]) @ enlarging.mT).clamp(0, 255)


def adapt(
    rgb: torch.Tensor,
    light: torch.Tensor,
    source: torch.Tensor,
    core: torch.Tensor,
    skin: torch.Tensor,
    last: torch.Tensor,
) -> tuple[torch.Tensor, Detail]:
    """Give painted faces the contrast and sharpness of the ``source``, and its ``light``. ``last`` [N, 2]:
    each face's contrast and sigma in the frame before, not a number where there was none.
    """
    own = light_field(rgb, skin)
    ratio = ((light + LIGHT_BIAS) / (own + LIGHT_BIAS)).clamp(*LIGHT_RATIO)
    lit = _less_shine(rgb * ratio, _grey(light), _grey(ratio))
    carried = _carried(_measured(_grey(lit - light), _grey(source - light), core), last)
    detail = lit - light
    grey = _grey(detail)
    detail = grey + _saturation(light, own, skin) * (detail - grey)
    sigma = torch.where(carried.sigma_px > LEAST_SIGMA_PX, carried.sigma_px, 0)
    detail = blur_each(detail, sigma, SIGMAS[-1])
    return light + carried.contrast[:, None, None, None] * detail, carried


def _less_shine(lit: torch.Tensor, grey: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    """As in :mod:`streamanon.generate.light`; ``grey`` and ``ratio`` [N, 1, h, w] of luma."""
    excess = (_grey(lit) - (1 + SHINE_FROM) * grey).clamp(min=0)
    return lit - (1 - SHINE_KEPT) * _rising(ratio, LIGHTER) * excess


def like_skin(rgb: torch.Tensor, light: torch.Tensor) -> torch.Tensor:
    """As :func:`streamanon.generate.border.like_skin`."""
    tints, luma = light / _grey(light).clamp(min=1), _grey(rgb)
    low, high = (
        torch.cat([(tints[:, 1:2] + green) * luma, (tints[:, 2:] + blue) * luma], dim=1)
        for green, blue in zip(GREENER, BLUER, strict=True)
    )
    rest = torch.minimum(torch.maximum(rgb[:, 1:], low - LEVELS), high + LEVELS)
    red = rgb[:, :1] + (luma - _grey(torch.cat([rgb[:, :1], rest], dim=1))) / float(LUMA[0])
    return torch.cat([red, rest], dim=1)


def blend_border(
    rgb: torch.Tensor, crop: torch.Tensor, light: torch.Tensor, cut: torch.Tensor, rings: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """``rgb`` of a ``cut`` [N, 1, h, w] with the colours of the ``crop`` around it where those are skin,
    and how surely skin is beside each pixel; ``rings`` [N, 4, h, w]: as
    :func:`streamanon.generate.border.rings_of` gives them.
    """
    shown, inside, rim, nearness = rings.split(1, dim=1)
    rgb = _within_reach(rgb, crop, cut > 0, rim > 0)
    around, seen = _means(crop, shown * _likeness(crop, light))
    painted, _ = _means(rgb, inside)
    small = seen / _spread(shown).clamp(min=LEAST_RING)
    step = _rising(small, SKIN_SHARES) * (around - painted)
    step, beside = (resize_linear(one, (cut.shape[-1], cut.shape[-2])) for one in (step, small))
    return rgb + nearness * step.clamp(-MOST, MOST), _rising(beside, EDGE_SHARES)


def background(crop: torch.Tensor, sides: torch.Tensor) -> torch.Tensor:
    """How to tell faces from what is behind them, [N, 5, h / 2, w / 2]; ``sides`` [N, 3, h / 2, w / 2]: as
    :func:`streamanon.generate.silhouette.sides_of` gives them.
    """
    inside, outside, reach = sides.split(1, dim=1)
    smooth = blur(crop, SPECK_SIGMA_PX)
    own = smooth[:, :, ::STEP, ::STEP]
    face, behind = (
        _most_alike(own, smooth.flatten(2), places[:, 0].long()) for places in (inside, outside)
    )
    way = face - behind
    square = way.square().sum(dim=1, keepdim=True)
    sure = _rising(square.sqrt(), APART) * reach
    way = way / square.clamp(min=1)
    told = torch.cat([way, -(behind * way).sum(dim=1, keepdim=True), sure], dim=1)
    return torch.where(reach > 0, told, 0)


def left_out(rgb: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
    """How much of a painting over ``rgb`` [..., 3, h, w] is left to the picture, [..., 1, h, w]; ``told``
    [..., 5, h, w].
    """
    way, shift, sure = told.split([3, 1, 1], dim=-3)
    share = (blur(rgb, SPECK_SIGMA_PX) * way).sum(dim=-3, keepdim=True) + shift
    return sure * (1 - _rising(share, SHARES))


def _most_alike(own: torch.Tensor, colours: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """For each pixel of ``own`` [N, 3, h, w] the nearest of the ``colours`` [N, 3, P] at ``places``
    [N, h, w] of the pixels near it.
    """
    near = torch.arange(-NEARBY, NEARBY + 1, NEARBY_STEP, device=places.device)
    rows, columns = (
        (torch.arange(length, device=places.device) + near[:, None]).clamp(0, length - 1)
        for length in places.shape[1:]
    )
    there = places[:, rows[:, None, :, None], columns[None, :, None, :]]
    others = colours.gather(2, there.flatten(1)[:, None].expand(-1, 3, -1))
    others = others.reshape(*own.shape[:2], -1, *own.shape[2:])
    best = (others - own[:, :, None]).square().sum(dim=1, keepdim=True).argmin(dim=2, keepdim=True)
    return others.gather(2, best.expand(-1, 3, -1, -1, -1))[:, :, 0]


def softened(
    rgb: torch.Tensor,
    light: torch.Tensor,
    source: torch.Tensor,
    skin: torch.Tensor,
    mask: torch.Tensor,
    last: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As soft as the ``source``, and gain and sigma [N, 2] for that, as by
    :mod:`streamanon.generate.softness`; ``last`` [N, 2]: those of the frame before, not a number where
    there was none.
    """
    detail = rgb - light
    soft = _eased(_softness(_grey(detail), _grey(source - light), skin), last)
    gain, sigma = soft.unbind(dim=1)
    blurred = blur_each(detail, torch.where(sigma > LEAST_SOFT_PX, sigma, 0), SOFT_SIGMAS[-1])
    share = blur(mask.float(), EDGE_SIGMA_PX)
    return rgb + share * (gain[:, None, None, None] * blurred - detail), soft


def _softness(painted: torch.Tensor, real: torch.Tensor, skin: torch.Tensor) -> torch.Tensor:
    gain = (_deviation(real, skin) / _deviation(painted, skin).clamp(min=LEAST_CONTRAST)).clamp(*GAINS)
    tried = torch.cat([blur(painted, sigma) if sigma else painted for sigma in SOFT_SIGMAS])
    fine = _fine(tried, skin.repeat(len(SOFT_SIGMAS), 1, 1, 1)).reshape(len(SOFT_SIGMAS), -1)
    enough = fine <= FINER * _fine(real, skin) / gain
    return torch.stack([gain, _first(enough, SOFT_SIGMAS)], dim=1)


def _fine(grey: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    return _deviation(grey - blur(grey, FINE_SIGMA_PX), inside)


def _first(enough: torch.Tensor, sigmas: tuple[float, ...]) -> torch.Tensor:
    """Of ``sigmas`` the first that is ``enough`` [sigmas, N], else the last: [N]."""
    enough[-1] = True
    return _numbers(sigmas, enough.device)[enough.int().argmax(dim=0)]  # the first of equal ones


def _eased(found: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    return torch.where(last.isnan(), found, last + SMOOTHING * (found - last))


def _rising(values: torch.Tensor, ends: tuple[float, float]) -> torch.Tensor:
    """0 up to the first of the ``ends``, 1 from the second on."""
    return ((values - ends[0]) / (ends[1] - ends[0])).clamp(0, 1)


def _within_reach(
    rgb: torch.Tensor, crop: torch.Tensor, cut: torch.Tensor, rim: torch.Tensor
) -> torch.Tensor:
    """As :func:`streamanon.generate.border.within_reach`."""
    known = blur(torch.where(cut, rgb, crop), SPECK_SIGMA)
    most = _most_around(torch.where(rim, -FAR, known))
    least = -_most_around(torch.where(rim, -FAR, -known))
    return torch.where(rim, torch.minimum(torch.maximum(rgb, least), most), rgb)


def _most_around(values: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(values, AROUND_PX, stride=1, padding=AROUND_PX // 2)


def _likeness(rgb: torch.Tensor, light: torch.Tensor) -> torch.Tensor:
    """As :func:`streamanon.generate.border.likeness`: [N, 1, h, w]."""
    lumas = [_grey(one).clamp(min=1) for one in (rgb, light)]
    apart = lumas[0] - lumas[1]
    apart = torch.maximum(apart / BRIGHTER, -apart / DARKER)
    tinted = (rgb / lumas[0] - light / lumas[1]) / LIKE_TINT
    return torch.exp(-(apart**2) - (tinted**2).sum(dim=1, keepdim=True))


def _means(values: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The local mean of what has weight, and the weight itself, spread; at half the size."""
    spread = _spread(torch.cat([values * weight, weight], dim=1))
    return spread[:, :3] / spread[:, 3:].clamp(min=LEAST_SHARE), spread[:, 3:]


def _spread(values: torch.Tensor) -> torch.Tensor:
    """Blurred, at half the size."""
    return blur(F.avg_pool2d(values, 2), ALONG_PX / 2)


def _measured(painted: torch.Tensor, real: torch.Tensor, core: torch.Tensor) -> Detail:
    """Contrast of the source's detail over the painted one's, and the blur that makes them as sharp."""
    contrast = _deviation(real, core) / _deviation(painted, core).clamp(min=1)
    wanted = SHARPER * _sharpness(real, core)
    tried = torch.stack([blur(painted, sigma) if sigma else painted for sigma in SIGMAS])
    share = _sharpness(tried.flatten(0, 1), core.repeat(len(SIGMAS), 1, 1, 1))
    enough = share.reshape(len(SIGMAS), -1) <= wanted
    return Detail(contrast.clamp(*CONTRAST_RANGE), _first(enough, SIGMAS))


def _carried(found: Detail, last: torch.Tensor) -> Detail:
    eased = _eased(torch.stack([found.contrast, found.sigma_px], dim=1), last)
    return Detail(eased[:, 0], eased[:, 1])


def _saturation(light: torch.Tensor, own: torch.Tensor, skin: torch.Tensor) -> torch.Tensor:
    """How much of a painted face's own colour this footage shows, [N, 1, 1, 1] of 0..1."""
    seen, meant = (_tint(_mean(field, skin)) for field in (light, own))
    return (seen / meant.clamp(min=TINY)).clamp(max=1)[:, None, None, None]


def _tint(colour: torch.Tensor) -> torch.Tensor:
    """How far colours [N, 3] are from grey, of their brightness."""
    grey = luma_of(colour.mT)
    return (colour - grey[:, None]).norm(dim=1) / grey.clamp(min=1)


def _grey(rgb: torch.Tensor) -> torch.Tensor:
    return luma_of(rgb.transpose(0, 1))[:, None]


def luma_of(rgb: torch.Tensor) -> torch.Tensor:
    """Of RGB [3, ...]: [...]."""
    red, green, blue = LUMA.tolist()
    return red * rgb[0] + green * rgb[1] + blue * rgb[2]


def _mean(values: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Of each image and channel where ``inside`` is 1: [N, C]."""
    return (values * inside).sum(dim=(2, 3)) / inside.sum(dim=(2, 3)).clamp(min=1)


def _deviation(grey: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    mean = _mean(grey, inside)
    return _mean((grey - mean[:, :, None, None]) ** 2, inside).sqrt()[:, 0]


def _sharpness(grey: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """The finest detail's share of all detail, where ``inside`` is 1: [N]."""
    fine = _mean((grey - blur(grey, FINEST_SIGMA_PX)).abs(), inside)
    return (fine / _mean(grey.abs(), inside).clamp(min=0.5))[:, 0]


@lru_cache(maxsize=8)
def _numbers(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)


@lru_cache(maxsize=4)
def _spreading(device: torch.device) -> torch.Tensor:
    """What each of the 16 cells takes from each, [16, 16]: of itself, and faintly of its neighbours."""
    cells = np.eye(LIGHT_CELLS**2, dtype=np.float32)
    made = cells.copy()
    for sigma, share in SPREADS:
        for number, cell in enumerate(cells):
            image = cell.reshape(LIGHT_CELLS, LIGHT_CELLS)
            spread = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
            made[:, number] += np.float32(share) * spread.ravel()
    return torch.from_numpy(made).to(device)


@lru_cache(maxsize=4)
def _enlarging(length: int, device: torch.device) -> torch.Tensor:
    """Weights [length, 4] of bicubic enlarging."""
    cells = np.eye(LIGHT_CELLS, dtype=np.float32)
    weights = cv2.resize(cells, (LIGHT_CELLS, length), interpolation=cv2.INTER_CUBIC)
    return torch.from_numpy(np.asarray(weights, np.float32)).to(device)

"""The camera's grain on a painted face, as by :mod:`streamanon.generate.grain`, but for its random numbers:
they are drawn once, and each face takes them from another place.
"""

from __future__ import annotations

import numpy as np
import torch

from streamanon.device.light import luma_of
from streamanon.device.resample import blur, resize_area
from streamanon.generate.grain import (
    BLOCK_PX,
    DETAIL_SIGMA,
    FEWEST_BLOCKS,
    FINEST_SIGMA,
    FLATTER,
    LARGEST_PX,
    LEAST,
    LEAST_POWER,
    MIDDLING,
    MOST,
    MOST_GAIN,
    PAINTED,
    UNCHANGED,
    UNCLIPPED,
    WHITE,
    Laid,
)
from streamanon.runtime.backends import Memory

#: Random numbers drawn, in rows of as many; steps in which a face's place among them is chosen.
SIDE, STEPS = 1024, (7919, 104_729)


class Grain:
    def __init__(self, memory: Memory) -> None:
        drawn = np.random.default_rng(0).standard_normal((SIDE, SIDE), np.float32)
        self._noise = memory.upload(drawn)

    def add(
        self,
        rgb: torch.Tensor,
        alpha: torch.Tensor,
        grey: torch.Tensor,
        corner: tuple[int, int],
        last: Laid | None,
    ) -> tuple[torch.Tensor, Laid]:
        """``rgb`` [3, h, w] as grainy as ``grey`` [h, w], the frame's luma, is where ``alpha`` is 1, and
        the grain. Both are 0..255. The same frame gets the same grain, of which as large a share stays from
        the ``last`` frame as there are pixels that did not change.
        """
        rows, columns = (_middle(length) for length in alpha.shape)
        painted = luma_of(rgb[:, rows, columns])
        wanted, own = (grain_of(one, alpha[rows, columns]) for one in (grey[rows, columns], painted))
        strength = (wanted**2 - own**2).clamp(min=0).sqrt() / WHITE
        strength = torch.where(strength < LEAST, 0, strength.clamp(max=MOST))
        noise = self._taken(wanted, alpha.shape)
        if last is not None:
            here, there = last.shared(*corner, grey.shape)
            if grey[here].numel():
                share = ((grey[here] - last.grey[there]).abs() < UNCHANGED).float().mean()
                stays = noise.flip(0)[here] < torch.special.ndtri(share)
                noise[here] = torch.where(stays, last.noise[there], noise[here])
        return rgb + strength * noise, Laid(*corner, grey, noise)

    def _taken(self, wanted: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """Numbers [h, w] from a place that ``wanted`` decides."""
        start = (1e4 * wanted).long()
        y, x = (
            (torch.arange(length, device=wanted.device) + start * step) % SIDE
            for length, step in zip(shape, STEPS, strict=True)
        )
        return self._noise[y[:, None], x]


def detail_gain(
    rgb: torch.Tensor, fine: torch.Tensor, alpha: torch.Tensor, grey: torch.Tensor
) -> torch.Tensor:
    """As :func:`streamanon.generate.grain.detail_gain`; ``rgb`` is [3, h, w]."""
    rows, columns = (_middle(length) for length in alpha.shape)
    share, plain = alpha[rows, columns], luma_of(rgb[:, rows, columns])
    grain = (grain_of(grey[rows, columns], share) ** 2 - (LEAST * WHITE) ** 2).clamp(min=0)
    wanted, own, whole = (
        grain_of(one, share, MIDDLING, DETAIL_SIGMA) ** 2
        for one in (grey[rows, columns], plain, plain * (1 + fine[rows, columns]))
    )
    return ((wanted - grain - own) / (whole - own).clamp(min=LEAST_POWER)).clamp(0, MOST_GAIN**2).sqrt()


def grain_of(
    grey: torch.Tensor, share: torch.Tensor, percent: int = FLATTER, sigma: float = FINEST_SIGMA
) -> torch.Tensor:
    """As :func:`streamanon.generate.grain.grain_of`."""
    rows, columns = (length - length % BLOCK_PX for length in grey.shape)
    if not rows or not columns:
        return torch.zeros((), device=grey.device)
    fine = grey - blur(grey, sigma)
    layers = torch.stack([fine * fine, grey, share])[:, :rows, :columns]
    power, mean, inside = resize_area(layers, (columns // BLOCK_PX, rows // BLOCK_PX))
    usable = (inside > PAINTED) & (mean > UNCLIPPED[0]) & (mean < UNCLIPPED[1])
    strength = torch.where(usable, power, torch.nan).flatten().nanquantile(percent / 100).sqrt()
    return torch.where(usable.sum() < FEWEST_BLOCKS, 0, strength)


def _middle(length: int) -> slice:
    start = max(0, (length - LARGEST_PX) // 2)
    return slice(start, start + LARGEST_PX)

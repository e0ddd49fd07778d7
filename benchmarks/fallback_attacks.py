"""Attackers who know how faces were covered, and have many faces to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from fallback_covers import Crops, Faces, cell_means, trembling
from numpy.typing import NDArray
from scipy import linalg  # type: ignore[import-untyped]
from torch import nn

from streamanon.types import Float

#: Boxes that a detector gives one face differ by about this, px of a crop (4 % of the face's width).
JITTER_PX = 2
LOOKS = 6
PARTS = 256
BATCH = 256
TEMPERATURE = 0.1
LDA_RIDGE = 1e-2
LDA_KEPT = 64


@dataclass(frozen=True)
class Strength:
    """A cover: ``cells`` across and down, with noise of ``noise`` levels (standard deviation). ``looks``: how
    many covers of one face the attacker has; ``fixed``: whether their noise is the same, as within a track.
    """

    cells: int
    noise: float
    looks: int = 1
    fixed: bool = True


class Covers:
    """Covered faces, drawn anew whenever asked for."""

    def __init__(self, strength: Strength, seed: int) -> None:
        self.strength = strength
        self._rng = np.random.default_rng(seed)
        #: Known to the attacker, who sees where the box went.
        self.shifts = trembling(np.random.default_rng(7), strength.cells, strength.looks)

    def means(self, crops: Crops, jitter: int = JITTER_PX) -> Crops:
        """[N, looks, cells, cells, 3], of boxes somewhat off."""
        off = self._rng.integers(-jitter, jitter + 1, (len(crops), 1, 2))
        return cell_means(crops, self.strength.cells, self.shifts[None] + off)

    def noisy(self, means: Crops) -> Float:
        """Levels 0..255 [N, looks, cells, cells, 3], as they are shown."""
        count, looks, *cells = means.shape
        shape = (count, 1 if self.strength.fixed else looks, *cells)
        noise = self._rng.normal(0, self.strength.noise, shape).astype(np.float32)
        return np.asarray(np.rint(means + noise).clip(0, 255), np.float32)


def fit_restoration(covers: Covers, crops: Crops, size: int) -> Float:
    """The linear least-squares restoration [looks * cells * cells + 1, size * size] of a colour channel of faces
    from all looks at them, learned from faces: super-resolution whose prior is a face.
    """
    wanted = cell_means(crops, size, np.zeros((1, 2), np.int64))
    seen = covers.noisy(covers.means(crops, 0))
    inputs, outputs = rows_of(seen), rows_of(wanted.astype(np.float32))
    inputs = np.concatenate([inputs, np.ones((len(inputs), 1), np.float32)], 1)
    gram = (inputs.T @ inputs).astype(np.float64)
    gram += 1e-6 * np.trace(gram) / len(gram) * np.eye(len(gram))
    found = linalg.solve(gram, (inputs.T @ outputs).astype(np.float64), assume_a="pos")
    return np.asarray(found, np.float32)


def rows_of(looks: Float) -> Float:
    """[N, K, h, w, 3] -> a row of K * h * w numbers for each face and channel [N * 3, K * h * w]."""
    return np.ascontiguousarray(np.moveaxis(looks, -1, 1).reshape(3 * len(looks), -1))


def restored(restoration: Float, looks: Float) -> Float:
    """Faces [N, size, size, 3], levels."""
    size = round(float(np.sqrt(restoration.shape[1])))
    found = rows_of(looks) @ restoration[:-1] + restoration[-1]
    return np.moveaxis(found.reshape(len(looks), 3, size, size), 1, -1)


@dataclass(frozen=True, eq=False)
class Linear:
    """From rows [N, D] to PARTS principal components, the weak ones not blown up."""

    middle: Float
    axes: Float

    @staticmethod
    def fit(rows: Float, parts: int = PARTS) -> Linear:
        middle = rows.mean(0)
        values, vectors = np.linalg.eigh(np.cov((rows - middle).T).astype(np.float64))
        order = np.argsort(values)[::-1][:parts]
        gains = 1 / np.sqrt(values[order] + 0.01 * values.mean() + 1e-3)
        return Linear(middle, np.asarray(vectors[:, order] * gains, np.float32))

    def __call__(self, rows: Float) -> Float:
        return (rows - self.middle) @ self.axes


class Attacker:
    """A network from covered faces to embeddings of bare ones, trained with contrast to other people's."""

    def __init__(self, strength: Strength, seed: int = 0) -> None:
        self.covers = Covers(strength, seed)
        self._restoration: Float | None = None
        self._parts: Linear | None = None
        self._net: nn.Module | None = None
        self._centre: Float | None = None

    def learn(self, faces: Faces, steps: int) -> None:
        torch.manual_seed(0)
        if self.covers.strength.looks > 1:
            size = min(24, 3 * self.covers.strength.cells)
            self._restoration = fit_restoration(self.covers, faces.crops[::2], size)
        views = self._views(faces.crops)
        self._parts = Linear.fit(self._rows(self.covers.noisy(views[0])))
        self._centre = faces.embeddings.mean(0)
        wanted = torch.from_numpy(person_means(faces) - self._centre)
        wanted = nn.functional.normalize(wanted, dim=1)
        width = self._parts.axes.shape[1]
        net = mlp(width)
        optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
        for rows, view in batches(len(faces), steps, len(views)):
            inputs = torch.from_numpy(self._parts(self._rows(self.covers.noisy(views[view][rows]))))
            found = nn.functional.normalize(net(inputs), dim=1)
            alike = found @ wanted[rows].T / TEMPERATURE
            aims = torch.arange(len(rows))
            loss = nn.functional.cross_entropy(alike, aims) + nn.functional.cross_entropy(alike.T, aims)
            loss = loss + 5 * (1 - (found * wanted[rows]).sum(1)).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        self._net = net.eval()
        self.loss = float(loss.detach())

    def _views(self, crops: Crops) -> list[Crops]:
        """Covers by boxes that differ a little; every other view is a mirror image."""
        flipped = np.ascontiguousarray(crops[:, :, ::-1])
        return [self.covers.means(flipped if view % 2 else crops) for view in range(LOOKS)]

    def _rows(self, looks: Float) -> Float:
        if self._restoration is not None:
            looks = restored(self._restoration, looks)[:, None]
        return looks.reshape(len(looks), -1)

    @torch.no_grad()
    def describe(self, looks: Float) -> Float:
        """Unit vectors [N, 128] near those of :meth:`bare`."""
        assert self._net is not None and self._parts is not None
        found = self._net(torch.from_numpy(self._parts(self._rows(looks))))
        return np.asarray(nn.functional.normalize(found, dim=1).numpy(), np.float32)

    def bare(self, embeddings: Float) -> Float:
        """Bare faces' embeddings as unit vectors."""
        centred = embeddings - self._centre
        return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True), np.float32)


def mlp(inputs: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Dropout(0.05)]
    for width in (768, 768):
        layers += [nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.GELU(), nn.Dropout(0.2)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, 128))


def batches(count: int, steps: int, views: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    rng = np.random.default_rng(0)
    for step in range(steps):
        yield rng.choice(count, min(BATCH, count), replace=False), step % views


def person_means(faces: Faces) -> Float:
    """Each face's embedding as the mean of its person's."""
    _, group = np.unique(faces.people, return_inverse=True)
    sums = np.zeros((group.max() + 1, faces.embeddings.shape[1]), np.float32)
    np.add.at(sums, group, faces.embeddings)
    return np.asarray((sums / np.bincount(group)[:, None])[group], np.float32)

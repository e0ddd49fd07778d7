"""Attackers who know how faces were covered, but not the noise, and have many faces to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg  # type: ignore[import-untyped]
from torch import nn

from benchmarks.covers.cells import Covers, Crops, Faces, Strength, cell_means
from streamanon.training.directions import discriminant
from streamanon.types import Float

#: Covers made of each face to learn from, by boxes that differ a little; noise is drawn for every step.
VIEWS = 6
PARTS = 256
BATCH = 256
TEMPERATURE = 0.1
DISCRIMINANT = 64
GALLERY_DRAWS = 4
#: About the rounding of levels, beside their variance.
RIDGE, MIDDLE = 1e-4, np.float32(128)


def rows_of(samples: Float) -> Float:
    """[N, K, h, w, 3] -> a row of K * h * w numbers for each face and channel [N * 3, K * h * w]."""
    return np.ascontiguousarray(np.moveaxis(samples, -1, 1).reshape(3 * len(samples), -1))


class Restoration:
    """Super-resolution: the linear least-squares estimate of a face from several shifted covers of it,
    learned from faces, so that it knows what faces look like.
    """

    def __init__(self, covers: Covers, crops: Crops) -> None:
        self.size = min(24, 3 * covers.strength.cells)
        self._own = covers.strength.kind.startswith("own")
        still = np.zeros((len(crops), 1, 2), np.int64)
        bare = cell_means(crops, Strength("mosaic", self.size), still).astype(np.float32)
        inputs = self._inputs(covers.shown(covers.means(crops, jitter=0)))
        gram = (inputs.T @ inputs).astype(np.float64)
        gram += RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
        found = linalg.solve(gram, (inputs.T @ (rows_of(bare) - MIDDLE)).astype(np.float64), assume_a="pos")
        self._weights = found.astype(np.float32)

    def __call__(self, samples: Float) -> Float:
        """Levels [N, 1, size, size, 3] of samples [N, K, h, w, 3]."""
        found = self._inputs(samples) @ self._weights + MIDDLE
        return np.moveaxis(found.reshape(len(samples), 3, 1, self.size, self.size), 1, -1)

    def _inputs(self, samples: Float) -> Float:
        if self._own:  # shades are drawn for anybody; what they lie around counts
            samples = samples.mean(axis=(2, 3), keepdims=True)
        rows = rows_of(samples) - MIDDLE
        return np.concatenate([rows, np.ones((len(rows), 1), np.float32)], axis=1)


@dataclass(frozen=True, eq=False)
class Components:
    """From rows [N, D] to principal components [N, PARTS or fewer], the weak ones not blown up."""

    middle: Float
    axes: Float

    @staticmethod
    def fit(rows: Float) -> Components:
        middle = rows.mean(0)
        values, vectors = np.linalg.eigh(np.cov((rows - middle).T).astype(np.float64))
        order = np.argsort(values)[::-1][:PARTS]
        gains = 1 / np.sqrt(values[order].clip(0) + 0.01 * values.mean() + 1e-3)
        return Components(middle, np.asarray(vectors[:, order] * gains, np.float32))

    def __call__(self, rows: Float) -> Float:
        return np.asarray((rows - self.middle) @ self.axes, np.float32)


def unit(rows: Float) -> Float:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-9), np.float32)


class Attacker:
    """Learns to match covers with photos and covered photos, from people other than those searched for.

    Network: covers to embeddings of the bare face, trained by contrast with other faces (InfoNCE, van den
    Oord et al., 2018). Fisherfaces: a linear discriminant analysis of covers (Belhumeur et al., 1997).
    """

    def __init__(self, strength: Strength, faces: Faces, steps: int) -> None:
        self.covers = Covers(strength, seed=0)
        several = strength.samples > 1
        self._restoration = Restoration(self.covers, faces.crops[::2]) if several else None
        views = self._views(faces.crops)
        self._components = Components.fit(self._flat(self.covers.shown(views[0])))
        self._centre = faces.embeddings.mean(0)
        self._fisher = self._fisherfaces(views, faces.people)
        self._network = self._trained(views, faces, steps)

    def similarities(self, faces: Faces) -> dict[str, Float]:
        """How alike each face's cover, drawn anew, and each bare face are, by attack, [N, N]."""
        means = self.covers.means(faces.crops)
        shown = self.covers.shown(means)
        probe = self._parts(shown)
        gallery = [
            self._parts(self.covers.plain(self.covers.means(faces.crops))) for _ in range(GALLERY_DRAWS)
        ]
        bare = unit(faces.embeddings - self._centre)
        found = self._described(probe)
        known = np.mean([self._described(one) for one in gallery], axis=0)
        to_bare, parrot = found @ bare.T, found @ unit(known).T
        cells = self._flat(shown), self._flat(self.covers.plain(self.covers.means(faces.crops)))
        return {
            "pixels": -distances(*cells),
            "fisherfaces": unit(probe @ self._fisher) @ unit(np.mean(gallery, axis=0) @ self._fisher).T,
            "network": to_bare,
            "network, parrot": parrot,
            "network, both": _standard(to_bare) + _standard(parrot),
        }

    def _views(self, crops: Crops) -> list[Crops]:
        """Every other view is a mirror image."""
        mirrored = np.ascontiguousarray(crops[:, :, ::-1])
        return [self.covers.means(mirrored if view % 2 else crops) for view in range(VIEWS)]

    def _flat(self, samples: Float) -> Float:
        if self._restoration is not None:
            samples = self._restoration(samples)
        return np.ascontiguousarray(samples.reshape(len(samples), -1), np.float32)

    def _parts(self, samples: Float) -> Float:
        return self._components(self._flat(samples))

    def _fisherfaces(self, views: list[Crops], people: NDArray[np.str_]) -> Float:
        """Directions [PARTS, DISCRIMINANT], by people with several photos."""
        _, group, counts = np.unique(people, return_inverse=True, return_counts=True)
        several = counts[group] >= 2
        parts = [self._parts(self.covers.shown(view[several])) for view in views[::2]]
        found = discriminant(np.concatenate(parts), np.tile(people[several], len(parts)), DISCRIMINANT)
        return np.asarray(found.T, np.float32)

    def _trained(self, views: list[Crops], faces: Faces, steps: int) -> nn.Module:
        torch.manual_seed(0)
        wanted = torch.from_numpy(unit(person_means(faces) - self._centre))
        network = perceptron(self._components.axes.shape[1])
        optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
        for rows, view in batches(len(faces), steps):
            inputs = torch.from_numpy(self._parts(self.covers.shown(views[view][rows])))
            found = nn.functional.normalize(network(inputs), dim=1)
            optimiser.zero_grad()
            contrast(found, wanted[rows]).backward()
            optimiser.step()
            schedule.step()
        return network.eval()

    def _described(self, parts: Float) -> Float:
        """Unit vectors [N, 128], near those of the bare faces."""
        with torch.no_grad():
            found = nn.functional.normalize(self._network(torch.from_numpy(parts)), dim=1)
        return np.asarray(found.numpy(), np.float32)


def distances(one: Float, two: Float) -> Float:
    squares = (one**2).sum(1)[:, None] + (two**2).sum(1)[None] - 2 * one @ two.T
    return np.asarray(np.sqrt(squares.clip(0)), np.float32)


def _standard(alike: Float) -> Float:
    return np.asarray((alike - alike.mean(1, keepdims=True)) / alike.std(1, keepdims=True), np.float32)


def contrast(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Unit vectors [B, 128] to be near their own and far from the others."""
    alike = found @ wanted.T / TEMPERATURE
    aims = torch.arange(len(found))
    both = nn.functional.cross_entropy(alike, aims) + nn.functional.cross_entropy(alike.T, aims)
    return both + 5 * (1 - (found * wanted).sum(1)).mean()


def perceptron(inputs: int, hidden: int = 768) -> nn.Module:
    layers: list[nn.Module] = [nn.Dropout(0.05)]
    for width in (inputs, hidden):
        layers += [nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.GELU(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(hidden, 128))


def batches(count: int, steps: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Rows, and which view of them."""
    rng = np.random.default_rng(0)
    for step in range(steps):
        yield rng.choice(count, min(BATCH, count), replace=False), step % VIEWS


def person_means(faces: Faces) -> Float:
    """Each face's embedding as the mean of its person's."""
    _, group = np.unique(faces.people, return_inverse=True)
    sums = np.zeros((group.max() + 1, faces.embeddings.shape[1]), np.float32)
    np.add.at(sums, group, faces.embeddings)
    return np.asarray((sums / np.bincount(group)[:, None])[group], np.float32)

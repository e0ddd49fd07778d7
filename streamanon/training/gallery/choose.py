"""Which portraits and pairs of them become delegates: every cell of sex, tone and age its quota."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from streamanon.training.gallery.morph import Recipe, age_of
from streamanon.training.gallery.odd import ODD_PAIRS
from streamanon.training.gallery.portraits import FREE, Face
from streamanon.types import Float

#: Borders of the tone bins, degrees of ITA: dark, brown, tan, intermediate, light, very light (Chardon).
TONES = (-60.0, -30.0, 10.0, 28.0, 41.0, 55.0, 66.0)
AGES = (18.0, 33.0, 45.0, 57.0, 90.0)
#: Portraits of a pair differ at most so much, years and degrees, and fill a cell up to so many. Then others
#: fill the emptiest: few portraits are of light people of middle age, who lie between young and old ones.
NEAR, FAR = (9.0, 16.0, 13), (26.0, 34.0, 10)
#: How often one free portrait is the first of a pair, and any portrait the second.
USES, SECOND_USES = 7, 3

Cell = tuple[bool, int, int]  # masculine, tone bin, age bin


def bin_of(value: float, borders: Sequence[float]) -> int:
    """The number of the bin between two ``borders`` that holds a value; what lies outside is in the last
    on that side.
    """
    return int(np.clip(np.searchsorted(borders, value, side="right") - 1, 0, len(borders) - 2))


def cell_of(recipe: Recipe, faces: Sequence[Face]) -> Cell:
    first = faces[recipe.first]
    tone = first.tone if recipe.second is None else (first.tone + faces[recipe.second].tone) / 2
    return first.male, bin_of(tone, TONES), bin_of(age_of(recipe, faces), AGES)


def choose(faces: Sequence[Face], codes: Float, rng: np.random.Generator) -> list[Recipe]:
    """Recipes over ``faces``, of whose codes [N, 32] those far from each other are preferred: each free
    portrait itself, then pairs until the cells are full, first of near portraits and then of others.
    """
    chosen = [Recipe(row) for row, face in enumerate(faces) if face.source == FREE]
    for *reach, quota in (NEAR, FAR):
        _fill_cells(chosen, list(_pairs(faces, reach, rng)), faces, codes, quota)
    return sorted(chosen, key=lambda one: (cell_of(one, faces), age_of(one, faces), one.first))


def _fill_cells(
    chosen: list[Recipe], pairs: list[Recipe], faces: Sequence[Face], codes: Float, quota: int
) -> None:
    """Add to ``chosen`` those of ``pairs`` that lie far from them, until each cell has its ``quota``."""
    filled = Counter(cell_of(recipe, faces) for recipe in chosen)
    uses = Counter(recipe.first for recipe in chosen if recipe.second is not None)
    later = Counter(recipe.second for recipe in chosen)
    taken = {(recipe.first, recipe.second) for recipe in chosen}
    pairs = [pair for pair in pairs if (pair.first, pair.second) not in taken]
    firsts, seconds = (np.array([getattr(pair, name) for pair in pairs]) for name in ("first", "second"))
    middles = np.asarray((codes[firsts] + codes[seconds]) / 2, np.float32)
    gaps = _gaps(middles, np.array([_middle(recipe, codes) for recipe in chosen]))
    cells: list[Cell] = [cell_of(pair, faces) for pair in pairs]
    rows_of = {cell: np.array([row for row, one in enumerate(cells) if one == cell]) for cell in set(cells)}
    left = np.array([uses[p.first] < USES and later[p.second] < SECOND_USES for p in pairs])
    while open_cells := [c for c, rows in rows_of.items() if filled[c] < quota and left[rows].any()]:
        rows = rows_of[min(open_cells, key=lambda cell: (filled[cell], cell))]
        row = int(rows[np.argmax(np.where(left[rows], gaps[rows], -1))])
        chosen.append(pairs[row])
        filled[cells[row]] += 1
        uses.update([pairs[row].first])
        later.update([pairs[row].second])
        left[row] = False
        left[firsts == pairs[row].first] &= uses[pairs[row].first] < USES
        left[seconds == pairs[row].second] &= later[pairs[row].second] < SECOND_USES
        gaps = np.minimum(gaps, _gaps(middles, middles[row][None]))


def _middle(recipe: Recipe, codes: Float) -> Float:
    """About where its code lies."""
    second = recipe.first if recipe.second is None else recipe.second
    return np.asarray((codes[recipe.first] + codes[second]) / 2, np.float32)


def _pairs(faces: Sequence[Face], reach: Sequence[float], rng: np.random.Generator) -> Iterator[Recipe]:
    """All pairs of like sex, and of age and tone within ``reach``, the first one free; each side mirrored
    or not, by lot.
    """
    for row, first in enumerate(faces):
        if first.source != FREE:
            continue
        for other, second in enumerate(faces):
            alike = (
                other != row
                and first.male == second.male
                and abs(first.age - second.age) <= reach[0]
                and abs(first.tone - second.tone) <= reach[1]
                and (first.name, second.name) not in ODD_PAIRS
            )
            if alike:
                lots = rng.random(3) < 0.5
                yield Recipe(row, other, (bool(lots[0]), bool(lots[1])), eyes=bool(lots[2]))


def _gaps(codes: Float, known: Float) -> NDArray[np.float64]:
    """How far each of ``codes`` [N, 32] lies from the nearest of ``known`` [M, 32]."""
    squares = (codes**2).sum(1)[:, None] + (known**2).sum(1)[None] - 2 * codes @ known.T
    return np.asarray(np.sqrt(squares.clip(0)).min(1), np.float64)

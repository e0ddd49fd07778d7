"""Choosing the gallery among candidates: every cell its quota, all as far apart as can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from streamanon.training.gallery.candidates import QUOTAS, Candidate, Cell, cells
from streamanon.training.gallery.measure import THRESHOLD, distances

#: Passes, each for the cells that stayed short in those before: the least distance between two delegates,
#: and from any portrait, whether the delegate is made of it or not.
PASSES = ((THRESHOLD, THRESHOLD), (THRESHOLD, 0.0), (0.52, 0.0), (0.49, 0.0))
#: How often one portrait may give the same part.
MAX_USES = 4


def choose(candidates: Sequence[Candidate]) -> list[int]:
    """The rows of the chosen ones. Cells take turns, the emptiest first, and each takes the candidate whose
    nearest chosen one is farthest.
    """
    embeddings = np.array([candidate.embedding for candidate in candidates])
    by_cell: dict[Cell, list[int]] = {cell: [] for cell in cells()}
    for row, candidate in enumerate(candidates):
        by_cell[candidate.cell].append(row)
    gaps = np.full(len(candidates), np.inf, np.float32)
    chosen: list[int] = []
    taken: Counter[Cell] = Counter()
    uses: Counter[tuple[int, int]] = Counter()
    for floor, from_any in PASSES:
        open_cells = [cell for cell in by_cell if taken[cell] < QUOTAS[cell[2]]]
        while open_cells:
            cell = min(open_cells, key=lambda c: (taken[c] / QUOTAS[c[2]], len(by_cell[c]), c))
            fit = [
                row for row in by_cell[cell] if gaps[row] >= floor and candidates[row].nearest >= from_any
            ]
            free = [row for row in fit if _free(candidates[row], uses)]
            if not free:
                open_cells.remove(cell)
                continue
            row = max(free, key=lambda r: (min(float(gaps[r]), 2.0), r))
            chosen.append(row)
            by_cell[cell].remove(row)
            uses.update(enumerate(candidates[row].recipe.donors.tolist()))
            gaps = np.minimum(gaps, distances(embeddings[row][None], embeddings)[0])
            taken[cell] += 1
            if taken[cell] >= QUOTAS[cell[2]]:
                open_cells.remove(cell)
    return sorted(chosen, key=lambda row: (candidates[row].cell, candidates[row].age))


def _free(candidate: Candidate, uses: Counter[tuple[int, int]]) -> bool:
    return all(uses[part] < MAX_USES for part in enumerate(candidate.recipe.donors.tolist()))

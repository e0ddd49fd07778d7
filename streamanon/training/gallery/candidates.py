"""Many delegates to choose from: recipes for every cell of sex, tone and age, made, screened, measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamanon.identity.chart import Chart
from streamanon.identity.filters import encode
from streamanon.identity.texture import flaws, tone_degrees
from streamanon.training.gallery.blend import PARTS, Blender, Recipe, folds_over
from streamanon.training.gallery.measure import THRESHOLD, Measurer, distances
from streamanon.training.gallery.portraits import Face
from streamanon.types import Float

#: Borders of the tone bins, degrees of ITA: dark, brown, tan, intermediate, light, very light (Chardon).
TONES = (-60.0, -30.0, 10.0, 28.0, 41.0, 55.0, 66.0)
AGES = (18.0, 33.0, 45.0, 57.0, 75.0)
#: Delegates of either sex and each tone, by age.
QUOTAS = (8, 7, 6, 4)
#: Candidates wanted of each cell for each place in it, and how often one is tried for at most.
CHOICE, TRIES = 5, 60
#: Over how many degrees and years portraits are drawn from; more where they would be too few of a kind.
TONE_REACH, AGE_REACH = 15.0, 7.0
WIDER = (1.0, 1.3, 1.7, 2.2)
LEAST_KIND = 30.0  # portraits, effectively
#: How much likelier a ``faker`` portrait is drawn: they are few and differ most.
FAKER_ODDS = 8.0
#: The largest flaws that a delegate may have; and how surely it must present as its sex.
LIMITS = {
    "fringe": 0.06,
    "hair": 0.02,
    "foreign": 0.02,
    "strands": 0.05,
    "patch": 0.33,
    "glasses": 0.07,
    "lopsided": 0.15,
    "teeth": 1.0,
}
SURE_SEX = 0.6
#: What a delegate's distance from the portraits that it is made of must exceed the match threshold by.
MARGIN = 0.004

Cell = tuple[bool, int, int]  # masculine, tone bin, age bin


@dataclass(frozen=True, eq=False)
class Candidate:
    """A delegate in the making: ``jpeg`` bytes of its texture, ``shape`` [478, 3], the recogniser's
    ``embedding`` [128], its distances from the nearest portrait and the nearest of its own.
    """

    recipe: Recipe
    jpeg: NDArray[np.uint8]
    shape: Float
    embedding: Float
    masculine: float
    age: float
    tone: float
    nearest: float
    nearest_donor: float

    @property
    def cell(self) -> Cell:
        return self.masculine > 0.5, bin_of(self.tone, TONES), bin_of(self.age, AGES)


def bin_of(value: float, borders: Sequence[float]) -> int:
    """The number of the bin between two ``borders`` that holds a value; what lies outside is in the last
    on that side.
    """
    return int(np.clip(np.searchsorted(borders, value, side="right") - 1, 0, len(borders) - 2))


def cells() -> Iterator[Cell]:
    for male in (False, True):
        for tone in range(len(TONES) - 1):
            for age in range(len(AGES) - 1):
                yield male, tone, age


def make_candidates(
    faces: Sequence[Face], chart: Chart, measurer: Measurer, portraits: Float, rng: np.random.Generator
) -> tuple[list[Candidate], Counter[str]]:
    """Candidates for every cell, and why others were left out; ``portraits`` [M, 128]: the embeddings of
    all there are.
    """
    blender = Blender(faces, chart)
    made: list[Candidate] = []
    dropped: Counter[str] = Counter()
    filled: Counter[Cell] = Counter()
    for cell in cells():
        quota = QUOTAS[cell[2]]
        for _ in range(TRIES * quota):
            if filled[cell] >= CHOICE * quota:
                break
            recipe = draw_recipe(faces, cell, rng)
            found = _make(recipe, faces, blender, chart, measurer, portraits)
            if isinstance(found, str):
                dropped[found] += 1
            elif found.cell[0] != cell[0]:
                dropped["sex"] += 1
            else:
                made.append(found)
                filled[found.cell] += 1
    return made, dropped


def draw_recipe(faces: Sequence[Face], cell: Cell, rng: np.random.Generator) -> Recipe:
    """Five portraits of one sex, about one tone and one age."""
    male, tone_bin, age_bin = cell
    tone = rng.uniform(TONES[tone_bin] + 2, TONES[tone_bin + 1] - 2)
    age = rng.uniform(AGES[age_bin], AGES[age_bin + 1])
    tones, ages = (np.array([getattr(face, name) for face in faces]) for name in ("tone", "age"))
    same_sex = np.array([(face.masculine > 0.5) == male for face in faces])
    prior = same_sex * np.array([FAKER_ODDS if face.source == "faker" else 1.0 for face in faces])
    for wider in WIDER:
        off = ((tones - tone) / (wider * TONE_REACH)) ** 2 + ((ages - age) / (wider * AGE_REACH)) ** 2
        odds = prior * np.exp(-off) + 1e-12 * same_sex
        if odds.sum() ** 2 >= LEAST_KIND * (odds**2).sum():
            break
    donors = rng.choice(len(faces), len(PARTS), replace=False, p=odds / odds.sum())
    return Recipe(donors, rng.random(len(PARTS)) < 0.5, float(tone))


def _make(
    recipe: Recipe,
    faces: Sequence[Face],
    blender: Blender,
    chart: Chart,
    measurer: Measurer,
    portraits: Float,
) -> Candidate | str:
    """The candidate of a recipe, or why there is none."""
    texture, shape = blender.texture(recipe), blender.shape(recipe)
    if folds_over(shape, chart):
        return "shape"
    found = flaws(texture, chart)
    for name, limit in LIMITS.items():
        if found[name] > limit:
            return name
    measured = measurer.measure(np.round(texture * 255).astype(np.uint8), shape)
    own = np.array([faces[row].embedding for row in recipe.donors])
    nearest_donor = float(distances(measured.embedding[None], own).min())
    if nearest_donor < THRESHOLD + MARGIN:
        return "like a portrait of its own"
    if abs(measured.masculine - 0.5) < SURE_SEX - 0.5:
        return "sex"
    return Candidate(
        recipe=recipe,
        jpeg=encode(texture),
        shape=shape,
        embedding=measured.embedding,
        masculine=measured.masculine,
        age=measured.age,
        tone=tone_degrees(texture, chart),
        nearest=float(distances(measured.embedding[None], portraits).min()),
        nearest_donor=nearest_donor,
    )

"""A folder of people's photos, anonymised and searched among themselves, as papers tabulate it.

The folder is laid out as Labeled Faces in the Wild (Huang et al., 2007): ``DIR/person/photo.jpg``, two
photos and more of each person. Somebody who has another photo of everyone looks for the people in the
anonymised ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamanon.audit.gallery import find_photos, largest_face, read_photo
from streamanon.audit.judges import Judge
from streamanon.audit.measure import Likeness, compare_meshes
from streamanon.audit.pairing import Image
from streamanon.audit.people import FaceFrame
from streamanon.audit.recognisers import Recogniser
from streamanon.audit.result import Interval, rounded
from streamanon.errors import ConfigError
from streamanon.geometry import overlap
from streamanon.mesh import Measurement, MeshModel
from streamanon.pixels import from_rgb
from streamanon.types import Float, Target

SCHEMA = "streamanon-identities/1"
FALSE_ACCEPTS = 1e-3
SAME_AGE_YEARS = 10.0
FOUND_IOU = 0.4
SURE_MESH = 0.3
COLUMNS: tuple[str, ...] = ("method", "recogniser", "rank-1", "TAR", "TAR, same photo", "match")
COLUMNS += ("false match", "parrot", "found", "sex", "age", "NME", "yaw", "ΔE")

#: Gives the anonymised version, of the same size, of a photo and of the file it came from.
Cover = Callable[[Image, Path], Image]


@dataclass(frozen=True)
class Recognised:
    """By one recogniser.

    ``rank1``: anonymised photos whose nearest original, of all *other* photos, shows their person;
    ``chance``: what guessing would give. ``tar``: pairs of an anonymised photo and another original of the
    person that are more alike than all but ``false_accepts`` of the pairs with strangers' originals;
    ``tar_same_photo``: the same with the very original. ``match``, ``false_match``: pairs with the person's
    and with strangers' originals that a system lets pass whose ``threshold`` was set on originals.
    ``parrot``: rank-1 where the photos searched were anonymised, too. ``rank1_originals``,
    ``tar_originals``: without anonymising.
    """

    recogniser: str
    relation: str
    threshold: float
    false_accepts: float
    rank1: Interval | None
    chance: float
    tar: Interval | None
    tar_same_photo: Interval | None
    match: Interval | None
    false_match: Interval | None
    parrot: Interval | None
    rank1_originals: Interval | None
    tar_originals: Interval | None


@dataclass(frozen=True)
class Kept:
    """What the anonymised photos keep, by the project's own mesh: agreement of sex presentation, of age
    within ten years; means of the landmark error (share of the distance between the eyes) and of the yaw's;
    median of the skin's ΔE.
    """

    faces_found: Interval | None
    same_sex: Interval | None
    same_age: Interval | None
    landmark_nme: float | None
    yaw_error_deg: float | None
    skin_delta_e: float | None


@dataclass(frozen=True)
class IdentityResult:
    """``skipped``: photos in which no face was found before anonymising."""

    method: str
    people: int
    photos: int
    skipped: int
    recognised: tuple[Recognised, ...]
    kept: Kept
    failed: tuple[str, ...] = ()
    schema: str = SCHEMA

    def as_dict(self) -> dict[str, Any]:
        content: dict[str, Any] = rounded(dataclasses.asdict(self))
        return content


@dataclass
class _Seen:
    """What was measured photo by photo. Embeddings by recogniser, in the order of ``people``."""

    people: list[str] = field(default_factory=list)
    originals: dict[str, list[Float]] = field(default_factory=dict)
    outputs: dict[str, list[Float]] = field(default_factory=dict)
    found: list[bool] = field(default_factory=list)
    traits: list[tuple[bool, bool]] = field(default_factory=list)
    likenesses: list[Likeness] = field(default_factory=list)
    skipped: int = 0


def audit_identities(
    folder: Path,
    method: str,
    cover: Cover,
    judge: Judge,
    recognisers: Sequence[Recogniser],
    mesh: MeshModel,
    progress: Callable[[int, int], None] | None = None,
) -> IdentityResult:
    """Anonymise each photo of ``folder`` by ``cover`` and search it among the originals.

    Raises :class:`ConfigError` for a folder without two people and two photos of one of them.
    """
    seen = _Seen()
    paths = find_photos(folder)
    for number, path in enumerate(paths, 1):
        _look(seen, path, cover, judge, recognisers, mesh)
        if progress is not None:
            progress(number, len(paths))
    people = np.array(seen.people)
    if len(set(seen.people)) < 2 or len(set(seen.people)) == len(seen.people):
        raise ConfigError(
            f"{folder} needs two people or more, and two photos of one: DIR/person/photo.jpg;"
            f" {len(people)} photos with a face were found"
        )
    return IdentityResult(
        method=method,
        people=len(set(seen.people)),
        photos=len(people),
        skipped=seen.skipped,
        recognised=tuple(
            recognise(one, people, np.stack(seen.originals[one.name]), np.stack(seen.outputs[one.name]))
            for one in recognisers
        ),
        kept=_kept(seen),
    )


def _look(
    seen: _Seen, path: Path, cover: Cover, judge: Judge, recognisers: Sequence[Recogniser], mesh: MeshModel
) -> None:
    original = read_photo(path)
    face = largest_face(original, judge)
    if face is None:
        seen.skipped += 1
        return
    output = cover(original, path)
    if output.shape != original.shape:
        raise ConfigError(
            f"the anonymised {path.name} has another size; give photos of the originals' size"
        )
    seen.people.append(path.parent.name)
    for recogniser in recognisers:
        place = recogniser.place(original, face)
        seen.originals.setdefault(recogniser.name, []).append(recogniser.describe(original, place))
        seen.outputs.setdefault(recogniser.name, []).append(recogniser.describe(output, place))
    boxes = judge.find(output).boxes
    hit = bool(len(boxes) and overlap(face.box[None], boxes).max() >= FOUND_IOU)
    seen.found.append(hit)
    _compare(seen, original, output, face, hit, mesh)


def _compare(
    seen: _Seen, original: Image, output: Image, face: FaceFrame, hit: bool, mesh: MeshModel
) -> None:
    """Traits and geometry, of faces whose mesh is sure in the original."""
    targets = [Target(0, face.box, face.keypoints, True)]
    real, made = (mesh.measure(from_rgb(image), targets)[0] for image in (original, output))
    if real.geometry.confidence < SURE_MESH:
        return
    seen.likenesses.append(
        compare_meshes(0, hit, original, output, real.geometry.points, made.geometry.points)
    )
    seen.traits.append(_same_traits(real, made))


def _same_traits(real: Measurement, made: Measurement) -> tuple[bool, bool]:
    one, two = real.geometry, made.geometry
    return (one.masculine > 0.5) == (two.masculine > 0.5), abs(one.age - two.age) <= SAME_AGE_YEARS


def recognise(
    recogniser: Recogniser, people: NDArray[np.str_], originals: Float, outputs: Float
) -> Recognised:
    """``people`` [N], embeddings of their photos before and after [N, D]."""
    same = people[:, None] == people[None]
    itself = np.eye(len(people), dtype=bool)
    before = recogniser.similarities(originals, originals)
    after = recogniser.similarities(outputs, originals)
    threshold, own_threshold = (_quantile(alike[~same]) for alike in (before, after))
    others = same & ~itself
    return Recognised(
        recogniser=recogniser.name,
        relation=recogniser.relation,
        threshold=threshold,
        false_accepts=FALSE_ACCEPTS,
        rank1=_rank1(after, same, itself),
        chance=float(others.sum(1)[others.any(1)].mean() / (len(people) - 1)),
        tar=_accepted(after[others], own_threshold),
        tar_same_photo=_accepted(after[itself], own_threshold),
        match=_accepted(after[others], threshold),
        false_match=_accepted(after[~same], threshold),
        parrot=_rank1(recogniser.similarities(outputs, outputs), same, itself),
        rank1_originals=_rank1(before, same, itself),
        tar_originals=_accepted(before[others], threshold),
    )


def _quantile(strangers: Float) -> float:
    return float(np.quantile(strangers, 1 - FALSE_ACCEPTS))


def _rank1(alike: Float, same: NDArray[np.bool_], itself: NDArray[np.bool_]) -> Interval | None:
    """Over photos whose person has another one."""
    nearest = np.where(itself, -np.inf, alike).argmax(axis=1)
    rows = np.flatnonzero((same & ~itself).any(axis=1))
    return Interval.of_counts(int(same[rows, nearest[rows]].sum()), len(rows))


def _accepted(values: Float, threshold: float) -> Interval | None:
    return Interval.of_counts(int((values > threshold).sum()), len(values))


def _kept(seen: _Seen) -> Kept:
    likenesses = seen.likenesses
    sexes, ages = ([pair[which] for pair in seen.traits] for which in (0, 1))
    return Kept(
        faces_found=Interval.of_counts(sum(seen.found), len(seen.found)),
        same_sex=Interval.of_counts(sum(sexes), len(sexes)),
        same_age=Interval.of_counts(sum(ages), len(ages)),
        landmark_nme=float(np.mean([one.nme for one in likenesses])) if likenesses else None,
        yaw_error_deg=float(np.mean([one.yaw for one in likenesses])) if likenesses else None,
        skin_delta_e=float(np.median([one.skin for one in likenesses])) if likenesses else None,
    )


def covers_from(originals: Path, anonymised: Path) -> Cover:
    """Photos that another tool made: the same paths below ``anonymised``; the suffix may differ."""
    made = {path.relative_to(anonymised).with_suffix(""): path for path in find_photos(anonymised)}

    def cover(_image: Image, path: Path) -> Image:
        name = path.relative_to(originals).with_suffix("")
        if name not in made:
            raise ConfigError(f"{anonymised} has no {name}: give the same photos under the same names")
        return read_photo(made[name])

    return cover


def table(results: Sequence[IdentityResult]) -> Iterator[str]:
    """Markdown: a line for each method and recogniser."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for result in results:
        kept = result.kept
        shares = [_percent(value) for value in (kept.faces_found, kept.same_sex, kept.same_age)]
        plain = [_number(100, kept.landmark_nme, " %"), _number(1, kept.yaw_error_deg, "°")]
        plain.append(_number(1, kept.skin_delta_e, ""))
        for one in result.recognised:
            shown = (one.rank1, one.tar, one.tar_same_photo, one.match, one.false_match, one.parrot)
            numbers = [*map(_percent, shown), *shares, *plain]
            cells = [result.method, one.recogniser, *numbers]
            yield f"| {' | '.join(cells)} |"


def _percent(value: Interval | None) -> str:
    return "–" if value is None else f"{100 * value.value:.1f} %"


def _number(scale: float, value: float | None, unit: str) -> str:
    return "–" if value is None else f"{scale * value:.1f}{unit}"

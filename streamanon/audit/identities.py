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
from streamanon.audit.measure import FOUND_IOU, LEAST_MESH_CONFIDENCE, Fidelity, compare_meshes
from streamanon.audit.pairing import Image
from streamanon.audit.people import FaceFrame
from streamanon.audit.recognisers import Recogniser
from streamanon.audit.result import Interval, rounded
from streamanon.errors import ConfigError
from streamanon.geometry import overlap
from streamanon.media.yuv import from_rgb
from streamanon.mesh.face_mesh import MeshModel
from streamanon.types import Float, Geometry, Target

SCHEMA = "streamanon-identities/1"
FALSE_ACCEPTS = 1e-3
SAME_AGE_YEARS = 10.0
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


@dataclass(frozen=True, eq=False)
class Original:
    """A photo with a face, as it is: where each recogniser sees the face and what it makes of it."""

    path: Path
    face: FaceFrame
    places: dict[str, Any]
    embeddings: dict[str, Float]
    measurement: Geometry

    @property
    def person(self) -> str:
        return self.path.parent.name


@dataclass
class _Seen:
    """What was measured photo by photo. Embeddings by recogniser."""

    outputs: dict[str, list[Float]] = field(default_factory=dict)
    found: list[bool] = field(default_factory=list)
    traits: list[tuple[bool, bool]] = field(default_factory=list)
    fidelities: list[Fidelity] = field(default_factory=list)


def read_originals(
    folder: Path, judge: Judge, recognisers: Sequence[Recogniser], mesh: MeshModel
) -> tuple[list[Original], int]:
    """The photos below ``folder`` in which a face is found, and how many there are in which none is.

    Raises :class:`ConfigError` for a folder without two people and two photos of one of them.
    """
    paths = find_photos(folder)
    looked = [_look(path, judge, recognisers, mesh) for path in paths]
    originals = [original for original in looked if original is not None]
    people = {original.person for original in originals}
    if len(people) < 2 or len(people) == len(originals):
        raise ConfigError(
            f"{folder} needs two people or more, and two photos of one: DIR/person/photo.jpg;"
            f" {len(originals)} photos with a face were found"
        )
    return originals, len(paths) - len(originals)


def _look(path: Path, judge: Judge, recognisers: Sequence[Recogniser], mesh: MeshModel) -> Original | None:
    image = read_photo(path)
    face = largest_face(image, judge)
    if face is None:
        return None
    places = {one.name: one.place(image, face) for one in recognisers}
    embeddings = {one.name: one.describe(image, places[one.name]) for one in recognisers}
    for name, embedding in embeddings.items():
        if not np.isfinite(embedding).all():
            raise ConfigError(f"{name} gives no numbers for {path.name}; give another --recogniser")
    return Original(path, face, places, embeddings, _measured(image, face, mesh))


def _measured(image: Image, face: FaceFrame, mesh: MeshModel) -> Geometry:
    return mesh.measure(from_rgb(image), [Target(0, face.box, face.keypoints, True)])[0]


def audit_identities(
    originals: Sequence[Original],
    skipped: int,
    method: str,
    cover: Cover,
    judge: Judge,
    recognisers: Sequence[Recogniser],
    mesh: MeshModel,
    progress: Callable[[int, int], None] | None = None,
) -> IdentityResult:
    """Anonymise each photo by ``cover`` and search it among the originals; ``recognisers`` are those that
    the originals were read with.
    """
    seen = _Seen()
    for number, original in enumerate(originals, 1):
        _compare(seen, original, cover, judge, recognisers, mesh)
        if progress is not None:
            progress(number, len(originals))
    people = np.array([original.person for original in originals])
    before = {one.name: np.stack([o.embeddings[one.name] for o in originals]) for one in recognisers}
    return IdentityResult(
        method=method,
        people=len(set(people.tolist())),
        photos=len(people),
        skipped=skipped,
        recognised=tuple(
            recognise(one, people, before[one.name], np.stack(seen.outputs[one.name]))
            for one in recognisers
        ),
        kept=_kept(seen),
    )


def _compare(
    seen: _Seen,
    original: Original,
    cover: Cover,
    judge: Judge,
    recognisers: Sequence[Recogniser],
    mesh: MeshModel,
) -> None:
    """Traits and geometry are compared where the mesh is sure in the original."""
    image, face = read_photo(original.path), original.face
    output = cover(image, original.path)
    if output.shape != image.shape:
        raise ConfigError(
            f"the anonymised {original.path.name} has another size; give photos of the originals' size"
        )
    for recogniser in recognisers:
        described = recogniser.describe(output, original.places[recogniser.name])
        if not np.isfinite(described).all():  # as some networks give for one colour: like nobody
            described = np.zeros_like(described)
        seen.outputs.setdefault(recogniser.name, []).append(described)
    boxes = judge.find(output).boxes
    hit = bool(len(boxes) and overlap(face.box[None], boxes).max() >= FOUND_IOU)
    seen.found.append(hit)
    real = original.measurement
    if real.confidence < LEAST_MESH_CONFIDENCE:
        return
    made = _measured(output, face, mesh)
    points = real.points, made.points
    seen.fidelities.append(compare_meshes(0, hit, image, output, *points))
    seen.traits.append(_same_traits(real, made))


def _same_traits(real: Geometry, made: Geometry) -> tuple[bool, bool]:
    same_sex = (real.masculine > 0.5) == (made.masculine > 0.5)
    return same_sex, abs(real.age - made.age) <= SAME_AGE_YEARS


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
    fidelities = seen.fidelities
    sexes, ages = ([pair[which] for pair in seen.traits] for which in (0, 1))
    return Kept(
        faces_found=Interval.of_counts(sum(seen.found), len(seen.found)),
        same_sex=Interval.of_counts(sum(sexes), len(sexes)),
        same_age=Interval.of_counts(sum(ages), len(ages)),
        landmark_nme=float(np.mean([one.nme for one in fidelities])) if fidelities else None,
        yaw_error_deg=float(np.mean([one.yaw for one in fidelities])) if fidelities else None,
        skin_delta_e=float(np.median([one.skin for one in fidelities])) if fidelities else None,
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

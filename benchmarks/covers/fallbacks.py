"""Who can be recognised from a mosaic or a blur, by cells across and by noise.

    pip install '.[audit,train]' && python -m benchmarks.covers.fallbacks DIR --data DATA [--out RESULTS]

``DIR`` is laid out as Labeled Faces in the Wild: ``person/photo.jpg``; ``DATA`` holds the labelled crops
that the models learn from. Attackers learn from DATA's train people, but for 300 on whom strengths are
chosen; DIR's people are only quoted. A cover is searched for among all other photos: bare ones (dlib as it
is; a network from covers to dlib's embeddings), or such as the attacker covered likewise ("parrot": dlib,
the distance of pixels, fisherfaces, the network). Of videos the attacker has 25 frames of one track, in
which the box moves over the face by up to half a cell each way and the noise is the same, or the covers of
25 tracks of one person.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.covers.attacks import Attacker, distances
from benchmarks.covers.cells import Covers, Crops, Faces, Strength, cell_means, read_labelled
from benchmarks.covers.photos import Photos
from streamanon.audit.judges import OwnJudge
from streamanon.audit.result import Interval, rounded
from streamanon.config import ComputeConfig
from streamanon.cover.mosaic import NOISE, TINT_NOISE
from streamanon.types import Float

FALSE_ACCEPTS = 1e-3
CHOICE_PEOPLE = 300
FRAMES = 25
DRAWS = 3
WAS = 4.0  # levels of noise on six cells, before this was measured
ATTACKS = ("dlib", "dlib, parrot", "pixels", "fisherfaces", "network", "network, parrot", "network, both")
STRENGTHS: tuple[Strength, ...] = (
    *(Strength("mosaic", cells, WAS) for cells in (1, 2, 3, 4, 6, 8, 12, 16, 24)),
    Strength("mosaic", 6, 0.0),
    Strength("blur", 6, WAS),
    *(Strength("mosaic", cells, WAS, FRAMES, fixed=True) for cells in (1, 3, 6, 8)),
    Strength("mosaic", 3, 64.0),
    Strength("mosaic", 3, 64.0, FRAMES, fixed=True),
    *(Strength("own", 1, noise) for noise in (0.5, 1.0, 2.0)),
    Strength("own blur", 1, 1.0),
    *(Strength("own", 1, noise, FRAMES) for noise in (1.0, 2.0)),
    Strength("deface blur"),
    Strength("deface mosaic"),
)


@dataclass(frozen=True)
class Found:
    """``rank1``: covers whose nearest other photo shows their person; ``tar``: pairs of a cover and another
    photo of the person that are more alike than all but FALSE_ACCEPTS of the pairs with strangers' photos.
    Means over DRAWS of the noise; the intervals are those of one draw.
    """

    rank1: Interval | None
    tar: Interval | None


@dataclass(frozen=True)
class Result:
    """By attack, on the people that strengths are chosen on and on those that are quoted."""

    strength: Strength | None
    chosen_on: dict[str, Found]
    quoted: dict[str, Found]


def found(similarities: list[Float], people: NDArray[np.str_]) -> Found:
    """Of similarities [N, N] of covers and photos, one matrix a draw."""
    same = people[:, None] == people[None]
    itself = np.eye(len(people), dtype=bool)
    others = same & ~itself
    rows = np.flatnonzero(others.any(axis=1))
    right, accepted = [], []
    for alike in similarities:
        nearest = np.where(itself, -np.inf, alike).argmax(axis=1)
        right.append(same[rows, nearest[rows]].sum())
        accepted.append((alike[others] > np.quantile(alike[~same], 1 - FALSE_ACCEPTS)).sum())
    hits, passed = round(float(np.mean(right))), round(float(np.mean(accepted)))
    return Found(Interval.of_counts(hits, len(rows)), Interval.of_counts(passed, int(others.sum())))


def chance(people: NDArray[np.str_]) -> float:
    """Of rank-1, by guessing, over photos whose person has another one."""
    others = (people[:, None] == people[None]).sum(1) - 1
    return float(others[others > 0].mean() / (len(people) - 1))


def most_bits(crops: Crops) -> float:
    """What a cover of streamanon's can tell of a face: the capacity of a channel with its noise for colours
    that vary as faces' do, by their covariance (Cover and Thomas, 2006, ch. 9).
    """
    colours = cell_means(crops, Strength("own"), np.zeros((len(crops), 1, 2), np.int64)).reshape(-1, 3)
    noise = NOISE**2 * np.ones((3, 3)) + TINT_NOISE**2 * np.eye(3)
    gain = np.eye(3) + np.linalg.solve(noise, np.cov(colours.T.astype(np.float64)))
    return float(np.log2(np.linalg.det(gain)) / 2)


def parted(faces: Faces) -> tuple[Faces, Faces]:
    """Those to learn from, and photos of CHOICE_PEOPLE others, who have several."""
    _, group, counts = np.unique(faces.people, return_inverse=True, return_counts=True)
    several = np.flatnonzero(counts >= 2)
    drawn = np.random.default_rng(3).choice(several, min(CHOICE_PEOPLE, len(several) // 2), replace=False)
    held = np.isin(group, drawn)
    return faces[~held], faces[held]


def attacked(attacker: Attacker, faces: Faces) -> dict[str, Found]:
    draws = [attacker.similarities(faces) for _ in range(DRAWS)]
    return {name: found([draw[name] for draw in draws], faces.people) for name in draws[0]}


def recognised(photos: Photos, strength: Strength) -> dict[str, Found]:
    """By dlib as it is, of stills."""
    if strength.samples > 1:
        return {}
    covers, faces = Covers(strength, seed=1), photos.faces
    embeddings = photos.covered(covers)
    return {
        "dlib": found([-distances(embeddings, faces.embeddings)], faces.people),
        "dlib, parrot": found([-distances(embeddings, embeddings)], faces.people),
    }


def bare(photos: Photos) -> Result:
    """Photos as they are."""
    faces = photos.faces
    alike = -distances(faces.embeddings, faces.embeddings)
    return Result(None, {}, {"dlib": found([alike], faces.people)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=500, help="of 256 faces, that a network learns for")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write results as JSON and Markdown beside this name")
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)
    torch.set_num_threads(args.threads)
    learned_from, chosen_on = parted(read_labelled(args.data))
    photos = Photos(args.folder, OwnJudge(ComputeConfig(threads=args.threads)))
    results = [bare(photos)]
    for strength in STRENGTHS:
        begun = time.monotonic()
        attacker = Attacker(strength, learned_from, args.steps)
        quoted = recognised(photos, strength) | attacked(attacker, photos.faces)
        results.append(Result(strength, attacked(attacker, chosen_on), quoted))
        print(f"{list(table(results))[-1]} {time.monotonic() - begun:.0f} s", flush=True)
        if args.out:
            write(args.out, results, learned_from, chosen_on, photos.faces)


def write(out: Path, results: list[Result], learned_from: Faces, chosen_on: Faces, quoted: Faces) -> None:
    count, bits = len(set(quoted.people.tolist())), most_bits(learned_from.crops)
    facts = [
        f"Quoted: {len(quoted)} photos of {count} people;"
        f" guessing gives a rank-1 of {100 * chance(quoted.people):.2f} %.",
        f"Chosen on: {len(chosen_on)} photos of {len(set(chosen_on.people.tolist()))} others;"
        f" guessing gives {100 * chance(chosen_on.people):.2f} %.",
        f"Learned from: {len(learned_from)} faces of neither.",
        f"Whoever attacks: a cover of streamanon's carries at most {bits:.1f} bits of a face;"
        f" to tell {count} people apart takes {np.log2(count):.1f}.",
        "Noise: levels; of streamanon's own covers, as a multiple of what it is.",
    ]
    content = {"facts": facts, "results": [rounded(asdict(one)) for one in results]}
    out.with_suffix(".md").write_text("\n".join([*table(results), "", *facts]) + "\n")
    out.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")


def table(results: list[Result]) -> Iterator[str]:
    """Markdown: rank-1 by attack, the best of them, and the best TAR."""
    columns = ["cover", "noise", *ATTACKS, "best rank-1", "best TAR", "best rank-1, chosen on", "its TAR"]
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for result in results:
        shares = [
            _percent(result.quoted[name].rank1 if name in result.quoted else None) for name in ATTACKS
        ]
        best = [*_best(result.quoted), *_best(result.chosen_on)]
        noise = "–" if result.strength is None else f"{result.strength.noise:g}"
        yield f"| {' | '.join([_name(result.strength), noise, *shares, *best])} |"


def _best(attacks: dict[str, Found]) -> list[str]:
    """Best rank-1 with its interval, and best TAR."""
    ranks = [one.rank1 for one in attacks.values() if one.rank1 is not None]
    tars = [one.tar for one in attacks.values() if one.tar is not None]
    if not ranks or not tars:
        return ["–", "–"]
    rank = max(ranks, key=lambda one: one.value)
    spread = f"({100 * rank.low:.1f}–{100 * rank.high:.1f})"
    return [f"{_percent(rank)} {spread}", f"{100 * max(one.value for one in tars):.2f} %"]


def _name(strength: Strength | None) -> str:
    if strength is None:
        return "none"
    own = strength.kind.startswith("own")
    name = strength.kind.replace("own", "**streamanon**") if own else strength.kind
    if not own and not strength.kind.startswith("deface"):
        name += f", {strength.cells} cell{'s' if strength.cells > 1 else ''}"
    if strength.samples == 1:
        return name
    return f"{name}, {strength.samples} {'frames' if strength.fixed else 'tracks'}"


def _percent(value: Interval | None) -> str:
    return "–" if value is None else f"{100 * value.value:.1f} %"


if __name__ == "__main__":
    main()

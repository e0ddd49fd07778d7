"""The whole way from portraits to the gallery's file, its picture and a report of what was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.backends import open_backend
from streamanon.config import ComputeConfig
from streamanon.engines import Engines
from streamanon.identity.chart import Chart
from streamanon.identity.codes import principal_codes
from streamanon.identity.delegates import DelegateGallery, load_delegates, write_fields
from streamanon.identity.encoder import IdentityEncoder
from streamanon.identity.sheet import contact_sheet
from streamanon.mesh import FaceMesh
from streamanon.training.gallery.blend import Blender
from streamanon.training.gallery.candidates import AGES, TONES, Candidate, bin_of, make_candidates
from streamanon.training.gallery.measure import THRESHOLD, Measurer, distances, draw
from streamanon.training.gallery.portraits import (
    SETS,
    Face,
    fit_presentation,
    read_embeddings,
    read_faces,
)
from streamanon.training.gallery.select import choose
from streamanon.training.worn import described
from streamanon.types import Float

NAME = "delegates-v2"
SEED = 7
COLUMNS = 16
SHEET_QUALITY = 86
VERIFY_EYES_PX, VERIFY_FLOOR = 76.0, 0.45
QUANTILES = (0.01, 0.05, 0.25, 0.5)


def build(data: Path, out: Path) -> dict[str, Any]:
    """Write the gallery and the card's picture below ``out``; the report."""
    backend, engines = open_backend(ComputeConfig(backend="onnxruntime", threads=1)), Engines.open()
    mesh, encoder = FaceMesh(backend, engines), IdentityEncoder(backend, engines)
    presentation = fit_presentation(data)
    chart, faces = read_faces(data, presentation, mesh)
    measurer = Measurer(chart, presentation, mesh)
    portraits, _ = read_embeddings(data, SETS)
    candidates, dropped = make_candidates(faces, chart, measurer, portraits, np.random.default_rng(SEED))
    chosen, embeddings = verify([candidates[row] for row in choose(candidates)], faces, measurer, chart)

    out.joinpath("cards").mkdir(parents=True, exist_ok=True)
    path = out / f"{NAME}.npz"
    shares = Blender(faces, chart).shares
    write_fields(path, described(fields_of(chosen, chart, shares), data, encoder))
    gallery = load_delegates(path)
    sheet = contact_sheet(gallery, gallery.delegates, columns=COLUMNS)
    picture = cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, SHEET_QUALITY])[1]
    (out / "cards" / f"{NAME}.jpg").write_bytes(picture.tobytes())
    facts = {"portraits": len(faces), "candidates": len(candidates), "dropped": dict(dropped.most_common())}
    return facts | report(gallery, chosen, embeddings, faces, data)


def verify(
    chosen: Sequence[Candidate], faces: Sequence[Face], measurer: Measurer, chart: Chart
) -> tuple[list[Candidate], Float]:
    """Those that keep to the rules in a second picture, of the pixels that are shipped and of another size;
    and the recogniser's embeddings [N, 128] of it: a rule that held by chance is not counted on.
    """
    kept: list[Candidate] = []
    embeddings: list[Float] = []
    for one in chosen:
        bgr = np.asarray(cv2.imdecode(one.jpeg, cv2.IMREAD_COLOR), np.uint8)
        texture = np.ascontiguousarray(bgr[..., ::-1])
        found = measurer.describe(*draw(texture, one.shape, chart, VERIFY_EYES_PX))
        near = distances(found[None], np.array(embeddings)).min() if embeddings else np.inf
        if near >= VERIFY_FLOOR and _donors(one, found, faces) >= THRESHOLD:
            kept.append(one)
            embeddings.append(found)
    return kept, np.array(embeddings)


def _donors(one: Candidate, embedding: Float, faces: Sequence[Face]) -> float:
    """The distance from the nearest portrait that a delegate is made of."""
    own = np.array([faces[row].embedding for row in one.recipe.donors])
    return float(distances(embedding[None], own).min())


def fields_of(chosen: Sequence[Candidate], chart: Chart, shares: Float) -> dict[str, NDArray[Any]]:
    """What ``write_fields`` wants; ``shares`` [5]: how much of the face each part is."""
    textures = np.array([cv2.imdecode(one.jpeg, cv2.IMREAD_COLOR) for one in chosen], np.uint8)
    shapes = np.array([one.shape for one in chosen], np.float32)
    return {
        "ids": np.array([f"d{row:03d}" for row in range(len(chosen))]),
        "jpegs": np.concatenate([one.jpeg for one in chosen]),
        "jpeg_sizes": np.array([len(one.jpeg) for one in chosen], np.int32),
        "shapes": shapes,
        "codes": principal_codes(textures, shapes),
        "masculine": np.array([one.masculine for one in chosen], np.float32),
        "ages": np.array([one.age for one in chosen], np.float32),
        "tones": np.array([one.tone for one in chosen], np.float32),
        "weights": np.tile(np.sort(shares)[::-1], (len(chosen), 1)).astype(np.float32),
        "uv": chart.uv,
        "triangles": chart.triangles,
        "mirror": chart.mirror,
    }


def report(
    gallery: DelegateGallery,
    chosen: Sequence[Candidate],
    embeddings: Float,
    faces: Sequence[Face],
    data: Path,
) -> dict[str, Any]:
    """Counts by bin, and distances between delegates, by the ``embeddings`` [N, 128] of :func:`verify`,
    beside those between people (``lfw`` train).
    """
    male = np.array([one.masculine > 0.5 for one in chosen])
    tones = np.array([bin_of(one.tone, TONES) for one in chosen])
    ages = np.array([bin_of(one.age, AGES) for one in chosen])
    apart = distances(embeddings, embeddings)
    pairs = np.triu(np.ones_like(apart, dtype=bool), 1)
    same_sex = pairs & (male[:, None] == male[None])
    same_cell = same_sex & (tones[:, None] == tones[None])
    known, names = read_embeddings(data, ("lfw",))
    people = known[np.unique(names, return_index=True)[1]]
    people_apart = distances(people, people)[np.triu_indices(len(people), 1)]
    nearest = distances(embeddings, read_embeddings(data, SETS)[0]).min(1)
    donors = np.array([_donors(*pair, faces) for pair in zip(chosen, embeddings, strict=True)])
    return {
        "delegates": len(gallery),
        "cells (sex, tone, age)": {
            f"{'male' if one else 'female'}/{tone}": Counter(ages[(male == one) & (tones == tone)].tolist())
            for one in (False, True)
            for tone in range(len(TONES) - 1)
        },
        "distances (1, 5, 25, 50 %; share within the threshold)": {
            "delegates": spread(apart[pairs]),
            "delegates of one sex": spread(apart[same_sex]),
            "delegates of one sex and tone": spread(apart[same_cell]),
            "people in LFW": spread(people_apart),
        },
        "nearest portrait (least, median, share within the threshold)": [
            *(round(float(value), 4) for value in (nearest.min(), np.median(nearest))),
            round(float((nearest < THRESHOLD).mean()), 4),
        ],
        "nearest donor (least, median)": [float(donors.min()), float(np.median(donors))],
    }


def spread(values: Float) -> list[float]:
    """Quantiles of distances, and the share within the match threshold."""
    found = [*np.quantile(values, QUANTILES), (values < THRESHOLD).mean()]
    return [round(float(value), 5) for value in found]

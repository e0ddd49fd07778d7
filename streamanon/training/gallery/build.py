"""The whole way from portraits to the gallery's file, its picture and a report of what was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.config import ComputeConfig
from streamanon.gallery.contact_sheet import write_sheet
from streamanon.gallery.delegates import DelegateGallery, gallery_of, load_delegates, write_fields
from streamanon.gallery.filters import encode
from streamanon.gallery.uv_chart import Chart, chart_of, fine_chart
from streamanon.identity.encoder import IdentityEncoder
from streamanon.mesh.face_mesh import FaceMesh
from streamanon.portraits.codes import CodeBasis
from streamanon.portraits.texture import tone_degrees
from streamanon.runtime.backends import open_backend
from streamanon.runtime.models import Engines
from streamanon.training.gallery.choose import AGES, TONES, Cell, bin_of, choose
from streamanon.training.gallery.morph import Recipe, age_of, folds_over, make
from streamanon.training.gallery.portraits import Face, read_faces
from streamanon.training.readings import only, read_all
from streamanon.training.worn import described

NAME = "delegates-v3"
SEED = 7
#: How masculine women and men among the portraits are said to present.
PRESENTS = (0.15, 0.85)
#: Textures less their mean, so small, px, are twins from this correlation on.
TWIN_PX, TWINS = 32, 0.975
#: What a new gallery takes over from the one before: the generator was trained with it.
SPACE = ("uv", "triangles", "mirror", "mean", "code_axes", "code_mean", "code_units")


def build(data: Path, out: Path, space: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Write the gallery and the card's picture below ``out``; the report. ``space``: the fields of a
    gallery whose texture space and codes are used on.
    """
    backend, engines = open_backend(ComputeConfig(backend="onnxruntime", threads=1)), Engines.open()
    mesh, encoder = FaceMesh(backend, engines), IdentityEncoder(backend, engines)
    chart = chart_of(space["uv"], space["triangles"], space["mirror"], space["mean"])
    faces = read_faces(data, chart, fine_chart(chart), mesh)
    basis = CodeBasis.of_fields(space)
    small = np.array([_small(face.texture) for face in faces])
    codes = basis.codes(small, np.array([face.shape for face in faces]))
    recipes = choose(faces, codes, np.random.default_rng(SEED))
    recipes = [one for one in recipes if not folds_over(make(one, faces, chart)[1], chart)]
    fields = fields_of(recipes, faces, chart, basis)

    out.joinpath("cards").mkdir(parents=True, exist_ok=True)
    path = out / f"{NAME}.npz"
    made = described({**{name: space[name] for name in SPACE}, **fields}, data, encoder)
    write_fields(path, without_twins(read_all(made, data)))
    gallery = load_delegates(path)
    write_sheet(gallery, out / "cards" / f"{NAME}.jpg")
    left = [recipes[int(delegate.id[1:])] for delegate in gallery.delegates]
    return report(gallery, left, faces)


def fields_of(
    recipes: Sequence[Recipe], faces: Sequence[Face], chart: Chart, basis: CodeBasis
) -> dict[str, NDArray[Any]]:
    """What ``write_fields`` wants of each delegate."""
    made = [(recipe, *make(recipe, faces, chart)) for recipe in recipes]
    jpegs = [encode(np.asarray(texture / 255, np.float32)) for _, texture, _ in made]
    small = np.array([_small(texture) for _, texture, _ in made])
    shapes = np.array([shape for *_, shape in made], np.float32)
    masculine = np.array([PRESENTS[faces[one.first].male] for one, *_ in made], np.float32)
    ages = np.array([age_of(one, faces) for one, *_ in made], np.float32)
    return {
        "ids": np.array([f"d{row:03d}" for row in range(len(made))]),
        "jpegs": np.concatenate(jpegs),
        "jpeg_sizes": np.array([len(jpeg) for jpeg in jpegs], np.int32),
        "shapes": shapes,
        "codes": basis.codes(small, shapes),
        "masculine": masculine,
        "ages": ages,
        "worn_masculine": masculine,  # until they are read of them when worn
        "worn_ages": ages,
        "tones": np.array(
            [tone_degrees(np.asarray(t / 255, np.float32), chart) for t in small], np.float32
        ),
        "weights": np.array([one.shares for one, *_ in made], np.float32),
    }


def without_twins(fields: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """A gallery file's fields less the delegates whose texture is nearly that of an earlier one."""
    small = [
        cv2.resize(delegate.texture, (TWIN_PX, TWIN_PX), interpolation=cv2.INTER_AREA)
        for delegate in gallery_of(fields).delegates
    ]
    flat = np.array(small, np.float64).reshape(len(small), -1)
    flat -= flat.mean(0)
    flat -= flat.mean(1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    alike = flat @ flat.T > TWINS
    kept: list[int] = []
    for row in range(len(flat)):
        if not alike[row, kept].any():
            kept.append(row)
    return only(fields, np.array(kept))


def report(gallery: DelegateGallery, recipes: Sequence[Recipe], faces: Sequence[Face]) -> dict[str, Any]:
    """How many of each kind, and how alike they are to the identity encoder."""
    cells: Counter[Cell] = Counter(
        (one.masculine > 0.5, bin_of(float(tone), TONES), bin_of(one.age, AGES))
        for one, tone in zip(gallery.delegates, gallery.tones, strict=True)
    )
    labelled = [face for face in faces if face.label is not None]
    likeness = gallery.embeddings @ gallery.embeddings.T
    np.fill_diagonal(likeness, -1)
    return {
        "portraits": dict(Counter(face.source for face in faces)),
        "recipes": {
            "portraits": sum(one.second is None for one in recipes),
            "morphs": sum(one.second is not None for one in recipes),
        },
        "delegates": len(gallery),
        "cells (sex, tone, by age)": {
            f"{'male' if male else 'female'}/{tone}": [
                cells[male, tone, age] for age in range(len(AGES) - 1)
            ]
            for male in (False, True)
            for tone in range(len(TONES) - 1)
        },
        "age as stored, from the label (mean error, years)": round(
            float(np.mean([abs(face.age - face.label) for face in labelled if face.label])), 2
        ),
        "nearest other delegate, cosine (median, 95 %, most)": [
            round(float(np.quantile(likeness.max(1), share)), 3) for share in (0.5, 0.95, 1)
        ],
    }


def _small(texture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(texture, (256, 256), interpolation=cv2.INTER_AREA), np.uint8)

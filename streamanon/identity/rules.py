"""Rules for people whom the user named by a photo: their own delegate, or none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from streamanon.config import PersonRule
from streamanon.errors import ConfigError, SourceError
from streamanon.gallery.delegates import DelegateGallery
from streamanon.identity.encoder import IdentityModel
from streamanon.identity.exponential_mechanism import (
    Traits,
    attributes_of,
    distances,
    draw,
    keyed_noise,
    width_of,
)
from streamanon.media.images import read_image
from streamanon.media.yuv import from_rgb
from streamanon.mesh.face_mesh import MeshModel
from streamanon.types import Delegate, Faces, Float, Geometry, RawFrame, Target

LEAST_FACE_PX = 60.0
LEAST_CONFIDENCE = 0.7
#: Of several faces in a photo the one is meant that is so many times as wide as all others but those whose
#: detection score is less.
MUCH_WIDER, DOUBTFUL_SCORE = 1.5, 0.5
#: Cosine from which somebody is taken for the person in a photo: one in a thousand strangers is.
IN_PHOTO = 0.80
#: How much a delegate by a name has to fit the photo: as epsilon of a draw.
NAMED_EPSILON = 10.0


_log = logging.getLogger(__name__)


class Detector(Protocol):
    def detect(self, frame: RawFrame) -> Faces: ...


@dataclass(frozen=True, eq=False, repr=False)
class Rule:
    """``embedding`` [128], unit length, of the person in the photo; None: as for everybody."""

    embedding: Float
    keep: bool
    delegate: Delegate | None
    geometry: float | None
    appearance: float | None

    @property
    def changes_cover(self) -> bool:
        """Whether it says how the person is covered."""
        return any(one is not None for one in (self.delegate, self.geometry, self.appearance))


def load_rules(
    people: Sequence[PersonRule],
    detector: Detector,
    mesh: MeshModel,
    encoder: IdentityModel,
    gallery: DelegateGallery,
) -> tuple[Rule, ...]:
    """Raises :class:`ConfigError` for a photo that does not show one large, frontal face. Of several faces
    the largest is taken where the others are much smaller or doubtful, and that is logged.
    """
    return tuple(_loaded(rule, detector, mesh, encoder, gallery) for rule in people)


def _loaded(
    rule: PersonRule, detector: Detector, mesh: MeshModel, encoder: IdentityModel, gallery: DelegateGallery
) -> Rule:
    embedding, measured = _described(Path(rule.photo), detector, mesh, encoder)
    delegate = gallery.find(rule.delegate) if rule.delegate is not None else None
    if rule.name is not None:
        delegate = named_delegate(rule.name, embedding, measured, gallery)
    return Rule(embedding, rule.keep, delegate, rule.geometry, rule.appearance)


def named_delegate(name: str, embedding: Float, measured: Geometry, gallery: DelegateGallery) -> Delegate:
    """One that fits how the person in a photo presents and is not like them, always the same for a
    ``name``. (The user knows whose photo it is: nothing is drawn for an attacker to learn from.)
    """
    traits = Traits(measured.masculine, measured.age, float("nan"))
    attributes = attributes_of(gallery, width_of(measured))
    away = distances(traits, attributes, gallery.embeddings @ embedding)
    noise = keyed_noise(name.encode(), 0, [delegate.id for delegate in gallery.delegates])
    return gallery.delegates[draw(away, NAMED_EPSILON, np.ones(len(gallery), np.bool_), noise)]


def _described(
    path: Path, detector: Detector, mesh: MeshModel, encoder: IdentityModel
) -> tuple[Float, Geometry]:
    picture = from_rgb(_read(path))
    faces = detector.detect(RawFrame(0, 0, Fraction(1), picture))
    row = _main_face(faces, path)
    if float(np.ptp(faces.boxes[row, [0, 2]])) < LEAST_FACE_PX:
        raise ConfigError(f"the face in {path} is less than {LEAST_FACE_PX:.0f} px wide: give a larger one")
    measured = mesh.measure(picture, [Target(0, faces.boxes[row], faces.keypoints[row], True)])[0]
    if measured.confidence < LEAST_CONFIDENCE:
        raise ConfigError(
            f"the face in {path} is turned, covered or blurred: give a sharp photo from the front"
        )
    return encoder.describe(picture, measured.points).embedding, measured


def _main_face(faces: Faces, path: Path) -> int:
    """The face that is meant, by its row."""
    if not len(faces):
        raise ConfigError(f"no face was found in {path}: give a photo of the person from the front")
    widths = np.ptp(faces.boxes[:, [0, 2]], axis=1)
    row = int(np.argmax(np.where(faces.scores >= DOUBTFUL_SCORE, widths, widths / MUCH_WIDER)))
    rivals = (widths * MUCH_WIDER > widths[row]) & (faces.scores >= DOUBTFUL_SCORE)
    rivals[row] = False
    if rivals.any():
        raise ConfigError(
            f"{rivals.sum() + 1} faces of like size were found in {path}: cut out the one that is meant"
        )
    if len(faces) > 1:
        _log.warning("%d faces were found in %s, and the largest is taken", len(faces), path.name)
    return row


def _read(path: Path) -> np.ndarray:
    try:
        return read_image(path)
    except SourceError as error:
        raise ConfigError(str(error)) from error


def rule_for(rules: Sequence[Rule], embedding: Float, least: float = IN_PHOTO) -> Rule | None:
    """The rule whose photo is most like an embedding [128], if it is like enough."""
    likes = [float(rule.embedding @ embedding) for rule in rules]
    best = int(np.argmax(likes)) if likes else -1
    return rules[best] if likes and likes[best] >= least else None

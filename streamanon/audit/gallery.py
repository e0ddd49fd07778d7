"""Photos of known people, to which an output may lead back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamanon.audit.judges import Judge
from streamanon.audit.pairing import Image
from streamanon.audit.people import FaceFrame
from streamanon.audit.recognisers import Recogniser, similarity
from streamanon.errors import ConfigError, SourceError
from streamanon.media.images import read_image
from streamanon.types import Float

PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
FORMATS = ("PNG", "JPEG", "WebP", "BMP")


@dataclass(frozen=True, eq=False)
class Photo:
    """``person``: the folder's name, or the file's where photos lie loose."""

    person: str
    image: Image
    face: FaceFrame


@dataclass(frozen=True, eq=False)
class Gallery:
    """One recogniser's embeddings of the photos' faces."""

    people: dict[str, Float]

    def nearest(self, recogniser: Recogniser, embedding: Float) -> tuple[str, float]:
        """The most similar person and how similar."""
        scores = {name: similarity(recogniser, embedding, known) for name, known in self.people.items()}
        best = max(scores, key=lambda name: scores[name])
        return best, scores[best]

    def name_people(self, recogniser: Recogniser, originals: dict[int, Float]) -> dict[int, str]:
        """Which original tracks the recogniser itself knows from the gallery."""
        named = {}
        for track, embedding in originals.items():
            name, value = self.nearest(recogniser, embedding)
            if value >= recogniser.threshold:
                named[track] = name
        return named


def read_photos(folder: Path, judge: Judge) -> list[Photo]:
    """The largest face of every photo: ``folder/person/*.jpg`` (as LFW has it) or ``folder/person.jpg``.

    Raises :class:`ConfigError` where there is no folder or no face in it.
    """
    photos = []
    for path in find_photos(folder):
        rgb = read_photo(path)
        face = largest_face(rgb, judge)
        if face is not None:
            photos.append(Photo(path.stem if path.parent == folder else path.parent.name, rgb, face))
    if not photos:
        raise ConfigError(f"no photo in {folder} shows a face; give another folder")
    return photos


def find_photos(folder: Path) -> list[Path]:
    """All photos in a folder and in those below, sorted. Raises :class:`ConfigError` for no folder."""
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}; give one with photos")
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTOS)


def read_photo(path: Path) -> Image:
    """RGB. Raises :class:`ConfigError` for what is no image, is too large or damaged."""
    try:
        return read_image(path, FORMATS)
    except SourceError as error:
        raise ConfigError(str(error)) from error


def largest_face(image: Image, judge: Judge) -> FaceFrame | None:
    found = judge.find(image)
    if not len(found):
        return None
    best = int(np.argmax(np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1)))
    return FaceFrame(0, 0, found.boxes[best], found.keypoints[best])


def describe_photos(photos: list[Photo], recogniser: Recogniser) -> Gallery:
    """One embedding a person, the mean of their photos."""
    found: dict[str, list[Float]] = {}
    for photo in photos:
        place = recogniser.place(photo.image, photo.face)
        found.setdefault(photo.person, []).append(recogniser.describe(photo.image, place))
    return Gallery({name: np.asarray(np.mean(e, axis=0), np.float32) for name, e in found.items()})

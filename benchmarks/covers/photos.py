"""Photos of people, bare and with their faces covered, as dlib's recogniser sees them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.covers.cells import DEFACE_PX, Covers, Faces, crop_around
from streamanon.audit.gallery import find_photos, largest_face, read_photo
from streamanon.audit.judges import Judge
from streamanon.audit.people import FaceFrame
from streamanon.audit.recognisers import DlibRecogniser
from streamanon.config import CoverConfig
from streamanon.cover.mosaic import ellipse_alpha
from streamanon.geometry import grow
from streamanon.training.teacher import CHIP_PX, load_teacher
from streamanon.types import Float

BATCH = 64
EDGE = 0.35  # around photos, in their sides: covers of near faces are wider than the photos


@dataclass(frozen=True, eq=False)
class Photo:
    """``box``: of the detected face; ``place``: where dlib sees it, which an attacker is given."""

    image: NDArray[np.uint8]
    box: Float
    place: Any


class Photos:
    """The photos below ``folder/person`` in which a face is detected."""

    def __init__(self, folder: Path, judge: Judge) -> None:
        self._recogniser, self._teacher = DlibRecogniser(), load_teacher()
        self._photos: list[Photo] = []
        people = []
        for path in find_photos(folder):
            image = read_photo(path)
            edge = round(EDGE * max(image.shape))
            wide = cv2.copyMakeBorder(image, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
            image = np.ascontiguousarray(wide, np.uint8)
            face = largest_face(image, judge)
            if face is not None:
                self._photos.append(self._photo(image, face))
                people.append(path.parent.name)
        crops = np.stack([crop_around(photo.image, photo.box) for photo in self._photos])
        bare = self._describe([photo.image for photo in self._photos])
        self.faces = Faces(crops, np.array(people), bare)

    def _photo(self, image: NDArray[np.uint8], face: FaceFrame) -> Photo:
        return Photo(image, face.box, self._recogniser.place(image, face))

    def covered(self, covers: Covers) -> Float:
        """dlib's embeddings [N, 128] of the covered photos."""
        shown = covers.shown(covers.means(self.faces.crops, jitter=0))[:, 0]
        return self._describe(
            [_laid(photo, cells, covers) for photo, cells in zip(self._photos, shown, strict=True)]
        )

    def _describe(self, images: list[NDArray[np.uint8]]) -> Float:
        found = []
        for start in range(0, len(images), BATCH):
            pairs = zip(images[start : start + BATCH], self._photos[start : start + BATCH], strict=False)
            chips = [dlib.get_face_chip(image, photo.place, CHIP_PX, 0.25) for image, photo in pairs]
            batch = torch.from_numpy(np.stack(chips).transpose(0, 3, 1, 2)).float()
            with torch.no_grad():
                found.append(self._teacher(batch).numpy())
        return np.asarray(np.concatenate(found), np.float32)


def _laid(photo: Photo, cells: Float, covers: Covers) -> NDArray[np.uint8]:
    """A photo with cells laid over the face, as an ellipse."""
    kind = covers.strength.kind
    margin = (DEFACE_PX / 72 * (1 + 2 * CoverConfig().margin) - 1) / 2 if "deface" in kind else None
    x0, y0, x1, y1 = np.rint(grow(photo.box, CoverConfig().margin if margin is None else margin)).astype(
        int
    )
    smooth = cv2.INTER_CUBIC if "blur" in kind else cv2.INTER_NEAREST
    flat = cv2.resize(cells, (x1 - x0, y1 - y0), interpolation=smooth)
    centre = (x1 - x0 - 1) / 2, (y1 - y0 - 1) / 2
    alpha = ellipse_alpha(x1 - x0, y1 - y0, centre, centre)[..., None]
    image = photo.image.copy()
    height, width = image.shape[:2]
    inside = np.s_[max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
    part = np.s_[max(-y0, 0) : y1 - y0 - max(y1 - height, 0), max(-x0, 0) : x1 - x0 - max(x1 - width, 0)]
    mixed = image[inside] * (1 - alpha[part]) + flat[part] * alpha[part]
    image[inside] = np.rint(mixed.clip(0, 255))
    return image

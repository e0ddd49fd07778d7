"""``streamanon delegates preview``: a frame of a video with six delegates that may be drawn for its largest
face.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.api import Anonymizer
from streamanon.config import Config
from streamanon.errors import ConfigError
from streamanon.gallery.contact_sheet import labelled
from streamanon.gallery.delegates import DelegateGallery
from streamanon.identity.assignment import Assigner
from streamanon.media.decode import read_frames
from streamanon.media.display import as_shown
from streamanon.media.probe import probe
from streamanon.media.yuv import from_rgb, to_rgb
from streamanon.types import Faces, Geometry, RawFrame, Target

CANDIDATES, COLUMNS = 6, 3
#: A frame is looked for among so many, of which one in so many is searched.
FRAMES, EVERY = 300, 15
#: Draws after which fewer candidates are shown: the gallery may hold fewer.
MOST_DRAWS = 60
#: Part of the frame that is shown, of the face's box; its size, px.
AROUND, TILE_PX = 2.2, 320


def preview(clip: Path, gallery: DelegateGallery, seed: int, file: str | None) -> NDArray[np.uint8]:
    """[H, W, 3] RGB: the largest face of the first frames as each of six delegates, with their ids; the
    picture's other faces are covered, too. Raises :class:`StreamanonError`.
    """
    config = Config()
    anonymizer = Anonymizer(replace(config, identity=replace(config.identity, gallery=file, seed=seed)))
    frame, faces, row = _frame_with_face(clip, anonymizer)
    target = Target(0, faces.boxes[row], faces.keypoints[row], True)
    assert anonymizer.parts is not None
    measured = anonymizer.parts.mesh.measure(frame.picture, [target])[0]
    tiles = []
    for name in _candidates(anonymizer, frame, measured, seed):
        parts = replace(
            anonymizer.parts, assigner=replace(anonymizer.parts.assigner, only=gallery.find(name))
        )
        anonymizer.parts = parts
        covered = anonymizer.image(to_rgb(frame.picture))
        tiles.append(labelled(_cut(covered, faces.boxes[row]), name))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    return np.vstack([np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)])


def _frame_with_face(clip: Path, anonymizer: Anonymizer) -> tuple[RawFrame, Faces, int]:
    """The frame with the largest face among the first, its faces, and which."""
    found: list[tuple[float, RawFrame, Faces, int]] = []
    search = anonymizer.face_search()
    for frame in _some(clip):
        faces = search.detect(frame)
        if len(faces):
            areas = np.prod(faces.boxes[:, 2:] - faces.boxes[:, :2], axis=1)
            row = int(np.argmax(areas))
            found.append((float(areas[row]), frame, faces, row))
    if not found:
        raise ConfigError(f"no face was found at the beginning of {clip}: give a clip that shows one")
    _, frame, faces, row = max(found, key=lambda one: one[0])
    return frame, faces, row


def _some(clip: Path) -> Iterator[RawFrame]:
    """Frames as players show them."""
    info = probe(clip)
    for raw in islice(read_frames(clip, info), 0, FRAMES, EVERY):
        yield replace(raw, picture=from_rgb(as_shown(to_rgb(raw.picture), info.display_matrix)))


def _candidates(anonymizer: Anonymizer, frame: RawFrame, measured: Geometry, seed: int) -> list[str]:
    """Different delegates that are drawn for a face."""
    assert anonymizer.parts is not None
    parts, names = anonymizer.parts.assigner, list[str]()
    for number in range(MOST_DRAWS):
        config = replace(parts.config, seed=seed + number)
        drawn = Assigner(replace(parts, config=config)).assign(frame, 0, measured).delegate.id
        names += [drawn] if drawn not in names else []
        if len(names) == CANDIDATES:
            break
    return names


def _cut(image: NDArray[np.uint8], box: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A square about a box, at the size of a tile."""
    side = AROUND * float((box[2:] - box[:2]).max())
    scale = TILE_PX / side
    middle = (box[:2] + box[2:]) / 2
    matrix = np.array([[scale, 0, 0], [0, scale, 0]])
    matrix[:, 2] = TILE_PX / 2 - scale * middle
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    cut = cv2.warpAffine(image, matrix, (TILE_PX, TILE_PX), flags=method, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, np.uint8)

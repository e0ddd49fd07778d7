from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamanon.audit.leaks import exposures
from streamanon.audit.pairing import Image, Pair
from streamanon.types import Float

BOX = np.array([[60, 40, 110, 100]], np.float32)


def texture(seed: int, size: tuple[int, int] = (160, 180)) -> Image:
    """Soft random blobs, as faces and rooms have them: [H, W, 3]."""
    rng = np.random.default_rng(seed)
    noise = rng.uniform(0, 255, (*size, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.clip((soft - 127) * 6 + 127, 0, 255).astype(np.uint8)


def covered(image: Image, patch: Image | int, box: Float = BOX[0]) -> Image:
    x0, y0, x1, y1 = (int(value) for value in box)
    out = image.copy()
    out[y0:y1, x0:x1] = patch if isinstance(patch, int) else patch[y0:y1, x0:x1]
    return out


def recoded(image: Image, quality: int) -> Image:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def seen(original: Image, *others: Image, boxes: Float = BOX) -> bool:
    return exposures(Pair(0, original, others), boxes)[0].seen


def test_what_was_not_changed_is_seen() -> None:
    assert seen(texture(0), texture(0))


@pytest.mark.parametrize("quality", [90, 60, 35])
def test_another_codec_hides_nothing(quality: int) -> None:
    assert seen(texture(0), recoded(texture(0), quality))


@pytest.mark.parametrize("contrast", [0.6, 0.25])
def test_low_contrast_hides_nothing(contrast: float) -> None:
    faint = (texture(0) * contrast + 80 * (1 - contrast)).astype(np.uint8)
    assert seen(texture(0), faint)
    assert seen(texture(0), covered(texture(0), faint)), "in the face alone"


def test_a_face_that_was_moved_a_little_is_seen() -> None:
    assert seen(texture(0), np.roll(texture(0), (2, -2), (0, 1)))


def test_a_frame_shown_at_another_time_is_seen() -> None:
    hidden = covered(texture(1), 0)
    assert seen(texture(0), hidden, covered(texture(2), 0), texture(0))


@pytest.mark.parametrize("patch", [0, 255])
def test_plain_colour_hides(patch: int) -> None:
    assert not seen(texture(0), covered(texture(0), patch))


def test_a_mosaic_hides() -> None:
    x0, y0, x1, y1 = (int(value) for value in BOX[0])
    image = texture(0)
    cells = cv2.resize(image[y0:y1, x0:x1], (6, 6), interpolation=cv2.INTER_AREA)
    out = image.copy()
    out[y0:y1, x0:x1] = cv2.resize(cells, (x1 - x0, y1 - y0), interpolation=cv2.INTER_NEAREST)
    assert not seen(image, out)


def test_another_face_hides_however_well_it_fits() -> None:
    alike = (0.75 * texture(0).astype(np.float32) + 0.5 * (texture(1).astype(np.float32) - 127)).clip(
        0, 255
    )
    assert not seen(texture(0), covered(texture(0), alike.astype(np.uint8)))
    assert not seen(texture(0), covered(texture(0), texture(1)))


def test_neighbours_that_were_covered_do_not_excuse_a_leak() -> None:
    """Nor do they make a covered face look seen: half of the surroundings are someone else's mosaic."""
    beside = np.array([[112, 20, 150, 120]], np.float32)
    boxes = np.concatenate([BOX, beside])
    leaked = covered(texture(0), 0, beside[0])
    assert seen(texture(0), leaked, boxes=boxes)
    assert not seen(texture(0), covered(leaked, texture(1)), boxes=boxes)
    assert not seen(texture(0), covered(leaked, texture(1))), "not even if nobody found the neighbour"


def test_a_face_without_detail_is_seen_if_it_did_not_change() -> None:
    plain = np.full((160, 180, 3), 12, np.uint8)
    assert seen(plain, plain)
    assert not seen(plain, covered(plain, 60))


@pytest.mark.parametrize(
    "box", [(-30, -20, 25, 40), (150, 130, 210, 200), (0, 0, 179, 159), (70, 60, 79, 70)]
)
def test_faces_at_the_edge_whole_and_tiny(box: tuple[float, ...]) -> None:
    boxes = np.array([box], np.float32)
    assert seen(texture(0), texture(0), boxes=boxes)
    clipped = boxes[0].clip(0, 200)
    assert not seen(texture(0), covered(texture(0), 0, clipped), boxes=boxes)


def test_without_a_counterpart_nothing_is_seen() -> None:
    assert not seen(texture(0))

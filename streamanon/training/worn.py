"""Tell a gallery's file what the identity encoder sees in its delegates.

    python -m streamanon.training.worn --data DATA --engines engines

They are looked at as worn by a mean head, made here of the synthetic portraits of ``generated``. Galleries
are built with it; this is for after the encoder was trained.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.config import ComputeConfig
from streamanon.gallery.delegates import TEXTURE_PX, gallery_of, write_fields
from streamanon.geometry import alignment, transform
from streamanon.identity.encoder import CHANNELS, EMBEDDING, IdentityEncoder
from streamanon.portraits.reference_render import describe_all
from streamanon.runtime.backends.onnxruntime import create
from streamanon.runtime.models import Engines
from streamanon.training.portraits import read_portraits
from streamanon.types import Float

EVERY = 8  # portrait of the set: some 470 are enough
JPEG_QUALITY = 92


def mean_head(data: Path) -> tuple[np.ndarray, Float]:
    """An image [256, 256, 3] uint8 BGR and its mesh [478, 3] px: the mean of hundreds of portraits."""
    pixels, points, count = np.zeros((TEXTURE_PX, TEXTURE_PX, 3)), np.zeros((478, 3)), 0
    for portrait in itertools.islice(read_portraits(data, ["generated"]), 0, None, EVERY):
        assert portrait.depth is not None
        matrix, size = alignment(portrait.keypoints, TEXTURE_PX), (TEXTURE_PX, TEXTURE_PX)
        pixels += cv2.warpAffine(portrait.image, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        points += transform(matrix, np.column_stack([portrait.points, portrait.depth]))
        count += 1
    return np.rint(pixels / count).astype(np.uint8), (points / count).astype(np.float32)


def described(
    arrays: Mapping[str, NDArray[Any]], data: Path, encoder: IdentityEncoder
) -> dict[str, NDArray[Any]]:
    """A gallery file's fields with head, features and embeddings."""
    head, points = mean_head(data)
    jpeg = cv2.imencode(".jpg", head, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].ravel()
    count = len(arrays["ids"])
    blank = {"features": np.zeros((count, CHANNELS)), "embeddings": np.zeros((count, EMBEDDING))}
    bare = {**arrays, **blank, "head": jpeg, "head_points": points}
    gallery = gallery_of(bare)
    features, embeddings = describe_all(gallery.delegates, gallery, encoder)
    return {**bare, "features": features, "embeddings": embeddings}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--engines", type=Path, default=Path("engines"))
    args = parser.parse_args()
    engines = Engines.open(args.engines)
    path = args.engines / str(engines.models["delegates"]["file"])
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    write_fields(
        path, described(arrays, args.data, IdentityEncoder(create(ComputeConfig(threads=1)), engines))
    )
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

"""``streamanon delegates``: the faces of nobody, listed, shown, exported."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.engines import Engines
from streamanon.errors import ConfigError, SinkError
from streamanon.identity.choice import attributes_of
from streamanon.identity.delegates import DelegateGallery, open_gallery
from streamanon.identity.sheet import contact_sheet, render
from streamanon.types import Delegate

PICTURE_PX = 256


def run_delegates(args: argparse.Namespace) -> int:
    """Raises :class:`StreamanonError`."""
    gallery = open_gallery(Engines.open())
    if args.what == "list":
        print("\n".join(listing(gallery)))
    elif args.what == "show":
        chosen = [gallery.find(name) for name in args.ids] or list(gallery.delegates)
        _write(args.output, contact_sheet(gallery, chosen))
    else:
        _export(gallery, [gallery.find(name) for name in args.ids] or list(gallery.delegates), args.output)
    return 0


def listing(gallery: DelegateGallery) -> list[str]:
    """A line each: id, presentation, age, skin luma."""
    attributes = attributes_of(gallery.delegates)
    lines = ["id     presents   age  skin"]
    for row, delegate in enumerate(gallery.delegates):
        presents = "masculine" if delegate.masculine > 0.5 else "feminine"
        lines.append(f"{delegate.id:<6} {presents:<9} {delegate.age:4.0f}  {attributes.tone[row]:4.0f}")
    return lines


def _export(gallery: DelegateGallery, chosen: list[Delegate], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {folder}: {error.strerror}; give another") from error
    for delegate in chosen:
        _write(folder / f"{delegate.id}.png", render(delegate, gallery, PICTURE_PX))


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ConfigError(f"{path} has no suffix of a picture: give a .png or .jpg file")
    try:
        path.write_bytes(cv2.imencode(path.suffix.lower(), picture[..., ::-1])[1].tobytes())
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}; check the folder") from error

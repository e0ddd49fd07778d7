"""``streamanon delegates``: the faces of nobody, listed, shown, exported, added."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.backends import open_backend
from streamanon.config import Config
from streamanon.detector import FaceDetector
from streamanon.engines import Engines
from streamanon.errors import ConfigError, SinkError
from streamanon.identity.additions import Converter, extend, read_additions
from streamanon.identity.delegates import DelegateGallery, open_gallery, read_fields, write_fields
from streamanon.identity.encoder import IdentityEncoder
from streamanon.identity.sheet import contact_sheet, render
from streamanon.mesh import FaceMesh
from streamanon.types import Delegate

PICTURE_PX = 256


def run_delegates(args: argparse.Namespace) -> int:
    """Raises :class:`StreamanonError`."""
    engines = Engines.open()
    gallery = open_gallery(engines, args.gallery)
    if args.what == "list":
        print("\n".join(listing(gallery)))
    elif args.what == "show":
        chosen = [gallery.find(name) for name in args.ids] or list(gallery.delegates)
        _write(args.output, contact_sheet(gallery, chosen))
    elif args.what == "export":
        _export(gallery, [gallery.find(name) for name in args.ids] or list(gallery.delegates), args.output)
    else:
        _add(gallery, Path(args.gallery or engines.path("delegates")), engines, args)
    return 0


def _add(gallery: DelegateGallery, file: Path, engines: Engines, args: argparse.Namespace) -> None:
    if args.output.suffix.lower() != ".npz":
        raise ConfigError(f"{args.output} is no gallery's name: give a .npz file")
    config = Config()
    backend = open_backend(config.compute)
    detector, mesh = FaceDetector(backend, engines, config.detect), FaceMesh(backend, engines)
    converter = Converter(gallery, detector, mesh, IdentityEncoder(backend, engines))
    added = read_additions(args.folder, converter, _tell, None if args.only else gallery.embeddings)
    arrays = extend(read_fields(file), added, args.only)
    try:
        write_fields(args.output, arrays)
    except OSError as error:
        raise SinkError(f"cannot write {args.output}: {error.strerror}; check the folder") from error
    print(f"{args.output}: {len(arrays['ids'])} delegates, {len(added)} of them added")


def _tell(line: str) -> None:
    print(f"streamanon: {line}", file=sys.stderr)


def listing(gallery: DelegateGallery) -> list[str]:
    """A line each: id, presentation, age, skin tone (individual typology angle, degrees)."""
    lines = ["id     presents   age  tone"]
    for row, delegate in enumerate(gallery.delegates):
        presents = "masculine" if delegate.masculine > 0.5 else "feminine"
        lines.append(f"{delegate.id:<6} {presents:<9} {delegate.age:4.0f}  {gallery.tones[row]:4.0f}")
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

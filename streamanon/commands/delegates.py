"""``streamanon delegates``: the synthetic faces, listed, shown, exported, added."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.commands.preview import preview
from streamanon.config import Config
from streamanon.detect.yolo import FaceDetector
from streamanon.errors import ConfigError, SinkError, answer, tell
from streamanon.gallery.contact_sheet import contact_sheet, render
from streamanon.gallery.delegates import DelegateGallery, open_gallery, read_fields, write_fields
from streamanon.identity.encoder import IdentityEncoder
from streamanon.media.output_file import check_free, check_writable, write_file
from streamanon.mesh.face_mesh import FaceMesh
from streamanon.portraits.import_portraits import Converter, extend, read_additions
from streamanon.runtime.backends import open_backend
from streamanon.runtime.models import Engines
from streamanon.types import Delegate

PICTURE_PX = 256
PICTURES = (".png", ".jpg", ".jpeg")


def run_delegates(args: argparse.Namespace) -> int:
    """Raises :class:`StreamanonError`."""
    engines = Engines.open()
    _check_output(args)
    gallery = open_gallery(engines, args.gallery)
    if args.what == "list":
        answer("\n".join(listing(gallery)))
    elif args.what == "show":
        chosen = [gallery.find(name) for name in args.ids] or list(gallery.delegates)
        _write(args.output, contact_sheet(gallery, chosen), args.overwrite)
    elif args.what == "export":
        chosen = [gallery.find(name) for name in args.ids] or list(gallery.delegates)
        _export(gallery, chosen, args.output, args.overwrite)
    elif args.what == "preview":
        _write(args.output, preview(args.clip, gallery, args.seed, args.gallery), args.overwrite)
    else:
        _add(gallery, Path(args.gallery or engines.path("delegates")), engines, args)
    return 0


def _add(gallery: DelegateGallery, file: Path, engines: Engines, args: argparse.Namespace) -> None:
    config = Config()
    backend = open_backend(config.compute)
    detector, mesh = FaceDetector(backend, engines, config.detect), FaceMesh(backend, engines)
    converter = Converter(gallery, detector, mesh, IdentityEncoder(backend, engines))
    added = read_additions(args.folder, converter, _tell, None if args.only else gallery.embeddings)
    arrays = extend(read_fields(file), added, args.only)
    content = io.BytesIO()
    write_fields(content, arrays)
    write_file(args.output, content.getvalue(), args.overwrite)
    tell(f"{args.output}: {len(arrays['ids'])} delegates, {len(added)} of them added", sys.stdout)


def _check_output(args: argparse.Namespace) -> None:
    """Before the work: that the output has a fitting name and replaces nothing unasked."""
    if args.what in ("show", "preview") and args.output.suffix.lower() not in PICTURES:
        raise ConfigError(f"{args.output} has no suffix of a picture: give a .png or .jpg file")
    if args.what == "add" and args.output.suffix.lower() != ".npz":
        raise ConfigError(f"{args.output} is no gallery's name: give a .npz file")
    if args.what in ("show", "add", "preview"):
        check_writable(args.output, args.overwrite)


def _tell(line: str) -> None:
    tell(f"streamanon: {line}")


def listing(gallery: DelegateGallery) -> list[str]:
    """A line each: id, presentation, age, skin tone (individual typology angle, degrees)."""
    lines = ["id     presents   age  tone"]
    for row, delegate in enumerate(gallery.delegates):
        presents = "masculine" if delegate.masculine > 0.5 else "feminine"
        lines.append(f"{delegate.id:<6} {presents:<9} {delegate.age:4.0f}  {gallery.tones[row]:4.0f}")
    return lines


def _export(gallery: DelegateGallery, chosen: list[Delegate], folder: Path, overwrite: bool) -> None:
    paths = [folder / f"{delegate.id}.png" for delegate in chosen]
    for path in paths:
        check_free(path, overwrite)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {folder}: {error.strerror}; give another") from error
    for path, delegate in zip(paths, chosen, strict=True):
        _write(path, render(delegate, gallery, PICTURE_PX), overwrite)


def _write(path: Path, picture: NDArray[np.uint8], overwrite: bool) -> None:
    write_file(path, cv2.imencode(path.suffix.lower(), picture[..., ::-1])[1].tobytes(), overwrite)

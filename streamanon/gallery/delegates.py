"""The gallery of delegates: nobody's faces in one texture space, read from one file.

The file is a plain ``.npz`` (no pickle); ``streamanon.training.delegates`` writes it:

========== ==================== ==================================================================
version    int32                3
ids        [N] str              "d000", "d001", ...; "u000", ... where a user added them
jpegs      [bytes] uint8        the textures' JPEG files, one after the other (512×512 or 256×256)
jpeg_sizes [N] int32            how many bytes each takes
shapes     [N, 478, 3] float32  unit inter-ocular distance, origin between the irises, y down
codes      [N, C] float32       principal components of texture and shape, unit variance
masculine  [N] float32          0..1
ages       [N] float32          years
worn_masculine, worn_ages       the same as it reads when people wear it (``streamanon.training.readings``)
tones      [N] float32          skin: individual typology angle, degrees (``texture.tone_degrees``)
weights    [N, K] float32       share of each blended portrait, in falling order, 0 where none
features   [N, 256] float32     what the identity encoder pools of each, worn by nobody in particular
embeddings [N, 128] float32     and its embedding, unit length
head        [bytes] uint8       JPEG file of a head, 256×256, the mean of hundreds: who wears them there
head_points [478, 3] float32    its mesh, px
uv         [478, 2] float32     where the mesh points lie in the texture, px
triangles  [T, 3] int32         triangles of mesh points, all turning the same way in ``uv``
mirror     [478] int32          for each mesh point its left-right counterpart
mean       [478, 3] float32     the mean face that the texture space was made of, as ``shapes``
code_axes  [C, P] float16       what codes are made by (:mod:`streamanon.portraits.codes`): the generator
code_mean  [P] float32          was trained with codes on these axes
code_units [2] float32
========== ==================== ==================================================================
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.errors import ConfigError, ModelError
from streamanon.gallery.wanted import delegate_like
from streamanon.media.image_headers import image_size
from streamanon.runtime.models import Engines
from streamanon.types import Delegate, Float

TEXTURE_PX = 256
#: Side of stored textures: a user's may be smaller.
FINE_PX = 512
VERSION = 3
#: Of each delegate one row ("jpegs" aside, which holds all files in one), and of the texture space.
ROWS: tuple[str, ...] = ("ids", "jpegs", "jpeg_sizes", "shapes", "codes", "masculine", "ages", "tones")
ROWS += ("weights", "features", "embeddings", "worn_masculine", "worn_ages")
#: Where nobody measured it a delegate looks younger when worn, by that factor: fine wrinkles are lost.
WORN_AGE = 0.93
#: What reading an archive raises that is cut off, damaged, encrypted or compressed in another way.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
#: Pictures of delegates are named after their ids.
_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_FIELDS = ("version", *ROWS, "uv", "triangles", "mirror", "mean", "head", "head_points")
_FIELDS += ("code_axes", "code_mean", "code_units")


@dataclass(frozen=True, eq=False)
class DelegateGallery:
    """All delegates, and the texture space they share.

    ``uv`` [478, 2] float32: the mesh points' place in a 256 px texture, px, origin at the centre of the
    top-left pixel. ``triangles`` [T, 3] int32 into the mesh points; they cover the hull of ``uv`` without
    overlap. ``mirror`` [478] int32: each point's counterpart on the other side; ``uv`` and the triangles'
    hull are symmetric about x = 127.5. ``weights`` [N, K] float32: how much of each of K blended
    portraits is in a delegate. ``tones`` [N] float32: the skin's typology angle, degrees. ``features``
    [N, 256] and ``embeddings`` [N, 128] float32: what the identity encoder makes of each, worn by ``head``
    [256, 256, 3] uint8 RGB, whose mesh lies at ``head_points`` [478, 3] px. Textures hold plausible skin
    outside the hull too.
    """

    delegates: tuple[Delegate, ...]
    uv: Float = field(repr=False)
    triangles: NDArray[np.int32] = field(repr=False)
    mirror: NDArray[np.int32] = field(repr=False)
    weights: Float = field(repr=False)
    tones: Float = field(repr=False)
    features: Float = field(repr=False)
    embeddings: Float = field(repr=False)
    head: NDArray[np.uint8] = field(repr=False)
    head_points: Float = field(repr=False)

    def __post_init__(self) -> None:
        shapes = {"uv": (478, 2), "mirror": (478,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {list(shape)}")
        if self.triangles.ndim != 2 or self.triangles.shape[1] != 3:
            raise ValueError("triangles must be [T, 3]")
        for name in ("weights", "tones", "features", "embeddings"):
            if len(getattr(self, name)) != len(self.delegates):
                raise ValueError(f"{name} must have one row a delegate")

    def __len__(self) -> int:
        return len(self.delegates)

    def find(self, name: str) -> Delegate:
        """The delegate of that id, or the one most like "age=30,sex=f,tone=3". Raises
        :class:`ConfigError`.
        """
        if "=" in name:
            return delegate_like(name, self.delegates, self.tones)
        for delegate in self.delegates:
            if delegate.id == name:
                return delegate
        first, last = self.delegates[0].id, self.delegates[-1].id
        raise ConfigError(
            f"there is no delegate {name!r}: ids go from {first} to {last}; see streamanon delegates list"
        )


def open_gallery(engines: Engines, file: Path | str | None = None) -> DelegateGallery:
    """The installed gallery, or a user's ``file``. Raises :class:`ModelError` where the installed one
    cannot be read and :class:`ConfigError` where the user's cannot.
    """
    if file is not None:
        try:
            return load_delegates(file)
        except OSError as error:
            raise ConfigError(
                f"cannot read the gallery {file}: {error.strerror}; check the path"
            ) from error
        except ValueError as error:
            why = "" if "pickle" in str(error) else f" ({error})"  # how NumPy calls what is no .npz
            raise ConfigError(f"{file} is no gallery{why}; make one by streamanon delegates add") from error
    path = engines.path("delegates")
    try:
        return load_delegates(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {error}; install streamanon again") from error


def read_fields(path: Path | str) -> dict[str, NDArray[Any]]:
    """The file's arrays. Raises OSError where it cannot be read and ValueError where it is no gallery."""
    known = _known_fields(path)
    if "masculine" in known and "ages" in known:  # a user's may be of before these were measured
        known.setdefault("worn_masculine", known["masculine"])
        known.setdefault("worn_ages", np.float32(WORN_AGE) * known["ages"].astype(np.float32))
    missing = [name for name in _FIELDS if name not in known]
    if missing:
        raise ValueError(f"no delegate gallery: {missing[0]!r} is missing")
    if known["version"].shape or int(known["version"]) != VERSION:
        raise ValueError(f"delegate gallery of version {known['version']}, not {VERSION}")
    return {name: known[name] for name in _FIELDS}


def _known_fields(path: Path | str) -> dict[str, NDArray[Any]]:
    """Those of a gallery that are in a file. Raises as :func:`read_fields` does."""
    try:
        opened = np.load(path, allow_pickle=False)
        if isinstance(opened, np.ndarray):
            raise ValueError("one array alone")
        with opened as archive:
            return {name: archive[name] for name in archive.files if name in _FIELDS}
    except _DAMAGE as error:
        raise ValueError(str(error) or "it is cut off") from error


def write_fields(path: Path | str | IO[bytes], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a gallery of all fields but ``version``. Raises OSError and, for a missing field, KeyError."""
    fields = {name: arrays[name] for name in _FIELDS if name != "version"}
    np.savez_compressed(path, allow_pickle=False, version=np.int32(VERSION), **fields)


def load_delegates(path: Path | str) -> DelegateGallery:
    """Read a gallery. Raises OSError where it cannot be read and ValueError where it is no gallery."""
    return gallery_of(read_fields(path))


def gallery_of(arrays: Mapping[str, NDArray[Any]]) -> DelegateGallery:
    """A gallery of a file's fields. Raises ValueError for those that do not fit together."""
    _check(arrays)
    ends = np.cumsum(arrays["jpeg_sizes"])
    files = [_checked(data) for data in np.split(arrays["jpegs"], ends[:-1])]
    delegates = tuple(
        Delegate(
            id=str(arrays["ids"][row]),
            stored=data,
            shape=arrays["shapes"][row],
            code=arrays["codes"][row],
            masculine=float(arrays["masculine"][row]),
            age=float(arrays["ages"][row]),
            worn=(float(arrays["worn_masculine"][row]), float(arrays["worn_ages"][row])),
        )
        for row, data in enumerate(files)
    )
    return DelegateGallery(
        delegates,
        arrays["uv"],
        arrays["triangles"],
        arrays["mirror"],
        arrays["weights"],
        arrays["tones"],
        arrays["features"],
        arrays["embeddings"],
        _decode(arrays["head"]),
        arrays["head_points"],
    )


def _check(arrays: Mapping[str, NDArray[Any]]) -> None:
    """The file may be a user's or somebody else's: with wrong fields no face could be generated, and files
    are named after ids.
    """
    ids = [str(name) for name in np.ravel(arrays["ids"])]
    count, codes = len(ids), len(np.atleast_2d(arrays["code_axes"]))
    if not count or len(set(ids)) < count or not all(_ID.fullmatch(name) for name in ids):
        raise ValueError("its ids are not different short names")
    wanted: dict[str, tuple[int | None, ...]] = {
        "shapes": (count, 478, 3), "codes": (count, codes), "weights": (count, None),
        "features": (count, 256), "embeddings": (count, 128), "uv": (478, 2), "triangles": (None, 3),
        "mirror": (478,), "mean": (478, 3), "head_points": (478, 3),
    }  # fmt: skip
    rows = ("jpeg_sizes", "masculine", "ages", "tones", "worn_masculine", "worn_ages")
    for name, shape in (wanted | dict.fromkeys(rows, (count,))).items():
        if not _is_of(arrays[name], shape):
            raise ValueError(f"{name!r} does not fit")
    for name in ("triangles", "mirror"):
        if not ((arrays[name] >= 0) & (arrays[name] < 478)).all():
            raise ValueError(f"{name!r} does not fit")


def _is_of(array: NDArray[Any], shape: tuple[int | None, ...]) -> bool:
    """Whether these are finite numbers of a shape; None: any length."""
    fits = array.ndim == len(shape) and all(
        wanted in (None, length) for wanted, length in zip(shape, array.shape, strict=True)
    )
    return fits and array.dtype.kind in "fiu" and bool(np.isfinite(array).all())


def _checked(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bytes of a JPEG file that says it has a texture's size: the file may be a user's."""
    if image_size(data.tobytes()) not in ((FINE_PX, FINE_PX), (TEXTURE_PX, TEXTURE_PX)):
        raise ValueError("a delegate's texture cannot be decoded")
    return data.copy()


def _decode(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A JPEG file's bytes as [H, W, 3] uint8 RGB."""
    image = cv2.imdecode(_checked(data), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("a delegate's texture cannot be decoded")
    return np.ascontiguousarray(image[..., ::-1], np.uint8)

"""The data types passed between stages: small immutable types that import nothing of ours.

Pixel coordinates have x to the right, y down, and their origin at the centre of the top-left pixel.
Floating point arrays are float32. No ``repr`` here ever shows pixels.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field, fields
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Plane = NDArray[Any]  # uint8 or uint16

Method = Literal["synthesize", "fill", "mosaic", "blur", "solid"]
METHODS: tuple[Method, ...] = ("synthesize", "fill", "mosaic", "blur", "solid")

Status = Literal["seen", "skipped", "failed"]

#: Weights of R, G and B in luma (ITU-R BT.601).
LUMA: Float = np.array([0.299, 0.587, 0.114], np.float32)

#: Planar formats that a :class:`Picture` can hold: (horizontal, vertical) chroma step and bits.
PIXEL_FORMATS: dict[str, tuple[int, int, int]] = {
    "gray": (1, 1, 8),
    "yuv420p": (2, 2, 8),
    "yuv422p": (2, 1, 8),
    "yuv444p": (1, 1, 8),
    "gbrp": (1, 1, 8),
    "gray10le": (1, 1, 10),
    "yuv420p10le": (2, 2, 10),
    "yuv422p10le": (2, 1, 10),
    "yuv444p10le": (1, 1, 10),
    "gbrp10le": (1, 1, 10),
}


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """Pixels in the decoder's planes.

    ``planes``: Y, U, V (or G, B, R, or grey alone), each [H, W], uint8 or uint16 (10 bits, low end).
    ``matrix``: "bt601", "bt709" or "bt2020"; how Y, U, V relate to RGB.
    ``full_range``: whether black is 0 (true) or 16 of 255 (false).
    """

    planes: tuple[Plane, ...]
    pixel_format: str
    matrix: str = "bt601"
    full_range: bool = False

    def __post_init__(self) -> None:
        _require(self.pixel_format in PIXEL_FORMATS, f"unknown pixel format {self.pixel_format!r}")
        _require(
            len(self.planes) == (1 if self.pixel_format.startswith("gray") else 3), "wrong plane count"
        )
        _require(self.planes[0].ndim == 2, "planes must be [H, W]")
        step_x, step_y, bits = PIXEL_FORMATS[self.pixel_format]
        chroma = (-(-self.height // step_y), -(-self.width // step_x))
        _require(all(p.shape == chroma for p in self.planes[1:]), "chroma planes do not fit the luma plane")
        wanted = np.uint8 if bits == 8 else np.uint16
        _require(
            all(p.dtype == wanted for p in self.planes), f"{self.pixel_format} needs {wanted.__name__}"
        )

    @property
    def width(self) -> int:
        return int(self.planes[0].shape[1])

    @property
    def height(self) -> int:
        return int(self.planes[0].shape[0])

    @property
    def chroma_step(self) -> tuple[int, int]:
        """Luma pixels per chroma sample, (horizontal, vertical)."""
        return PIXEL_FORMATS[self.pixel_format][:2]

    @property
    def bits(self) -> int:
        return PIXEL_FORMATS[self.pixel_format][2]

    def __repr__(self) -> str:
        return f"Picture({self.width}x{self.height} {self.pixel_format} {self.matrix})"


@dataclass(frozen=True, eq=False)
class RawFrame:
    """A decoded frame. ``pts`` counts in ``time_base`` seconds; ``index`` counts frames from 0.
    ``damaged``: what it shows is not to be trusted, so that it is covered whole.
    """

    index: int
    pts: int
    time_base: Fraction
    picture: Picture
    duration: int | None = None
    damaged: bool = False

    @property
    def pts_seconds(self) -> float:
        return float(self.pts * self.time_base)


@dataclass(frozen=True, eq=False)
class Faces:
    """Detections of one frame: ``boxes`` [N, 4] xyxy px, ``scores`` [N] in 0..1, ``keypoints`` [N, 5, 2]
    px (left eye, right eye, nose, left and right mouth corner as seen in the image), ``track_ids`` [N]
    int64 (-1: not tracked yet).
    """

    boxes: Float
    scores: Float
    keypoints: Float
    track_ids: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.boxes)
        _require(self.boxes.shape == (count, 4), f"boxes must be [N, 4], not {self.boxes.shape}")
        _require(self.scores.shape == (count,), f"scores must be [{count}], not {self.scores.shape}")
        _require(self.keypoints.shape == (count, 5, 2), f"keypoints must be [{count}, 5, 2]")
        _require(self.track_ids.shape == (count,), f"track_ids must be [{count}]")

    @staticmethod
    def empty() -> Faces:
        return Faces(
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros((0, 5, 2), np.float32),
            np.zeros(0, np.int64),
        )

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, keep: Any) -> Faces:
        """The faces that a boolean mask or an index array picks."""
        return Faces(self.boxes[keep], self.scores[keep], self.keypoints[keep], self.track_ids[keep])

    def joined(self, other: Faces) -> Faces:
        """These faces followed by the others."""
        if not len(other):
            return self
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(Faces))
        return Faces(*(np.concatenate(pair) for pair in pairs))

    def with_ids(self, track_ids: NDArray[np.int64]) -> Faces:
        return Faces(self.boxes, self.scores, self.keypoints, track_ids)


@dataclass(frozen=True, eq=False)
class Observation:
    """A frame with its detections.

    ``status``: "seen" (``faces`` holds the detections, perhaps none), "skipped" (no detection, by the
    detection interval) or "failed". ``cut``: whether this frame is the first of a new shot. ``denied``:
    tracks that were found in no face of this frame, but in something that is probably none, with its
    probability 0..1. ``near_only``: only near faces were looked for.
    """

    frame: RawFrame
    faces: Faces
    status: Status
    cut: bool = False
    denied: dict[int, float] = field(default_factory=dict)
    near_only: bool = False


@dataclass(frozen=True, eq=False)
class View:
    """A detection of a face in a frame: ``box`` [4] xyxy px, ``keypoints`` [5, 2] px."""

    picture: Picture
    box: Float
    keypoints: Float


@dataclass(frozen=True, eq=False)
class Target:
    """One face to cover in one frame. ``detected`` is false where the box was carried, filled in or
    coasted, ``distance`` frames away from the nearest detection. ``growth``: the share of the face's size
    by which its box was grown on each side, as nobody knows exactly where it is. ``sure``: whether it is
    probably a face, by all that is known of its track. ``later``: some of its track's detections in later
    frames of the look-ahead.
    """

    track_id: int
    box: Float  # [4] xyxy px
    keypoints: Float  # [5, 2] px
    detected: bool
    distance: int = 0
    growth: float = 0.0
    sure: bool = True
    later: tuple[View, ...] = ()


@dataclass(frozen=True, eq=False)
class Resolved:
    """A frame whose faces are settled. ``cover_all``: nothing is known, so the whole frame is covered.
    ``moving`` [N, 4] xyxy px: what else is covered. ``hidden``: faces that need no cover of their own, as
    those of other targets hide them; where one of these is left visible they become targets.
    """

    frame: RawFrame
    targets: tuple[Target, ...]
    cut: bool = False
    cover_all: bool = False
    moving: Float = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    hidden: tuple[Target, ...] = ()


@dataclass(frozen=True, eq=False)
class Geometry:
    """A face's mesh: ``points`` [478, 3] px (z on the scale of x, towards the camera negative),
    ``confidence`` in 0..1, and how the face presents: ``masculine`` in 0..1 and ``age`` in years.
    """

    points: Float
    confidence: float
    masculine: float = 0.5
    age: float = 40.0

    def __post_init__(self) -> None:
        _require(self.points.shape == (478, 3), f"points must be [478, 3], not {self.points.shape}")

    def __repr__(self) -> str:
        return f"Geometry(confidence={self.confidence:.2f})"


@dataclass(frozen=True, eq=False)
class Delegate:
    """Nobody's face: ``stored``, its texture in UV space, [512, 512, 3] or [256, 256, 3] uint8 RGB, or the
    bytes [n] of its JPEG file, which is decoded each time that it is asked for; ``shape`` [478, 3] (unit
    inter-ocular distance, origin between the eyes), ``code`` [C]; and how it presents: ``masculine`` 0..1,
    ``age`` in years. ``worn``: the same two as people wear it, None where they are not known.
    """

    id: str
    stored: NDArray[np.uint8] = field(repr=False)
    shape: Float = field(repr=False)
    code: Float = field(repr=False)
    masculine: float
    age: float
    worn: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        sizes = ((512, 512, 3), (256, 256, 3))
        _require(self.stored.ndim == 1 or self.stored.shape in sizes, "a texture is [512, 512, 3]")
        _require(self.shape.shape == (478, 3), "shape must be [478, 3]")

    @property
    def fine(self) -> NDArray[np.uint8]:
        """The texture as it is stored, [512, 512, 3] or [256, 256, 3]. Raises ValueError."""
        if self.stored.ndim == 3:
            return self.stored
        import cv2  # not for whoever only asks for the command line's help

        image = cv2.imdecode(self.stored, cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError("a delegate's texture cannot be decoded")
        return np.ascontiguousarray(image[..., ::-1], np.uint8)

    @property
    def texture(self) -> NDArray[np.uint8]:
        """The texture [256, 256, 3]. Raises ValueError."""
        fine = self.fine
        if len(fine) == 256:
            return fine
        import cv2

        return np.asarray(cv2.resize(fine, (256, 256), interpolation=cv2.INTER_AREA), np.uint8)

    @cached_property
    def skin(self) -> Float:
        """The mean colour [3] of the cheeks and the nose, RGB 0..255."""
        return np.asarray(self.texture[110:170, 70:186].mean(axis=(0, 1)), np.float32)


@dataclass(frozen=True, eq=False)
class Assignment:
    """What a person becomes. ``geometry`` 0..1: how far the features move to where the delegate has them.
    ``feature`` [256]: the person's distracted feature, which carries the delegate's identity.
    """

    delegate: Delegate
    geometry: float
    feature: Float = field(repr=False)


@dataclass(frozen=True)
class Account:
    """What the draws of delegates cost. ``switches``: people who got a second delegate because they were
    recognised too late; ``most``: the most draws for one person, as far as is known. ``sensitivity`` and
    ``utility``: of the exponential mechanism, for the report.
    """

    draws: int = 0
    switches: int = 0
    most: int = 0
    sensitivity: ClassVar[float] = 1.0
    utility: ClassVar[str] = (
        "0..1 by rank: sex presentation, age and skin alike, identity not nearer than others'"
    )


@dataclass(frozen=True)
class Cover:
    """What was done to one face in one frame; ``box`` is the covered region, xyxy px. ``method`` "kept": it
    was left visible by the user's wish.
    """

    track_id: int
    box: tuple[float, float, float, float]
    method: Method | Literal["kept"]
    detected: bool


@dataclass(frozen=True)
class FrameReport:
    """What was done to one frame; ``withheld`` frames are covered whole. ``moving``: regions, xyxy px, that
    were covered because something moves there.
    """

    covers: tuple[Cover, ...]
    withheld: bool = False
    moving: tuple[tuple[int, int, int, int], ...] = ()


#: Known to :mod:`streamanon.cover.seal` alone, which checks that every face has its cover.
_SEAL = object()


@dataclass(frozen=True, eq=False)
class SafeFrame:
    """A frame in which every known face is covered, but for people whom the user named to be kept visible.

    Only :mod:`streamanon.cover.seal` makes one (else ``TypeError``, also from ``dataclasses.replace``), and
    the sink takes nothing else.
    """

    index: int
    pts: int
    time_base: Fraction
    picture: Picture
    report: FrameReport
    duration: int | None = None
    seal: InitVar[object] = None

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("a SafeFrame is made by covering a frame, in streamanon.cover.seal alone")
        object.__setattr__(self, "_seal", seal)

    @property
    def is_sealed(self) -> bool:
        """False for one that was made past the constructor."""
        return self.__dict__.get("_seal") is _SEAL

    @property
    def pts_seconds(self) -> float:
        return float(self.pts * self.time_base)


def check_safe(frame: object) -> None:
    """What each output asks first. Raises TypeError for anything but a sealed :class:`SafeFrame`."""
    if type(frame) is not SafeFrame or not frame.is_sealed:
        raise TypeError(f"only a SafeFrame may leave, not {type(frame).__name__}")

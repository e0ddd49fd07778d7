"""What the generator learns from: faces cut out of crops, and what is to be put there.

Three kinds. "own": a face's own texture, spoilt, is to be made what it was. "again": another photo of the
same person lends the texture. "other": a delegate's; nobody knows the right picture, and the judges decide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from safetensors.numpy import load_file

from streamanon.errors import SynthesisError
from streamanon.gallery.delegates import open_gallery, read_fields
from streamanon.gallery.filters import smoothstep
from streamanon.gallery.uv_chart import bare_skin, chart_of_gallery, normalise
from streamanon.generate.inputs import make_inputs
from streamanon.generate.light import filled
from streamanon.generate.proportions import Proportions
from streamanon.generate.raster import Textures, pyramid
from streamanon.geometry import CROP_PX
from streamanon.identity.distraction import Distraction, open_distraction
from streamanon.identity.encoder import IdentityFeature
from streamanon.mesh.eye_mouth import PARTS, placements
from streamanon.mesh.landmarks import EYES, INNER_LIPS, OUTER_LIPS
from streamanon.portraits.codes import CodeBasis
from streamanon.runtime.models import Engines
from streamanon.training.blink import blinked, drawn
from streamanon.training.crops import SIDE_PX, Bank, Face, Jitter, placed
from streamanon.training.occluders import Occluders
from streamanon.training.scenes import degrade
from streamanon.types import Float

KINDS = ("own", "again", "other")
SHARES = {"own": 0.35, "again": 0.2, "other": 0.45}
FRONT_CELLS = 32
SPOILT_PX = 128
OCCLUDED = 0.3
BLINKS = 0.12
JITTER = Jitter(3, 2, 0.04)
MAP_CELLS = 49  # of the encoder's last feature map, as its importances are of


@dataclass(frozen=True, eq=False)
class Sample:
    """``planes`` [13, 128, 128] as :class:`streamanon.generate.inputs.Inputs` has them; ``style`` [288];
    ``truth`` [3, 128, 128] -1..1; ``cut`` and ``face`` [128, 128]: what is painted, and where a face is
    really seen; ``mouth`` [128, 128]: what lies between the lips; ``points`` [478, 2] px; maps [3, 3, 3]
    from these to the patches of eyes and mouth, and which of them [3] nothing hides; ``kind``; embeddings
    [128] of whom to be like, and of whom not.
    """

    planes: Float
    style: Float
    truth: Float
    cut: np.ndarray
    face: np.ndarray
    mouth: np.ndarray
    points: Float
    patches: Float
    bare: np.ndarray
    kind: int
    wanted: Float
    unwanted: Float


class SampleSource:
    """Draws samples of a bank. ``shares``: how often each kind."""

    def __init__(self, bank: Bank, seed: int, shares: Mapping[str, float] = SHARES) -> None:
        engines = Engines.open()
        self.bank, self.rng, self._shares = bank, np.random.default_rng(seed), shares
        self.gallery = gallery = open_gallery(engines)
        self._distraction: Distraction = open_distraction(engines)
        self._head = _head(engines)
        self._textures = Textures(self.gallery)
        self._chart = chart_of_gallery(self.gallery)
        self._skin = bare_skin(self._chart)
        self._proportions = Proportions(self.gallery)
        self._basis = CodeBasis.of_fields(read_fields(engines.path("delegates")))
        self._pyramids = [pyramid(delegate.texture) for delegate in self.gallery.delegates]
        self._occluders = Occluders(lambda rng: bank[int(rng.integers(len(bank)))].image)
        together = defaultdict(list)
        for row, (source, group) in enumerate(zip(bank.sources, bank.groups, strict=True)):
            if source == "lfw":
                together[str(group)].append(row)
        self._bare = np.flatnonzero(bank.sources != "masked")  # what is in front must be known
        self._again = [rows for rows in together.values() if len(rows) > 1]
        attributes = [self._distraction.attributes(feature) for feature in bank.features]
        self._attributes = np.array([[a["masculine"], a["ita"] / 60] for a in attributes])
        tones = zip(gallery.delegates, gallery.tones, strict=True)
        self._delegates = np.array([[delegate.masculine, tone / 60] for delegate, tone in tones])

    def draw(self) -> Sample:
        while True:
            kind = str(self.rng.choice(KINDS, p=[self._shares.get(name, 0) for name in KINDS]))
            try:
                return self.make(kind)
            except SynthesisError:  # a face that the product would not paint either
                continue

    def make(self, kind: str) -> Sample:
        rng = self.rng
        row = int(rng.choice(self._bare))
        if kind == "again" and self._again:
            rows = rng.permutation(self._again[rng.integers(len(self._again))])
            row, lender = int(rows[0]), self.bank[int(rows[1])]
        else:
            lender = self.bank[row]
        face = self.bank[row]
        if kind == "other":
            return self._other(face, self._fitting(row))
        return self._known(face, lender, KINDS.index(kind))

    def _fitting(self, row: int) -> int:
        """A delegate: mostly one who fits in sex and tone, as the choice prefers."""
        if self.rng.random() < 0.25:
            return int(self.rng.integers(len(self.gallery)))
        apart = np.abs(self._delegates - self._attributes[row]).sum(1)
        return int(self.rng.choice(np.argsort(apart)[:60]))

    def _known(self, face: Face, lender: Face, kind: int) -> Sample:
        strength = 1.0 if lender is face else 0.4
        levels = spoilt(self._rimmed(lender.texture), self.rng, strength)
        shape = normalise(face.points)
        feature = self._distracted(face, lender.feature)
        style = np.concatenate([self._basis.code(lender.texture, shape), feature])
        return self._sample(face, levels, None, style, kind, lender.embedding)

    def _rimmed(self, texture: np.ndarray) -> np.ndarray:
        """A texture whose rim fades into skin, as delegates' do: hair and ears there must come from what
        surrounds the face.
        """
        rng = self.rng
        if rng.random() < 0.1:
            return texture
        begin = rng.uniform(0, 8)
        inner = smoothstep(self._chart.depth, begin, begin + rng.uniform(6, 26))[..., None]
        skin = texture[self._skin].mean(axis=0)
        return np.rint(inner * texture + (1 - inner) * skin).astype(np.uint8)

    def _other(self, face: Face, number: int) -> Sample:
        delegate = self.gallery.delegates[number]
        amount = float(self.rng.choice([0.0, 0.5, 0.8, 1.0], p=[0.1, 0.2, 0.5, 0.2]))
        feature = self._distracted(face, self.gallery.features[number])
        style = np.concatenate([delegate.code, feature])
        wanted = self.gallery.embeddings[number]
        return self._sample(
            face, self._pyramids[number], (delegate.shape, amount), style, KINDS.index("other"), wanted
        )

    def _distracted(self, face: Face, target: Float) -> Float:
        importance = np.asarray(face.embedding @ self._head / MAP_CELLS, np.float32)
        feature = IdentityFeature(face.embedding, face.feature, importance, 0.0)
        return self._distraction.apply(feature, target)

    def _sample(
        self,
        face: Face,
        levels: list[np.ndarray],
        shape: tuple[Float, float] | None,
        style: Float,
        kind: int,
        wanted: Float,
    ) -> Sample:
        rng = self.rng
        if rng.random() < BLINKS:
            shut, mesh = blinked(face.image, face.points, drawn(rng))
            face = replace(face, image=shut, points=mesh)
        image, points, flipped = self._placed(face)
        if flipped:
            levels = [np.ascontiguousarray(level[:, ::-1]) for level in levels]
        moved = points
        if shape is not None:
            own = shape[0]
            if flipped:
                own = own[self.gallery.mirror] * np.array([-1, 1, 1], np.float32)
            moved = self._proportions.apply(points, own, shape[1])
        size = (CROP_PX, CROP_PX)
        warped, mask = self._textures.warp_levels(moved, size, levels)
        front = np.zeros(mask.shape, np.bool_)
        if rng.random() < OCCLUDED:
            image, front = self._occluders.draw(image, points, rng)
        image = degrade(image, rng)
        coarse = seen_coarsely(front, rng)
        if shape is None:
            warped = erased(warped, mask, moved, rng)
        inputs = make_inputs(image.astype(np.float32), moved, warped, mask, coarse)
        patches = np.zeros((3, 3, 3), np.float32)
        patches[:, :2], patches[:, 2, 2] = placements(moved), 1
        return Sample(
            inputs.planes,
            style.astype(np.float32),
            np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / 127.5 - 1,
            inputs.cut,
            mask & ~front,
            mask & ~front & (filled(moved, INNER_LIPS, mask.shape) > 0),
            moved[:, :2],
            patches,
            np.array([_all_in(inputs.cut, moved[list(part)]) for part in PARTS]),
            kind,
            wanted,
            face.embedding,
        )

    def _placed(self, face: Face) -> tuple[np.ndarray, Float, bool]:
        """The crop [128, 128, 3], shifted, turned and scaled a little, with its points; or its mirror's."""
        rng = self.rng
        image, points = face.image, face.points
        flipped = bool(rng.random() < 0.5)
        if flipped:
            image = np.ascontiguousarray(image[:, ::-1])
            points = (points * [-1, 1, 1] + [SIDE_PX - 1, 0, 0])[self.gallery.mirror].astype(np.float32)
        crop, moved = placed(image, points, JITTER, rng)
        return crop, moved, flipped


def spoilt(texture: np.ndarray, rng: np.random.Generator, strength: float) -> list[np.ndarray]:
    """A texture [256, 256, 3] uint8 as a delegate's may differ from the face to be made: other contrast,
    light, colour and sharpness, seams between parts, and everything a little out of place. A pyramid.
    """
    size = (SPOILT_PX, SPOILT_PX)
    small = cv2.resize(texture, size, interpolation=cv2.INTER_AREA)
    out: Float = np.asarray(small, np.float32) / np.float32(255)
    if rng.random() < 0.7 * strength:
        out = _moved(out, rng, 1.3 * strength)
    if rng.random() < 0.5 * strength:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.3, 1.5))), np.float32)
    for _ in range(int(rng.integers(0, 4))):
        if rng.random() < strength:
            out = _patched(out, rng)
    mean = _coarse(out, 8)
    out = mean + (out - mean) * np.float32(np.exp(rng.normal(0, 0.35 * strength)))
    tint = np.exp(rng.normal(0, 0.06 * strength, 3)).astype(np.float32)
    out = out * (1 + np.float32(0.3 * strength) * _field(rng, (3, 3, 1), 1.0)) * tint
    out = out + np.float32(rng.normal(0, 0.08 * strength))
    if rng.random() < 0.3 * strength:  # wrinkles and pores that the face does not have
        wear = np.asarray(cv2.GaussianBlur(_noise(rng, SPOILT_PX), (0, 0), float(rng.uniform(0.5, 1.2))))
        out = out + np.float32(0.05 * rng.random() / max(float(wear.std()), 1e-3)) * wear[..., None]
    full = np.asarray(np.clip(255 * out, 0, 255), np.uint8)
    return [full, *pyramid(full)[:3]]


def erased(warped: Float, mask: np.ndarray, points: Float, rng: np.random.Generator) -> Float:
    """Now and then without its mouth or its eyes, which are then to be drawn along their contours."""
    for outlines, share in (((OUTER_LIPS,), 0.3), (EYES, 0.15)):
        if rng.random() < share:
            part = np.sum([filled(points, line, warped.shape[:2]) for line in outlines], axis=0) > 0
            wide = cv2.dilate(part.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(np.float32)
            soft = np.asarray(cv2.GaussianBlur(wide, (0, 0), 1.0), np.float32)[..., None]
            skin = mask & (wide == 0)
            warped = warped + soft * (warped[skin].mean(axis=0) - warped) if skin.any() else warped
    return warped


def _all_in(cut: np.ndarray, points: Float) -> bool:
    x, y = np.rint(points[:, :2].T).astype(int).clip(0, CROP_PX - 1)
    return bool(cut[y, x].all())


def _noise(rng: np.random.Generator, size: int) -> Float:
    return rng.standard_normal((size, size), np.float32)


def _field(rng: np.random.Generator, cells: tuple[int, int, int], spread: float) -> Float:
    """Smooth numbers [128, 128, C] through random ones, -spread..spread."""
    values = (spread * rng.uniform(-1, 1, cells)).astype(np.float32)
    field = cv2.resize(values, (SPOILT_PX, SPOILT_PX), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field, np.float32).reshape(SPOILT_PX, SPOILT_PX, cells[2])


def _coarse(texture: Float, cells: int) -> Float:
    small = cv2.resize(texture, (cells, cells), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (SPOILT_PX, SPOILT_PX), interpolation=cv2.INTER_CUBIC), np.float32)


def _moved(texture: Float, rng: np.random.Generator, spread_px: float) -> Float:
    shift = _field(rng, (6, 6, 2), 1.7 * spread_px)
    x, y = np.meshgrid(np.arange(SPOILT_PX, dtype=np.float32), np.arange(SPOILT_PX, dtype=np.float32))
    moved = cv2.remap(
        texture, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, np.float32)


def _patched(texture: Float, rng: np.random.Generator) -> Float:
    """A part with another contrast and colour and a hard rim, as where delegates are pieced together."""
    part = np.zeros((SPOILT_PX, SPOILT_PX), np.float32)
    centre = tuple(int(v) for v in rng.uniform(0.2, 0.8, 2) * SPOILT_PX)
    axes = tuple(int(v) for v in rng.uniform(0.05, 0.25, 2) * SPOILT_PX)
    cv2.ellipse(part, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    soft = np.asarray(cv2.GaussianBlur(part, (0, 0), float(rng.uniform(0.5, 3.0))), np.float32)[..., None]
    low = _coarse(texture, 24)
    shift = rng.normal(0, 0.035, 3).astype(np.float32)
    changed = low + (texture - low) * np.float32(rng.uniform(0.2, 2.2)) + shift
    return np.asarray(texture + soft * (changed - texture), np.float32)


def seen_coarsely(front: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """``front`` [128, 128] as a network that tells cells of 4 px would say it, with its mistakes."""
    if not front.any():
        return front
    shares = cv2.resize(front.astype(np.float32), (FRONT_CELLS, FRONT_CELLS), interpolation=cv2.INTER_AREA)
    rim = cv2.blur(shares, (3, 3))
    unsure = rng.normal(0, 0.2, shares.shape) * ((rim > 0.02) & (rim < 0.98))
    cells = (shares + unsure > rng.uniform(0.35, 0.65)).astype(np.uint8)
    return np.asarray(cv2.resize(cells, (CROP_PX, CROP_PX), interpolation=cv2.INTER_NEAREST)) > 0


def _head(engines: Engines) -> Float:
    """The encoder's linear layer [128, 256]."""
    weights = load_file(engines.path("identity-encoder").with_suffix(".safetensors"))
    return np.asarray(weights["head.weight"], np.float32)

"""Footage with a known truth, drawn by chance: who is where in each frame, and which pixels are their face.

Twelve scenes, in turn; each clip has a frame rate, a size, people, a camera and often a fault of its own.
The same ``seed`` and ``number`` give the same clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.leaks.people import Canvas, DrawnPerson, Image, Stance, face_box
from benchmarks.leaks.places import place, post, raise_hand, stand_before
from streamanon.types import Float

SECONDS = 20.0
RATES, RATE_SHARES = (10, 15, 25), (0.4, 0.4, 0.2)
#: A face turned farther than this, degrees, counts as turned.
TURNED_DEG = 45.0

Move = Callable[[float], Stance]  # of seconds
Camera = Callable[[float], tuple[float, float]]  # of seconds


@dataclass(frozen=True, eq=False)
class Face:
    """``track``: a person in one shot. ``visible``: the share of the face's pixels that is seen.
    ``box`` [4] xyxy px, of the face mesh or as a judge drew it; ``features`` [5, 2] px: eyes, nose and
    corners of the mouth, where they are known.
    """

    track: int
    box: Float
    visible: float
    turned: bool
    features: Float | None = None

    @property
    def size(self) -> float:
        """Px across."""
        return float(min(self.box[2:] - self.box[:2]))


@dataclass(frozen=True, eq=False)
class Frame:
    """``rgb`` [H, W, 3] and ``owners`` [H, W], the track whose face is seen, or -1."""

    rgb: Image
    owners: NDArray[np.int16]
    faces: tuple[Face, ...]


@dataclass(frozen=True, eq=False)
class Clip:
    name: str
    rate: int
    fault: str
    frames: Callable[[], Iterator[Frame]] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Participant:
    """Somebody in a shot. ``lifts``: seconds at which a hand comes up before the face."""

    person: DrawnPerson
    move: Move
    lifts: tuple[float, ...] = ()

    def lift(self, seconds: float) -> float:
        """0: the hand is down, 1: it is before the face."""
        return max((float(np.clip(2 - 2.2 * abs(seconds - at), 0, 1)) for at in self.lifts), default=0.0)


@dataclass(frozen=True, eq=False)
class Shot:
    """``camera``: where the frame's corner is, px, at most ``reach`` from 0; the background reaches so much
    farther on every side. Posts: their picture, where they stand, and how large people behind them are at
    most (px a face).
    """

    size: tuple[int, int]
    background: Image
    participants: tuple[Participant, ...]
    camera: Camera
    reach: int
    posts: tuple[tuple[Image, float, float], ...] = ()

    def frame(self, seconds: float, step: float, first_track: int) -> Frame:
        x, y = self.camera(seconds)
        matrix = np.array([[1, 0, -x - self.reach], [0, 1, -y - self.reach]], np.float32)
        canvas = Canvas(
            np.asarray(
                cv2.warpAffine(self.background, matrix, self.size, borderMode=cv2.BORDER_REFLECT), np.uint8
            )
        )
        staged = [
            (_seen_from(participant.move(seconds), x, y), number)
            for number, participant in enumerate(self.participants)
        ]
        posts = sorted(self.posts, key=lambda one: one[2])
        pixels: dict[int, float] = {}
        for stance, number in sorted(staged, key=lambda one: one[0].unit):
            while posts and posts[0][2] < stance.width:
                stand_before(canvas, posts[0][0], posts.pop(0)[1] - x)
            participant = self.participants[number]
            later = _seen_from(participant.move(seconds + step), *self.camera(seconds + step))
            smear = (0.5 * (later.x - stance.x), 0.5 * (later.y - stance.y))
            pixels[number] = canvas.place(participant.person, stance, first_track + number, smear)
            if lift := participant.lift(seconds):
                raise_hand(canvas, participant.person.skin, stance, lift)
        for front, at, _ in posts:
            stand_before(canvas, front, at - x)
        counts = np.bincount(canvas.owners.ravel() + 1, minlength=first_track + len(self.participants) + 1)
        faces = tuple(
            Face(
                first_track + number,
                face_box(self.participants[number].person, stance),
                float(counts[first_track + number + 1]) / max(pixels[number], 1.0),
                abs(stance.yaw) > TURNED_DEG,
            )
            for stance, number in staged
            if counts[first_track + number + 1]
        )
        return Frame(canvas.rgb, canvas.owners, faces)


def _seen_from(stance: Stance, x: float, y: float) -> Stance:
    return Stance(stance.x - x, stance.y - y, stance.unit, stance.yaw, stance.pitch, stance.roll)


# --- how people move -----------------------------------------------------------------------------------


def _look_around(
    rng: np.random.Generator, most_yaw: float
) -> Callable[[float], tuple[float, float, float]]:
    """Yaw, pitch and roll by seconds."""
    widths = rng.uniform(0.3, 1.0, 2) * most_yaw * [0.7, 0.3]
    periods, phases = rng.uniform(2.0, 7.0, 4), rng.uniform(0, 2 * np.pi, 4)
    lean = rng.uniform(-6, 6)

    def turn(seconds: float) -> tuple[float, float, float]:
        waves = np.sin(2 * np.pi * seconds / periods + phases)
        return float(widths @ waves[:2]), float(9 * waves[2]), float(lean + 5 * waves[3])

    return turn


def standing(rng: np.random.Generator, x: float, y: float, face_px: float, most_yaw: float = 35.0) -> Move:
    turn, unit = _look_around(rng, most_yaw), face_px / 2.15
    sway, period = rng.uniform(0.05, 0.5) * unit, rng.uniform(2, 6)

    def move(seconds: float) -> Stance:
        across = sway * np.sin(2 * np.pi * seconds / period)
        return Stance(x + float(across), y, unit, *turn(seconds))

    return move


def crossing(
    rng: np.random.Generator, width: int, y: float, face_px: float, speed: float, start: float = 0.0
) -> Move:
    """Walks through the picture at ``speed`` face widths a second, there and back."""
    unit, way = face_px / 2.15, float(rng.choice([-1, 1]))
    begin, span = rng.uniform(0, 1), width + 4 * face_px
    turn, pace = _look_around(rng, 15.0), rng.uniform(1.6, 2.2)

    def move(seconds: float) -> Stance:
        gone = (begin + max(seconds - start, 0.0) * speed * face_px / span) % 2
        forth = gone < 1
        x = (gone if forth else 2 - gone) * span - 2 * face_px
        heading = (1 if forth else -1) * way
        yaw, pitch, roll = turn(seconds)
        bob = 0.08 * unit * abs(np.sin(np.pi * pace * seconds))
        return Stance(x if way > 0 else width - x, y + float(bob), unit, yaw + 38 * heading, pitch, roll)

    return move


def approaching(
    rng: np.random.Generator, x: float, y: float, far_px: float, near_px: float, seconds: float
) -> Move:
    """Comes nearer, or goes away."""
    turn, drift = _look_around(rng, 25.0), rng.uniform(-0.4, 0.4)
    back = rng.random() < 0.3

    def move(at: float) -> Stance:
        part = 1 - at / seconds if back else at / seconds
        unit = far_px * (near_px / far_px) ** float(np.clip(part, 0, 1)) / 2.15
        bob = 0.06 * unit * abs(np.sin(6 * at))
        return Stance(x + drift * (unit * 2.15 - far_px), y + float(bob), unit, *turn(at))

    return move


def peeking(rng: np.random.Generator, x: float, y: float, face_px: float) -> Move:
    """Comes out beside a post for a moment, now and then."""
    turn, period, phase = _look_around(rng, 25.0), rng.uniform(3, 6), rng.uniform(0, 6)
    share = rng.uniform(0.2, 0.5)

    def move(seconds: float) -> Stance:
        part = ((seconds + phase) / period) % 1
        out = float(np.clip(np.sin(np.pi * np.clip(part / share, 0, 1)) * 1.6, 0, 1))
        return Stance(x + 1.5 * face_px * out, y, face_px / 2.15, *turn(seconds))

    return move


# --- cameras -------------------------------------------------------------------------------------------


def held_still(_seconds: float) -> tuple[float, float]:
    return 0.0, 0.0


def in_hand(rng: np.random.Generator, px: float) -> Camera:
    periods, phases = rng.uniform(0.4, 2.5, 4), rng.uniform(0, 2 * np.pi, 4)

    def camera(seconds: float) -> tuple[float, float]:
        waves = np.sin(2 * np.pi * seconds / periods + phases)
        return float(px * (waves[0] + 0.5 * waves[1])), float(px * (0.6 * waves[2] + 0.3 * waves[3]))

    return camera


def panning(rng: np.random.Generator, width: int) -> Camera:
    """To and fro; a whip pan now and then."""
    period, phase, reach = rng.uniform(2.5, 8), rng.uniform(0, 6), rng.uniform(0.15, 0.5) * width

    def camera(seconds: float) -> tuple[float, float]:
        return float(reach * np.tanh(2 * np.sin(2 * np.pi * seconds / period + phase))), 0.0

    return camera


# --- scenes --------------------------------------------------------------------------------------------


def _shot(
    rng: np.random.Generator,
    people: Sequence[DrawnPerson],
    scene: str,
    seconds: float,
    size: tuple[int, int],
) -> Shot:
    width, height = size
    camera: Camera = held_still
    reach = 0
    if scene == "pan":
        camera, reach = panning(rng, width), width // 2
    elif rng.random() < 0.35:
        camera, reach = in_hand(rng, rng.uniform(1, 0.015 * height)), 16
    moves = _moves(rng, scene, width, height, seconds)
    chosen = [people[n] for n in rng.permutation(len(people))[: len(moves)]]
    lifts = scene == "hide"
    participants = tuple(
        Participant(person, move, tuple(rng.uniform(0, seconds, max(1, int(seconds / 4)))) if lifts else ())
        for person, move in zip(chosen, moves, strict=True)
    )
    posts = [
        (post(rng, height, rng.uniform(0.02, 0.09) * width), rng.uniform(0, width), rng.uniform(10, 90))
        for _ in range(int(rng.integers(1, 4)) if scene in ("street", "office") else 0)
    ]
    if scene == "peek":  # each behind a post of their own
        for move in moves:
            px, home = move(0.0).width, min(move(at).x for at in np.linspace(0, 6, 60))
            posts.append((post(rng, height, 1.5 * px), home - 0.75 * px, px))
    background = place(rng, width + 2 * reach, height + 2 * reach)
    return Shot(size, background, participants, camera, reach, tuple(posts))


UPRIGHT_SCENES = ("talk", "turn", "hide")
SIZES = {"street": (960, 540), "crowd": (960, 540), "far": (1280, 720)}


def _moves(rng: np.random.Generator, scene: str, width: int, height: int, seconds: float) -> list[Move]:
    def spot(face_px: float) -> tuple[float, float]:
        edge = 0.5 * face_px
        return float(rng.uniform(edge, width - edge)), float(
            rng.uniform(1.2 * face_px, max(0.7 * height, 1.3 * face_px))
        )

    def sizes(count: int, low: float, high: float) -> list[float]:
        return [float(low * (high / low) ** rng.random()) for _ in range(count)]

    short = min(width, height)
    if scene == "talk":
        many = int(rng.integers(1, 4))
        near = sizes(many, 50, min(200, 0.55 * short))
        return [
            standing(rng, (n + 0.5) * width / many, rng.uniform(0.4, 0.6) * height, px, 40)
            for n, px in enumerate(near)
        ]
    if scene == "turn":
        near = sizes(int(rng.integers(1, 4)), 25, 140)
        return [standing(rng, *spot(px), px, 110) for px in near]
    if scene == "hide":
        near = sizes(int(rng.integers(1, 4)), 35, 150)
        return [standing(rng, *spot(px), px, 30) for px in near]
    if scene == "office":
        some = sizes(int(rng.integers(3, 6)), 18, 60)
        return [
            crossing(rng, width, spot(px)[1], px, rng.uniform(0.6, 2.5))
            if rng.random() < 0.4
            else standing(rng, *spot(px), px)
            for px in some
        ]
    if scene == "street":
        return [
            crossing(rng, width, spot(px)[1], px, rng.uniform(0.8, 3))
            for px in sizes(int(rng.integers(5, 10)), 12, 45)
        ]
    if scene == "crowd":
        return [standing(rng, *spot(px), px, 30) for px in sizes(int(rng.integers(10, 16)), 10, 36)]
    if scene == "far":
        return [
            crossing(rng, width, spot(px)[1], px, rng.uniform(0.8, 3))
            if rng.random() < 0.5
            else standing(rng, *spot(px), px)
            for px in sizes(int(rng.integers(4, 9)), 10, 24)
        ]
    if scene == "approach":
        return [
            approaching(rng, *spot(60), px, rng.uniform(60, 180), seconds)
            for px in sizes(int(rng.integers(1, 4)), 10, 20)
        ]
    if scene == "run":
        return [
            crossing(rng, width, spot(px)[1], px, rng.uniform(3, 8))
            for px in sizes(int(rng.integers(1, 4)), 25, 90)
        ]
    if scene == "peek":
        return [peeking(rng, *spot(px), px) for px in sizes(int(rng.integers(1, 4)), 25, 90)]
    around = sizes(int(rng.integers(2, 5)), 18, 110)  # pan
    return [standing(rng, rng.uniform(-0.3, 1.3) * width, spot(px)[1], px) for px in around]


SCENES = (
    "talk",
    "office",
    "street",
    "crowd",
    "approach",
    "run",
    "turn",
    "hide",
    "pan",
    "peek",
    "far",
    "cuts",
)
#: Of which shots that are cut together are made.
CUT_SCENES = ("talk", "office", "run", "turn", "hide", "pan", "approach")


# --- faults of cameras ---------------------------------------------------------------------------------

Fault = Callable[[Image, Image, np.random.Generator], Image]


def _dark(rgb: Image, _before: Image, rng: np.random.Generator) -> Image:
    noise = rng.normal(3, 4, rgb.shape).astype(np.float32)
    return np.asarray((0.25 * rgb + noise).clip(0, 255), np.uint8)


def _blurred(rgb: Image, _before: Image, _rng: np.random.Generator) -> Image:
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), 0.004 * rgb.shape[0]), np.uint8)


def _noisy(rgb: Image, _before: Image, rng: np.random.Generator) -> Image:
    return np.asarray((rgb + rng.normal(0, 10, rgb.shape)).clip(0, 255), np.uint8)


def _packed(rgb: Image, _before: Image, _rng: np.random.Generator) -> Image:
    _, data = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 25])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _interlaced(rgb: Image, before: Image, _rng: np.random.Generator) -> Image:
    combed = rgb.copy()
    combed[1::2] = before[1::2]
    return combed


def _grey(rgb: Image, _before: Image, _rng: np.random.Generator) -> Image:
    return np.asarray(cv2.merge([cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)] * 3), np.uint8)


def _none(rgb: Image, _before: Image, _rng: np.random.Generator) -> Image:
    return rgb


FAULTS: dict[str, Fault] = {
    "none": _none,
    "dark": _dark,
    "blurred": _blurred,
    "noisy": _noisy,
    "packed": _packed,
    "interlaced": _interlaced,
    "grey": _grey,
}
FAULT_SHARES = (0.52, 0.08, 0.08, 0.08, 0.08, 0.08, 0.08)


# --- clips ---------------------------------------------------------------------------------------------


def clip(people: Sequence[DrawnPerson], seed: int, number: int, seconds: float = SECONDS) -> Clip:
    """The ``number``-th clip of a seed's footage."""
    scene = SCENES[number % len(SCENES)]
    rng = np.random.default_rng((seed, number))
    rate = int(rng.choice(RATES, p=RATE_SHARES))
    fault = str(rng.choice(list(FAULTS), p=FAULT_SHARES))
    upright = scene in UPRIGHT_SCENES and rng.random() < 0.3
    size = (360, 640) if upright else SIZES.get(scene, (640, 360))

    def frames() -> Iterator[Frame]:
        own = np.random.default_rng((seed, number, 1))
        plain = (
            _cut_together(own, people, rate, seconds)
            if scene == "cuts"
            else _played(_shot(own, people, scene, seconds, size), rate, seconds, 0)
        )
        before: Image | None = None
        for frame in plain:
            rgb = FAULTS[fault](frame.rgb, frame.rgb if before is None else before, own)
            before = frame.rgb
            yield Frame(rgb, frame.owners, frame.faces)

    return Clip(scene, rate, fault, frames)


def _played(shot: Shot, rate: int, seconds: float, first_track: int, start: float = 0.0) -> Iterator[Frame]:
    for index in range(round(seconds * rate)):
        yield shot.frame(start + index / rate, 1 / rate, first_track)


def _cut_together(
    rng: np.random.Generator, people: Sequence[DrawnPerson], rate: int, seconds: float
) -> Iterator[Frame]:
    """Shots of 1 to 5 s, joined by hard cuts, dissolves, fades through black and flashes."""
    left, tracks = round(seconds * rate), 0
    last: Frame | None = None
    while left > 0:
        count = min(left, max(2, round(float(rng.uniform(1, 5)) * rate)))
        shot = _shot(rng, people, str(rng.choice(CUT_SCENES)), 5.0, (640, 360))
        way = str(rng.choice(["cut", "cut", "cut", "dissolve", "fade", "flash"]))
        join = max(2, round(0.4 * rate))
        for index, frame in enumerate(_played(shot, rate, count / rate, tracks, float(rng.uniform(0, 2)))):
            part = min(1.0, (index + 1) / join)
            if way == "dissolve" and last is not None and part < 1:
                yield _mixed(last, frame, part)
            elif way == "fade":
                yield Frame((frame.rgb * part).astype(np.uint8), frame.owners, frame.faces)
            elif way == "flash" and index < 2:
                bright = np.minimum(frame.rgb.astype(np.int32) * 2 + 90, 255).astype(np.uint8)
                yield Frame(bright, frame.owners, frame.faces)
            else:
                yield frame
        last, left, tracks = frame, left - count, tracks + len(shot.participants)


def _mixed(first: Frame, second: Frame, part: float) -> Frame:
    """A dissolve from a frame that stands; the faces that are seen better count."""
    rgb = np.asarray(cv2.addWeighted(second.rgb, part, first.rgb, 1 - part, 0), np.uint8)
    seen = first if part < 0.5 else second
    return Frame(rgb, seen.owners, seen.faces)

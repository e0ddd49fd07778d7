"""Runs every network once before a camera is connected: a runtime compiles them then, which takes seconds,
and a camera does not wait. Pictures of another size are shown to them once it is known, beside the stream.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from streamanon.api import Anonymizer, SynthesisParts
from streamanon.detect.detection_interval import Extent
from streamanon.detect.verifier import BATCH_SIZES, Verifier
from streamanon.detect.view_schedule import ALL_ORIENTATIONS_SECONDS
from streamanon.generate import NetworkGenerator
from streamanon.media.yuv import from_rgb
from streamanon.types import Picture, RawFrame, Target

#: Size of the picture that is shown to the networks, px: most cameras' shape, which decides what the
#: detector's input is.
WIDTH, HEIGHT = 1280, 720
#: Time from one of these pictures to the next, s: after so long all orientations are searched.
ALL_ORIENTATIONS = Fraction(ALL_ORIENTATIONS_SECONDS).limit_denominator(100)
#: Where a face is said to be in it, xyxy px, and its eyes, nose and corners of the mouth.
_BOX = np.array([560, 240, 720, 440], np.float32)
_POINTS = np.array([[605, 320], [675, 320], [640, 355], [610, 395], [670, 395]], np.float32)


def warm_up(anonymizer: Anonymizer, width: int = WIDTH, height: int = HEIGHT) -> None:
    """Show a plain grey picture of that size to all networks, in the numbers of faces in which they run.
    Raises what a network raises that does not run here.
    """
    picture = from_rgb(np.full((height, width, 3), 128, np.uint8))
    search = anonymizer.face_search()
    # Twice: smaller copies and those for near faces take turns; orientations are compared now and then.
    extents: tuple[Extent, ...] = ("all", "near", "coarse", "coarse")
    for number, extent in enumerate(extents):
        search.detect(RawFrame(number, number, ALL_ORIENTATIONS, picture), extent)
    # The second search that looks for a lost face: its square has one size.
    search.redetect(RawFrame(9, 9, ALL_ORIENTATIONS, picture), _BOX[None])
    _verify(anonymizer.verifier, picture)
    if anonymizer.parts is not None:
        _synthesise(anonymizer.parts, picture)


def _verify(verifier: Verifier, picture: Picture) -> None:
    for count in BATCH_SIZES:
        verifier.verify(picture, np.tile(_BOX, (count, 1)), np.zeros(count, np.int64))


def _synthesise(parts: SynthesisParts, picture: Picture) -> None:
    geometry = parts.mesh.measure(picture, [Target(0, _BOX, _POINTS, True)])[0]
    parts.assigner.encoder.describe(picture, geometry.points)
    if isinstance(parts.generator, NetworkGenerator):
        parts.generator.warm_up()

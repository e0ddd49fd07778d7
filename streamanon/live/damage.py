"""Which decoded frames may be trusted.

Decoders hide what is missing: after a lost packet they go on with what an older picture holds, so that a
face shows where nobody is any more, and do not flag it. So nothing is trusted after a sign of damage until
the next clean key frame: after a packet marked as corrupt, a complaint of FFmpeg's, a reference frame that
is missing, a gap in the time stamps, and before the first key frame. A packet marked as a key frame may
hold no such picture, but the beginning of one that is renewed in strips over the next frames.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable

import av.logging
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

#: Codecs whose decoder tells every missing reference frame: H.264 by its frame numbers (in a line for
#: debugging), HEVC by an error. Only a whole group of pictures can be lost unseen.
TELLING = frozenset({"h264", "hevc"})
#: A gap in the time stamps that may be such a group, s.
GROUP_SECONDS = 0.5
#: For other codecs, where the frames come evenly, a gap is a step of so many usual ones.
GAP_STEPS = 1.6
#: Usual: the median of the last steps, if most of them are close to it.
STEPS, EVEN_SHARE, EVEN_WITHIN = 25, 0.8, 0.3
#: Codecs of which every frame stands by itself.
INTRA = frozenset({"mjpeg", "mjpegb", "rawvideo", "prores", "dnxhd", "png", "ffv1", "jpeg2000"})
#: FFmpeg's lines that tell nothing about the picture.
_HARMLESS = re.compile(
    r"(?i)deprecated pixel format|EOI missing|APP fields|\bSEI\b|unable to decode app|Increasing reorder"
    r"|timescale not set|Estimating duration|parameters for stream|VBV|Opening '"
)
_MISSING_REFERENCE = "Frame num gap"


class Trust:
    """Decides frame by frame. ``causes``: how often what was a reason to distrust."""

    def __init__(self, codec: str) -> None:
        self._intra, self._telling = codec in INTRA, codec in TELLING
        self.causes: Counter[str] = Counter()
        self._trusted = False
        #: The time stamp from which on frames are clean again: that of the first key frame since the
        #: damage.
        self._clean_from: int | None = None
        self._unstamped_key = False
        #: Whether a key frame was reached whose picture only begins to be renewed, part by part.
        self._renewing = False
        self._spoiled = False
        self._steps: deque[float] = deque(maxlen=STEPS)
        self._previous: float | None = None

    def packet(self, packet: Packet[VideoStream]) -> None:
        """A packet of the video, before it is decoded."""
        self._spoiled = False
        if packet.is_corrupt:
            self._distrust("corrupt packet")
        self._measure_gap(packet)
        if packet.is_keyframe and not packet.is_corrupt and not self._trusted and self._clean_from is None:
            stamp = packet.pts if packet.pts is not None else packet.dts
            self._clean_from, self._unstamped_key = stamp, stamp is None

    def complaints(self, lines: Iterable[tuple[int, str, str]]) -> None:
        """What FFmpeg said while it read or decoded the packet."""
        for level, name, message in lines:
            if level > av.logging.WARNING:
                if _MISSING_REFERENCE in message:
                    self._distrust("missing reference")
            elif not _HARMLESS.search(message):
                self._distrust(f"complaint of {re.sub(r'[^a-z0-9_]', '', name.lower()) or 'ffmpeg'}")

    def failed(self) -> None:
        """The packet could not be decoded."""
        self._distrust("undecodable packet")

    def frame(self, frame: VideoFrame) -> bool:
        """Whether what this frame shows is what the camera saw."""
        if frame.is_corrupt:
            self._distrust("corrupt frame")
        if self._intra:
            return not self._spoiled
        if not self._trusted:
            stamp = frame.pts if frame.pts is not None else frame.dts
            reached = self._clean_from is not None and stamp is not None and stamp >= self._clean_from
            if (reached and self._renewing) or ((reached or self._unstamped_key) and frame.key_frame):
                self._trusted, self._clean_from, self._unstamped_key = True, None, False
                self._renewing = False
            elif reached:  # H.264's periodic intra refresh: all of it is renewed when the next one begins
                self._renewing, self._clean_from = True, None
        return self._trusted

    def _distrust(self, cause: str) -> None:
        self.causes[cause] += 1
        self._trusted, self._clean_from, self._unstamped_key = False, None, False
        self._renewing, self._spoiled = False, True

    def _measure_gap(self, packet: Packet[VideoStream]) -> None:
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None or packet.time_base is None:
            return
        now = float(stamp * packet.time_base)
        before, self._previous = self._previous, now
        if before is None:
            return
        step = now - before
        usual = self._usual_step()
        long = usual is not None and step > self._longest_step(usual)
        if step < 0 or (long and not packet.is_keyframe):
            self._distrust("gap in the times")
        if step >= 0:
            self._steps.append(step)

    def _longest_step(self, usual: float) -> float:
        if self._telling or not self._is_even(usual):
            return max(GROUP_SECONDS, 2.5 * usual)
        return GAP_STEPS * usual

    def _usual_step(self) -> float | None:
        return sorted(self._steps)[len(self._steps) // 2] if len(self._steps) >= 5 else None

    def _is_even(self, usual: float) -> bool:
        near = sum(abs(step - usual) <= EVEN_WITHIN * usual for step in self._steps)
        return near >= EVEN_SHARE * len(self._steps)

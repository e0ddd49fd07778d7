"""The front door from Python: models loaded once, then any number of videos and images."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamanon.backends import open_backend
from streamanon.compositor import Compositor, Synthesis
from streamanon.config import Config, as_dict, load_config
from streamanon.detector import FaceDetector
from streamanon.engines import Engines, digest
from streamanon.errors import ConfigError, SinkError
from streamanon.generator import Generator as FaceGenerator
from streamanon.generator import NetworkGenerator
from streamanon.identity.casting import Casting, CastingParts
from streamanon.identity.delegates import open_gallery
from streamanon.identity.distraction import open_distraction
from streamanon.identity.encoder import IdentityEncoder
from streamanon.identity.key import read_key
from streamanon.identity.rules import load_rules
from streamanon.mesh import FaceMesh
from streamanon.metrics import RunReport, StageClock, Tally
from streamanon.pipeline import anonymise
from streamanon.pixels import from_rgb, to_rgb
from streamanon.sink import VideoSink
from streamanon.source import SourceInfo, probe, read_frames
from streamanon.stride import Stride
from streamanon.types import RawFrame, SafeFrame
from streamanon.watch import Watch, Watcher
from streamanon.writer import FileWriter

Progress = Callable[[SafeFrame], None]


@dataclass(frozen=True)
class SynthesisParts:
    """What generated faces need, loaded once."""

    mesh: FaceMesh
    casting: CastingParts
    generator: FaceGenerator


class Anonymizer:
    """Anonymises videos and images by one profile.

    ``profile``: a :class:`Config`, the path of a YAML profile, or None for the defaults. Raises
    :class:`ConfigError` or :class:`ModelError`.
    """

    def __init__(self, profile: Config | Path | str | None = None) -> None:
        self.config = (
            profile if isinstance(profile, Config) else load_config(Path(profile) if profile else None)
        )
        self.engines = Engines.open()
        self.backend = open_backend(self.config.compute)
        self.detector = FaceDetector(self.backend, self.engines, self.config.detect)
        self.parts = self._load_parts() if self.config.cover.method == "synthesize" else None

    def _load_parts(self) -> SynthesisParts:
        identity, engines = self.config.identity, self.engines
        mesh, encoder = FaceMesh(self.backend, engines), IdentityEncoder(self.backend, engines)
        gallery = open_gallery(engines, identity.gallery)
        casting = CastingParts(
            gallery=gallery,
            encoder=encoder,
            distraction=open_distraction(engines),
            config=identity,
            key=read_key(identity.key) if identity.key is not None else None,
            only=gallery.find(identity.delegate) if identity.delegate is not None else None,
            rules=load_rules(identity.people, self.detector, mesh, encoder, gallery),
        )
        return SynthesisParts(mesh, casting, NetworkGenerator(gallery, self.backend, engines))

    def frames(self, path: Path | str) -> Generator[SafeFrame, None, None]:
        """The frames of a video, anonymised; ``streamanon.to_rgb(frame.picture)`` gives their pixels."""
        info = probe(path)
        chain = anonymise(
            read_frames(path, info),
            self.config,
            self.watch(info.rotation),
            self.compositor(),
            StageClock(),
            stride=self._stride(info),
        )
        yield from chain

    def image(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """An image [H, W, 3] uint8 RGB, anonymised; pixels outside the faces stay as they are."""
        return self.image_with_report(rgb)[0]

    def image_with_report(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], RunReport]:
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise ConfigError(f"an image must be [H, W, 3] uint8 RGB, not {rgb.shape} {rgb.dtype}")
        if not rgb.size:
            raise ConfigError(f"an image of {rgb.shape[1]} by {rgb.shape[0]} pixels is empty")
        begun, clock, tally = time.perf_counter(), StageClock(), Tally()
        frame = RawFrame(0, 0, Fraction(1), from_rgb(rgb))
        still = dataclasses.replace(
            self.config, lookahead=dataclasses.replace(self.config.lookahead, frames=0)
        )
        compositor = self.compositor(still=True)
        safe = next(anonymise([frame], still, self.watch(), compositor, clock, threaded=False))
        tally.count(safe)
        size = {"width": rgb.shape[1], "height": rgb.shape[0]}
        report = self._report(size, dict(size), tally, time.perf_counter() - begun, clock, compositor)
        return to_rgb(safe.picture), report

    def run(
        self,
        source: Path | str,
        output: Path | str,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
        info: SourceInfo | None = None,
    ) -> RunReport:
        """Anonymise a video file into another.

        ``progress`` is called with each frame written. ``should_stop`` is asked after each; the file is
        then finished where it is, and plays. Both are called in the caller's thread.
        """
        info = info or probe(source)
        clock, tally = StageClock(), Tally()
        skipped: list[str] = []
        begun, compositor = time.perf_counter(), self.compositor()
        writer = FileWriter(lambda: VideoSink(output, info, self.config.output, source))
        stride = self._stride(info)
        chain = anonymise(
            read_frames(source, info, skipped.append),
            self.config,
            self.watch(info.rotation),
            compositor,
            clock,
            write=writer.written,
            stride=stride,
        )
        with closing(chain):
            for frame in chain:
                tally.count(frame)
                if progress is not None:
                    progress(frame)
                writer.stopped = should_stop is not None and should_stop()
        if not writer.stopped and tally.frames != clock.items("decode"):
            raise SinkError(f"only {tally.frames} of {clock.items('decode')} frames reached {output}")
        facts = _output_facts(Path(output), tally, info)
        report = self._report(info, facts, tally, time.perf_counter() - begun, clock, compositor)
        return dataclasses.replace(
            report,
            notes=writer.notes,
            skipped_packets=len(skipped),
            looks_left_out=stride.left_out,
            interrupted=writer.stopped,
        )

    def _stride(self, info: SourceInfo) -> Stride:
        return Stride(self.config.detect.every, self.config.lookahead.frames, info.live)

    def watch(self, rotation: int = 0) -> Watcher:
        """What looks at one stream, which players turn by ``rotation`` degrees counter-clockwise."""
        return Watch(self.detector, rotation)

    def compositor(self, still: bool = False) -> Compositor:
        """What covers one stream; ``still``: a picture by itself."""
        if self.parts is None:
            return Compositor(self.config.cover, None)
        casting = Casting(self.parts.casting, still)
        synthesis = Synthesis(self.parts.mesh, casting, self.parts.generator)
        return Compositor(self.config.cover, synthesis)

    def _digests(self) -> dict[str, str]:
        own = self.config.identity.gallery
        return self.engines.digests() | ({"delegates": digest(Path(own))} if own is not None else {})

    def _report(
        self,
        info: SourceInfo | dict[str, object],
        facts: dict[str, object],
        tally: Tally,
        seconds: float,
        clock: StageClock,
        compositor: Compositor,
    ) -> RunReport:
        return RunReport(
            source=info,
            output=facts,
            tally=tally,
            frames_in=clock.items("decode"),
            seconds=seconds,
            stage_seconds=clock.stages(),
            backend=self.backend.name,
            models=self._digests(),
            settings=as_dict(self.config),
            account=compositor.account,
            faults=dict(compositor.faults.counts),
        )


def anonymize(image: NDArray[np.uint8], profile: Config | Path | str | None = None) -> NDArray[np.uint8]:
    """One image [H, W, 3] uint8 RGB, anonymised. For many, keep an :class:`Anonymizer`."""
    return Anonymizer(profile).image(image)


def _output_facts(path: Path, tally: Tally, info: SourceInfo) -> dict[str, object]:
    return {
        "name": path.name,
        "bytes": path.stat().st_size,
        "width": info.width,
        "height": info.height,
        "frames": tally.frames,
    }

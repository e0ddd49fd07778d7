"""The front door from Python: models loaded once, then any number of videos and images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamanon.config import Config, as_dict, load_config
from streamanon.cover.canvas import Canvas, HostCanvas
from streamanon.cover.chosen_tracks import ChosenTracks, moment_of
from streamanon.cover.covering import Covering
from streamanon.cover.keeping import Keeping, area_of
from streamanon.cover.synthesis import Load, NoLoad, Synthesis
from streamanon.detect.detection_interval import DetectionInterval
from streamanon.detect.search import FaceSearch, Searcher
from streamanon.detect.stills import StillSearch
from streamanon.detect.ultralytics_model import UltralyticsDetector, open_detector
from streamanon.detect.verifier import Verifier
from streamanon.detect.yolo import INT8_NAME, NAME, FaceDetector, detector_name
from streamanon.errors import ConfigError, DetectionError, SinkError
from streamanon.gallery.delegates import open_gallery
from streamanon.generate import Generator as FaceGenerator
from streamanon.generate import NetworkGenerator
from streamanon.identity.assignment import Assigner, AssignerParts
from streamanon.identity.distraction import open_distraction
from streamanon.identity.encoder import IdentityEncoder
from streamanon.identity.key import read_key
from streamanon.identity.rules import Rule, load_rules
from streamanon.identity.visible_people import MOMENT_SECONDS, Keeper
from streamanon.media.decode import read_frames
from streamanon.media.encode import VideoSink
from streamanon.media.gpu_decoder import choose_decoder
from streamanon.media.output_file import is_stdout
from streamanon.media.probe import SourceInfo, probe
from streamanon.media.writer import FileWriter
from streamanon.media.yuv import from_rgb, to_rgb
from streamanon.mesh.face_mesh import FaceMesh
from streamanon.pipeline import Write, anonymise
from streamanon.runtime.backends import Backend, Choice, Memory, choose_backend, memory_of
from streamanon.runtime.models import Engines, digest
from streamanon.runtime.run_context import RunContext
from streamanon.runtime.run_report import RunReport
from streamanon.types import Picture, RawFrame, SafeFrame

if TYPE_CHECKING:
    from streamanon.device.parts import DeviceParts

Progress = Callable[[SafeFrame], None]


@dataclass(frozen=True)
class SynthesisParts:
    """What generated faces need, loaded once. ``kept``: the rules for people who are left visible;
    ``canvas``: what the generator's patches are laid over.
    """

    mesh: FaceMesh
    assigner: AssignerParts
    generator: FaceGenerator
    kept: tuple[Rule, ...] = ()
    canvas: Callable[[Picture], Canvas] = HostCanvas


class Anonymizer:
    """Anonymises videos and images by one profile.

    ``profile``: a :class:`Config`, the name of a profile that comes along ("cctv"), the path of a YAML
    file, or None for the defaults. Raises :class:`ConfigError` or :class:`ModelError`. ``backend``: one
    that others use, too; by default a new one.
    """

    def __init__(self, profile: Config | Path | str | None = None, backend: Backend | None = None) -> None:
        self.config = profile if isinstance(profile, Config) else load_config(profile)
        self.engines = Engines.open()
        choice = Choice(backend) if backend is not None else choose_backend(self.config.compute)
        self.backend = choice.backend
        self._passed_over = {one.name: one.reason for one in choice.passed_over}
        memory = memory_of(self.backend)
        self._device = None if memory is None else _device_parts(self.backend, memory)
        own = FaceDetector if self._device is None else self._device.detector
        self.detector = open_detector(self.backend, self.engines, self.config.detect, own)
        self.verifier = (
            Verifier(self.backend, self.engines)
            if self._device is None
            else self._device.verifier(self.engines)
        )
        self.parts = self._load_parts() if self.config.cover.method == "synthesize" else None

    def _load_parts(self) -> SynthesisParts:
        identity, engines = self.config.identity, self.engines
        device, encoder = self._device, IdentityEncoder(self.backend, engines)
        mesh = FaceMesh(self.backend, engines) if device is None else device.mesh(engines)
        gallery = open_gallery(engines, identity.gallery)
        rules = load_rules(identity.people, self.detector, mesh, encoder, gallery)
        assigner = AssignerParts(
            gallery=gallery,
            encoder=encoder,
            distraction=open_distraction(engines),
            config=identity,
            key=read_key(identity.key) if identity.key is not None else None,
            only=gallery.find(identity.delegate) if identity.delegate is not None else None,
            rules=tuple(rule for rule in rules if rule.changes_cover),
        )
        kept = tuple(rule for rule in rules if rule.keep)
        if kept and self.config.lookahead.seconds < MOMENT_SECONDS:
            raise ConfigError(
                f"--keep recognises a person from {MOMENT_SECONDS} s of video: set lookahead.seconds to "
                f"{MOMENT_SECONDS} or more"
            )
        if device is not None:
            return SynthesisParts(mesh, assigner, device.generator(gallery, engines), kept, device.canvas)
        return SynthesisParts(mesh, assigner, NetworkGenerator(gallery, self.backend, engines), kept)

    def frames(self, path: Path | str) -> AnonymisedFrames:
        """The frames of a video, anonymised; ``streamanon.to_rgb(frame.picture)`` gives their pixels."""
        _check_file("a video", path)
        return AnonymisedFrames(self, path)

    def image(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """An image [H, W, 3] uint8 RGB, anonymised; pixels outside the faces stay as they are. Raises
        :class:`DetectionError` where something failed so that nothing of it could be shown.
        """
        covered, report = self.image_with_report(rgb)
        if report.saw_nothing:
            raise DetectionError(f"the image could only be covered whole: {report.troubles()}")
        return covered

    def image_with_report(
        self, rgb: NDArray[np.uint8], context: RunContext | None = None
    ) -> tuple[NDArray[np.uint8], RunReport]:
        """The same with a report. ``report.saw_nothing`` says that it had to be covered whole. ``context``:
        of the pages before it, which the report then tells of, too.
        """
        if not isinstance(rgb, np.ndarray):
            raise ConfigError(
                f"an image must be an array [H, W, 3] uint8 RGB, not a {type(rgb).__name__}; to read "
                "a file use numpy.asarray(PIL.Image.open(FILE).convert('RGB'))"
            )
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise ConfigError(f"an image must be [H, W, 3] uint8 RGB, not {rgb.shape} {rgb.dtype}")
        if not rgb.size:
            raise ConfigError(f"an image of {rgb.shape[1]} by {rgb.shape[0]} pixels is empty")
        context = context or self.context()
        frame = RawFrame(0, 0, Fraction(1), from_rgb(rgb))
        still = dataclasses.replace(
            self.config, lookahead=dataclasses.replace(self.config.lookahead, seconds=0)
        )
        search = StillSearch(self.face_search(0, context))
        covering = self.covering(context, (rgb.shape[1], rgb.shape[0]), still=True)
        safe = next(anonymise([frame], still, search, covering, threaded=False))
        size = {"width": rgb.shape[1], "height": rgb.shape[0]}
        return to_rgb(safe.picture), self.report(context, size, dict(size))

    def run(
        self,
        source: Path | str,
        output: Path | str,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
        info: SourceInfo | None = None,
        overwrite: bool = False,
    ) -> RunReport:
        """Anonymise a video file into another.

        A file that exists is replaced only by ``overwrite``, and only once the new one is complete. What a
        run that fails has done plays as NAME.partial.mp4, which a note of its error tells.

        ``progress`` is called with each frame written. ``should_stop`` is asked after each; the file is
        then finished where it is, and plays. Both are called in the caller's thread.
        """
        _check_file("the source", source)
        _check_file("the output", output)
        info, context = info or probe(source), self.context()
        gpu = self.config.compute.device
        writer = FileWriter(
            lambda: VideoSink(output, info, self.config.output, source, overwrite, gpu),
            context.notes.append,
        )
        chain = self.chain(source, info, context, writer.written)
        try:
            with closing(chain):
                for frame in chain:
                    if progress is not None:
                        progress(frame)
                    writer.stopped = should_stop is not None and should_stop()
        except Exception as error:
            if writer.partial is not None and writer.partial.is_file():
                error.add_note(f"the finished part is in {writer.partial}")
            raise
        context.interrupted = writer.stopped
        frames = context.tally.frames
        if not writer.stopped and frames != context.frames_in:
            raise SinkError(f"only {frames} of {context.frames_in} frames reached {output}")
        path = Path(output)
        facts = _facts(info, context) | {"removed": list(writer.removed)}
        if not is_stdout(path):
            facts = {"name": path.name, "bytes": path.stat().st_size} | facts
        return self.report(context, info, facts)

    def chain(
        self, source: Path | str, info: SourceInfo, context: RunContext, write: Write | None = None
    ) -> Generator[SafeFrame, None, None]:
        """All stages on one stream."""
        decoder = choose_decoder(source, info, self.config.compute, self._networks_on_nvidia)
        context.decoder, context.decoder_passed_over = decoder.name, decoder.passed_over
        return anonymise(
            read_frames(source, info, context.skip_packet, context.notes.append, decoder.gpu),
            self.config,
            self.face_search(info.rotation, context),
            self.covering(context, (info.width, info.height), info.rotation, mirrored=info.mirrored),
            write=write,
            interval=self._interval(info),
        )

    @property
    def _networks_on_nvidia(self) -> bool:
        providers = self.config.compute.providers
        return self._device is not None or not {"cuda", "tensorrt"}.isdisjoint(providers)

    def context(self) -> RunContext:
        """What gathers the results of one run."""
        return RunContext(self.config.cover.on_error)

    def _interval(self, info: SourceInfo) -> DetectionInterval:
        config = self.config
        return DetectionInterval(config.detect.interval_seconds, config.lookahead.seconds, info.live)

    def face_search(self, rotation: int = 0, context: RunContext | None = None) -> Searcher:
        """The face search for one stream, which players rotate by ``rotation`` degrees counter-clockwise.
        Detections that the verifier failed on are counted in ``context``.
        """
        note = None if context is None else context.note_unverified
        return FaceSearch(self.detector, self.verifier, rotation, self.config.detect.score, note)

    def assigner(self) -> Assigner | None:
        """What remembers who became whom; None where no face is generated."""
        return None if self.parts is None else Assigner(self.parts.assigner)

    def covering(
        self,
        context: RunContext | None = None,
        size: tuple[int, int] = (1, 1),
        rotation: int = 0,
        still: bool = False,
        assigner: Assigner | None = None,
        load: Load | None = None,
        mirrored: bool = False,
    ) -> Covering:
        """What covers one stream. ``size``: width and height of its frames, which players rotate by
        ``rotation`` degrees counter-clockwise, and then mirror left to right where they are
        ``mirrored``; ``still``: a picture by itself. ``assigner``: one that remembers people from
        before, by default a new one. ``load``: what an overloaded machine leaves out, by default
        nothing.
        """
        context = self.context() if context is None else context
        keeping = self._keeping(context, size, (rotation, mirrored), still)
        assigner = assigner or self.assigner()
        if self.parts is None or assigner is None:
            return Covering(self.config.cover, None, context=context, keeping=keeping)
        parts = self.parts
        synthesis = Synthesis(parts.mesh, assigner, parts.generator, load or NoLoad(), parts.canvas)
        return Covering(self.config.cover, synthesis, context=context, keeping=keeping)

    def _keeping(
        self, context: RunContext, size: tuple[int, int], shown: tuple[int, bool], still: bool
    ) -> Keeping | None:
        cover = self.config.cover
        areas = [area_of(region, *size, *shown) for region in cover.keep_regions]
        chosen = [moment_of(moment, *size, *shown) for moment in cover.keep_tracks]
        rules = self.parts.kept if self.parts is not None else ()
        if not (areas or chosen or rules):
            return None
        seconds = 0.0 if still else self.config.lookahead.seconds
        encoder = self.parts.assigner.encoder if self.parts is not None else None
        keeper, tracks = Keeper(rules, seconds, still), ChosenTracks(chosen)
        return Keeping(keeper, encoder, areas, tracks, seconds, context.faults)

    def _digests(self) -> dict[str, str]:
        digests = self.engines.digests()
        for one in {NAME, INT8_NAME} - {detector_name(self.backend)}:
            digests.pop(one, None)  # the file that is not used
        if isinstance(self.detector, UltralyticsDetector):
            digests.pop(INT8_NAME, None)
            digests[NAME] = self.detector.sha256
        own = self.config.identity.gallery if self.parts is not None else None
        return digests | ({"delegates": digest(Path(own))} if own is not None else {})

    def report(
        self, context: RunContext, source: SourceInfo | dict[str, Any], output: dict[str, Any]
    ) -> RunReport:
        """The report of what a run has gathered so far."""
        made = RunReport.of(
            context, source, output, self.backend.name, self._digests(), as_dict(self.config)
        )
        return dataclasses.replace(made, passed_over=self._passed_over)


class AnonymisedFrames(Iterator[SafeFrame]):
    """The frames of one video, in order. The file is opened when the first one is asked for.

    ``faults``: how many frames and faces are covered more so far, by what failed. ``report``: of the whole
    run, once the last frame came or this was closed; None before, after an error, and where this was closed
    before its first frame: the file was never opened.
    """

    def __init__(self, anonymizer: Anonymizer, path: Path | str) -> None:
        self._context = anonymizer.context()
        self._report: list[RunReport] = []
        self._frames = _reported(anonymizer, path, self._context, self._report.append)

    def __next__(self) -> SafeFrame:
        return next(self._frames)

    def close(self) -> None:
        """Stop early; this ends the threads. The report then says that the run was interrupted."""
        self._frames.close()

    @property
    def faults(self) -> dict[str, int]:
        return dict(self._context.faults.counts)

    @property
    def report(self) -> RunReport | None:
        return self._report[0] if self._report else None


def _reported(
    anonymizer: Anonymizer, path: Path | str, context: RunContext, tell: Callable[[RunReport], None]
) -> Generator[SafeFrame, None, None]:
    """The frames of a video; ``tell`` is given the report at their end, also where that is early."""
    info = probe(path)
    try:
        with closing(anonymizer.chain(path, info, context)) as chain:
            yield from chain
    except GeneratorExit:
        context.interrupted = True
        tell(anonymizer.report(context, info, _facts(info, context)))
        raise
    tell(anonymizer.report(context, info, _facts(info, context)))


def anonymize(image: NDArray[np.uint8], profile: Config | Path | str | None = None) -> NDArray[np.uint8]:
    """One image [H, W, 3] uint8 RGB, anonymised. For many, keep an :class:`Anonymizer`."""
    return Anonymizer(profile).image(image)


def _device_parts(backend: Backend, memory: Memory) -> DeviceParts:
    from streamanon.device.parts import DeviceParts  # not above: it imports PyTorch

    return DeviceParts(backend, memory)


def _check_file(what: str, path: object) -> None:
    if not isinstance(path, (str, Path)):
        raise ConfigError(f"{what} must be a path, as text or a Path, not a {type(path).__name__}")
    if "\0" in str(path):
        raise ConfigError(f"{what} is a path with a null byte in it; give another name")


def _facts(info: SourceInfo, context: RunContext) -> dict[str, Any]:
    """Of an output, for the report."""
    return {"width": info.width, "height": info.height, "frames": context.tally.frames}

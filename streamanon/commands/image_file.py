"""One image file into another: stills, pages by themselves, animations through the whole chain."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from streamanon.api import Anonymizer
from streamanon.errors import ConfigError
from streamanon.media.images import IMAGES, ImageFileContent, ImageFrame, encode_image, read_image_file
from streamanon.media.output_file import check_free, is_same_file, write_file
from streamanon.media.yuv import from_rgb, to_rgb
from streamanon.pipeline import anonymise
from streamanon.runtime.run_report import RunReport
from streamanon.types import RawFrame


def run_image(anonymizer: Anonymizer, source: str, output: Path, overwrite: bool) -> RunReport:
    """Anonymise an image or animation. Raises :class:`StreamanonError`."""
    if output.suffix.lower() not in IMAGES:
        raise ConfigError(
            f"an image becomes an image: end {output} with .jpg, .png, .webp, .gif, .tiff or .avif"
        )
    if is_same_file(output, source):
        raise ConfigError(f"the output {output} is the input itself; give another name")
    check_free(output, overwrite)
    image = read_image_file(Path(source))
    safe, report = (_animation if image.is_animation else _stills)(anonymizer, image)
    packed, notes = encode_image(output.suffix.lower(), safe)
    write_file(output, packed, overwrite)
    assert isinstance(report.source, dict)
    return dataclasses.replace(
        report,
        source={"name": Path(source).name} | report.source,
        output={"name": output.name, "bytes": len(packed)} | report.output,
        notes=(*image.notes, *notes, *report.notes),
    )


def _stills(anonymizer: Anonymizer, image: ImageFileContent) -> tuple[ImageFileContent, RunReport]:
    """A picture, or pages, each by itself."""
    context = anonymizer.context()
    made = [anonymizer.image_with_report(frame.rgb, context) for frame in image.frames]
    pairs = zip(image.frames, made, strict=True)
    frames = tuple(dataclasses.replace(before, rgb=rgb) for before, (rgb, _) in pairs)
    return dataclasses.replace(image, frames=frames), made[-1][1]


def _animation(anonymizer: Anonymizer, image: ImageFileContent) -> tuple[ImageFileContent, RunReport]:
    context = anonymizer.context()
    height, width = image.frames[0].rgb.shape[:2]
    chain = anonymise(
        _raw(image.frames),
        anonymizer.config,
        anonymizer.face_search(0, context),
        anonymizer.covering(context, (width, height)),
    )
    covered = [to_rgb(frame.picture) for frame in chain]
    pairs = zip(image.frames, covered, strict=True)
    frames = tuple(dataclasses.replace(before, rgb=rgb) for before, rgb in pairs)
    facts: dict[str, Any] = {"width": width, "height": height, "frames": len(covered)}
    return dataclasses.replace(image, frames=frames), anonymizer.report(context, facts, dict(facts))


def _raw(frames: tuple[ImageFrame, ...]) -> Iterator[RawFrame]:
    """Frames with times in milliseconds."""
    at = 0
    for index, frame in enumerate(frames):
        yield RawFrame(index, at, Fraction(1, 1000), from_rgb(frame.rgb), frame.shown_ms)
        at += frame.shown_ms

"""One image file into another: stills, pages by themselves, animations through the whole chain."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from streamanon.api import Anonymizer
from streamanon.errors import ConfigError
from streamanon.media.images import (
    IMAGES,
    ImageFileContent,
    ImageFrame,
    Pixels,
    encode_image,
    read_image_file,
)
from streamanon.media.output_file import check_free, is_same_file, is_stdout, write_file
from streamanon.media.yuv import from_rgb, to_rgb
from streamanon.pipeline import anonymise
from streamanon.runtime.run_report import RunReport
from streamanon.types import RawFrame


def run_image(anonymizer: Anonymizer, source: str, output: Path, overwrite: bool) -> RunReport:
    """Anonymise an image or animation. Raises :class:`StreamanonError`."""
    if is_stdout(output):
        raise ConfigError(
            f"{Path(source).name} is an image, and standard output is for videos; give -o a file"
        )
    if output.suffix.lower() not in IMAGES:
        raise ConfigError(
            f"an image becomes an image: end {output} with .jpg, .png, .webp, .gif, .tiff or .avif"
        )
    if is_same_file(output, source):
        raise ConfigError(f"the output {output} is the input itself; give another name")
    check_free(output, overwrite)
    image = _without_faces_in_alpha(anonymizer, read_image_file(Path(source)))
    safe, report = (_animation if image.is_animation else _stills)(anonymizer, image)
    packed, notes = encode_image(output.suffix.lower(), safe)
    write_file(output, packed, overwrite)
    assert isinstance(report.source, dict)
    return dataclasses.replace(
        report,
        source={"name": Path(source).name} | report.source,
        output={"name": output.name, "bytes": len(packed)} | report.output,
        notes=(*safe.notes, *notes, *report.notes),
    )


def _without_faces_in_alpha(anonymizer: Anonymizer, image: ImageFileContent) -> ImageFileContent:
    """The image without its transparency where that shows a face by itself, as a portrait in ink does whose
    pixels are all black: no search of the colours would find it.
    """
    alphas = {frame.alpha.tobytes(): frame.alpha for frame in image.frames if frame.alpha is not None}
    if not any(_shows_face(anonymizer, alpha) for alpha in alphas.values()):
        return image
    frames = tuple(dataclasses.replace(still, alpha=None) for still in image.frames)
    note = "transparency is removed, as it shows a face"
    return dataclasses.replace(image, frames=frames, notes=(*image.notes, note))


def _shows_face(anonymizer: Anonymizer, alpha: Pixels) -> bool:
    """Whether transparency [H, W] shows a face on a light or a dark ground, or could not be searched."""
    if alpha.min() == alpha.max():
        return False
    grounds = (np.dstack([one] * 3) for one in (alpha, 255 - alpha))
    tallies = (anonymizer.image_with_report(ground)[1].tally for ground in grounds)
    return any(tally.faces or tally.withheld for tally in tallies)


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

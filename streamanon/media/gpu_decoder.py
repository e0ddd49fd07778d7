"""Which decoder reads a file: the CPU's, or an NVIDIA GPU's (NVDEC), which FFmpeg calls cuda.

The GPU's pictures come to the host and go on as the CPU's do. They have to be the same ones, to the bit:
the first of a file are decoded by both and compared, and a GPU that gives others is not used for that file.
No GPU has decoded with it yet, only a stand-in for its driver.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from av.codec.hwaccel import hwdevices_available

from streamanon.config import ComputeConfig
from streamanon.errors import ConfigError
from streamanon.media.address import is_address
from streamanon.media.decode import frames_of
from streamanon.media.demux import GpuDecodingError, open_input, video_stream
from streamanon.media.probe import SourceInfo
from streamanon.media.standard_input import STDIN

#: Codecs whose standard says what every pixel of a decoded picture is.
EXACT = ("h264", "hevc", "vp8", "vp9")
#: So many pictures are compared: enough for the first predicted ones.
COMPARED = 8


@dataclass(frozen=True)
class Decoder:
    """``gpu``: the number of the GPU that decodes, None: the CPU does. ``passed_over``: why no GPU does,
    where one might have.
    """

    gpu: int | None = None
    passed_over: str = ""

    @property
    def name(self) -> str:
        return "cpu" if self.gpu is None else "cuda"


def choose_decoder(
    path: str | Path, info: SourceInfo, config: ComputeConfig, networks_on_gpu: bool
) -> Decoder:
    """What ``compute.decoder`` means for this file. "auto" takes the GPU where the networks run on one and
    it decodes the file; for "cuda" what stands against it is a :class:`ConfigError`.
    """
    if config.decoder == "cpu" or (config.decoder == "auto" and not networks_on_gpu):
        return Decoder()
    reason = why_not(path, info, config.device)
    if not reason:
        return Decoder(config.device)
    if config.decoder == "auto":
        return Decoder(passed_over=reason)
    raise ConfigError(
        f"{Path(info.name).name} cannot be decoded on GPU {config.device}: {reason}; leave compute.decoder"
        " to auto, which then takes the CPU"
    )


def why_not(path: str | Path, info: SourceInfo, gpu: int) -> str:
    """Why the GPU does not decode this file, in words; empty if it does."""
    if "cuda" not in hwdevices_available():
        return "this build of FFmpeg does not support NVIDIA GPUs"
    if str(path) == STDIN or is_address(str(path)):
        return "only files are decoded on the GPU, as they can be read again if it fails"
    if info.codec not in EXACT:
        return (
            f"only {', '.join(EXACT[:-1])} and {EXACT[-1]} are decoded on the GPU, and this is {info.codec}"
        )
    try:
        with open_input(path, gpu) as container:
            if not video_stream(container, info.name).codec_context.is_hwaccel:
                return "FFmpeg's decoder for this codec does not support it"
        return "" if _gives_the_same(path, info, gpu) else "its pictures differ from the CPU's"
    except GpuDecodingError as error:
        return str(error)


def _gives_the_same(path: str | Path, info: SourceInfo, gpu: int) -> bool:
    with closing(frames_of(path, info, gpu=gpu)) as there:
        theirs = list(islice(there, COMPARED))
    with closing(frames_of(path, info)) as here:
        ours = list(islice(here, COMPARED))
    return len(theirs) == len(ours) and all(
        one.pts == other.pts
        and (one.picture.matrix, one.picture.full_range) == (other.picture.matrix, other.picture.full_range)
        and all(map(np.array_equal, one.picture.planes, other.picture.planes))
        for one, other in zip(theirs, ours, strict=True)
    )

"""What each ``compute.decoder`` makes of a file where the networks run on a GPU: its pictures, as JSON::

    python on_gpu.py FILE DEVICE DECODER...

A process by itself, because the driver that FFmpeg loads stays loaded.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from streamanon.config import load_config
from streamanon.errors import StreamanonError
from streamanon.media.decode import read_frames
from streamanon.media.gpu_decoder import choose_decoder
from streamanon.media.probe import probe


def decode(path: Path, wanted: str, device: int) -> dict[str, Any]:
    config = load_config(None, [f"compute.decoder={wanted}", f"compute.device={device}"]).compute
    info = probe(path)
    notes: list[str] = []
    try:
        decoder = choose_decoder(path, info, config, networks_on_gpu=True)
    except StreamanonError as error:
        return {"error": str(error)}
    frames = [
        [
            frame.index,
            frame.pts,
            frame.duration,
            frame.picture.pixel_format,
            frame.picture.matrix,
            frame.picture.full_range,
            hashlib.sha256(b"".join(plane.tobytes() for plane in frame.picture.planes)).hexdigest(),
        ]
        for frame in read_frames(path, info, notes.append, notes.append, decoder.gpu)
    ]
    return {"decoder": decoder.name, "passed_over": decoder.passed_over, "notes": notes, "frames": frames}


if __name__ == "__main__":
    file, number, *decoders = sys.argv[1:]
    print(json.dumps([decode(Path(file), one, int(number)) for one in decoders]))

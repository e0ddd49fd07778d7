"""``python on_gpu.py FILE DECODER DEVICE``: what ``compute.decoder`` makes of a file where the networks run
on a GPU, and every picture of it, as JSON. By itself, because the driver that FFmpeg loads stays loaded.
"""

from __future__ import annotations

import hashlib
import json
import sys

from streamanon.config import load_config
from streamanon.errors import StreamanonError
from streamanon.media.decode import read_frames
from streamanon.media.gpu_decoder import choose_decoder
from streamanon.media.probe import probe


def main() -> None:
    path, wanted, device = sys.argv[1:]
    config = load_config(None, [f"compute.decoder={wanted}", f"compute.device={device}"]).compute
    info = probe(path)
    notes: list[str] = []
    try:
        decoder = choose_decoder(path, info, config, networks_on_gpu=True)
    except StreamanonError as error:
        print(json.dumps({"error": str(error)}))
        return
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
    said = {"decoder": decoder.name, "passed_over": decoder.passed_over, "notes": notes, "frames": frames}
    print(json.dumps(said))


if __name__ == "__main__":
    main()

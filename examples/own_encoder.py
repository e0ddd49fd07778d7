"""Take the safe frames yourself, here to write them with PyAV:
``python examples/own_encoder.py in.mp4 out.mkv``.

Audio is not copied this way; ``Anonymizer.run`` copies it.
"""

from __future__ import annotations

import sys
from contextlib import closing

import av

import streamanon


def main(source: str, output: str, profile: streamanon.Config | None = None) -> None:
    with av.open(output, "w") as file:
        stream = None
        # closing: an error on the way, or a break, also ends the threads that decode and detect.
        with closing(streamanon.Anonymizer(profile).frames(source)) as frames:
            for safe in frames:
                if stream is None:
                    stream = file.add_stream("ffv1")
                    stream.width, stream.height = safe.picture.width, safe.picture.height
                    stream.pix_fmt = "bgr0"
                    stream.time_base = stream.codec_context.time_base = safe.time_base
                frame = av.VideoFrame.from_ndarray(streamanon.to_rgb(safe.picture), "rgb24")
                frame.pts, frame.time_base = safe.pts, safe.time_base
                file.mux(stream.encode(frame.reformat(format="bgr0")))
        if stream is not None:
            file.mux(stream.encode(None))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

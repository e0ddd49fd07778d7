"""A profile made in code instead of YAML: ``python examples/own_profile.py in.mp4 out.mp4``."""

from __future__ import annotations

import sys

import streamanon
from streamanon.config import ComputeConfig, CoverConfig, DetectConfig, OutputConfig

#: A quick preview: a mosaic on every face, detection eight times a second, no sound.
PREVIEW = streamanon.Config(
    detect=DetectConfig(size="small", interval_seconds=0.12),
    cover=CoverConfig(method="mosaic"),
    output=OutputConfig(preset="ultrafast", audio="drop"),
    compute=ComputeConfig(backend="onnxruntime"),
)


def main(source: str, output: str) -> None:
    streamanon.Anonymizer(PREVIEW).run(source, output)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

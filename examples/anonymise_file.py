"""Anonymise a video file into another: ``python examples/anonymise_file.py in.mp4 out.mp4``."""

from __future__ import annotations

import sys

import streamanon


def main(source: str, output: str, profile: streamanon.Config | None = None) -> None:
    report = streamanon.Anonymizer(profile).run(source, output)
    print(f"{report.tally.frames} frames, {report.tally.faces} faces covered in {report.seconds:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

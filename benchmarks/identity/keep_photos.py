"""Who is left visible by --keep? Clips of one person each: every photo against every clip.

    python -m benchmarks.identity.keep_photos CLIP CLIP [CLIP ...] [--profile livestream]

The photo of a clip's person is its first frame that ``--keep`` accepts, so that the clip itself shows what
a good photo does; all other clips show strangers. Printed are the face-frames left visible, and how often a
track changes between visible and covered.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import av
import cv2

from streamanon.api import Anonymizer
from streamanon.config import load_config
from streamanon.errors import ConfigError
from streamanon.types import SafeFrame

EVERY = 10  # frames between tries


class Changes:
    """Counts how often a track goes from visible to covered or back."""

    def __init__(self) -> None:
        self.count = 0
        self._last: dict[int, bool] = {}

    def watch(self, frame: SafeFrame) -> None:
        for cover in frame.report.covers:
            visible = cover.method == "kept"
            self.count += self._last.get(cover.track_id, visible) != visible
            self._last[cover.track_id] = visible


def with_photo(clip: Path, folder: Path, profile: str) -> Anonymizer:
    """Keeps whom the clip shows, by a frame written to ``folder`` as PNG."""
    photo = folder / f"{clip.stem}.png"
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % EVERY:
                continue
            cv2.imwrite(str(photo), frame.to_ndarray(format="bgr24"))
            try:
                return Anonymizer(
                    load_config(profile, [f"identity.people=[{{photo: {photo}, keep: true}}]"])
                )
            except ConfigError:
                continue
    raise SystemExit(f"no frame of {clip} is a photo for --keep")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--profile", default="file")
    args = parser.parse_args()
    print(f"| photo from | {' | '.join(clip.stem for clip in args.clips)} |")
    print(f"|---|{'---|' * len(args.clips)}")
    with tempfile.TemporaryDirectory() as name:
        for whose in args.clips:
            anonymizer = with_photo(whose, Path(name), args.profile)
            cells = []
            for clip in args.clips:
                output, changes = Path(name) / f"{clip.stem}.mp4", Changes()
                tally = anonymizer.run(clip, output, changes.watch, overwrite=True).tally
                assert tally.faces, f"no face was found in {clip}"
                cells.append(f"{tally.by_method['kept']} of {tally.faces}, {changes.count}")
            print(f"| {whose.stem} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

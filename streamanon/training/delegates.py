"""Build the gallery of delegates: blends of synthetic portraits that show nobody.

    python -m streamanon.training.delegates --data DATA --out engines

Steps (:mod:`streamanon.training.gallery`): read and screen the portraits; bring all into one texture
space by the mesh; even out their light; for every cell of sex presentation, skin tone and age draw recipes
of five portraits and join their parts; leave out those with flaws and those that the recogniser takes for
any portrait; of the rest choose those that lie farthest apart.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2

from streamanon.training.gallery.build import build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with faces_*.tar and faces_labels.npz"
    )
    parser.add_argument("--out", type=Path, default=Path("engines"), help="where the gallery goes")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print(json.dumps(build(arguments.data, arguments.out), indent=2))


if __name__ == "__main__":
    main()

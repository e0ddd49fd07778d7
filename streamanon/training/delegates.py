"""Build the gallery of delegates: synthetic portraits, which show nobody, and morphs of two.

    python -m streamanon.training.delegates --data DATA --out engines

Steps (:mod:`streamanon.training.gallery`): read and screen the portraits; bring them into texture space by
their meshes; even out their light and let hair fade into skin; take each portrait of the free set itself,
and morphs with another of like sex, age and tone until every cell is filled.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from streamanon.training.gallery.build import NAME, SPACE, build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with portraits_512.tar and its labels"
    )
    parser.add_argument("--out", type=Path, default=Path("engines"), help="where the gallery goes")
    parser.add_argument(
        "--space",
        type=Path,
        default=Path("engines") / f"{NAME}.npz",
        help="a gallery whose texture space and codes are used on, as the generator was trained with them",
    )
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with np.load(arguments.space, allow_pickle=False) as archive:
        space = {name: archive[name] for name in SPACE}
    print(json.dumps(build(arguments.data, arguments.out, space), indent=2))


if __name__ == "__main__":
    main()

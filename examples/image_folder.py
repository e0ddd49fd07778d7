"""Anonymise all JPEG and PNG files of a folder: ``python examples/image_folder.py photos/ safe/``."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

import streamanon


def main(folder: str, output: str, profile: streamanon.Config | None = None) -> None:
    anonymizer = streamanon.Anonymizer(profile)  # loads the models once
    Path(output).mkdir(parents=True, exist_ok=True)
    for path in sorted(Path(folder).iterdir()):
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            continue
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is None:
            print(f"skipped {path.name}: not a readable image")
            continue
        safe = anonymizer.image(np.ascontiguousarray(bgr[:, :, ::-1], np.uint8))
        cv2.imwrite(str(Path(output) / path.name), safe[:, :, ::-1])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

"""The points that MediaPipe's Face Mesh sees in photos: a judge that is no part of the project.

    PYTHON benchmarks/faces/mediapipe_points.py FOLDER OUT.npz

``PYTHON`` is that of an environment with ``mediapipe==0.10.14``, which needs NumPy 1. Written are
``points`` [N, 478, 3], px, by the files' names in order, NaN where no face is found.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import mediapipe
import numpy as np


def main() -> None:
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    mesh = mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True, max_num_faces=1, refine_landmarks=True, min_detection_confidence=0.3
    )
    paths = sorted(folder.glob("*.png"))
    points = np.full((len(paths), 478, 3), np.nan, np.float32)
    for row, path in enumerate(paths):
        image = np.ascontiguousarray(np.asarray(cv2.imread(str(path)))[..., ::-1])
        found = mesh.process(image).multi_face_landmarks
        if found:
            places = np.array([[one.x, one.y, one.z] for one in found[0].landmark], np.float32)
            points[row] = places * [image.shape[1], image.shape[0], image.shape[1]] - [0.5, 0.5, 0]
    np.savez(out, points=points)


if __name__ == "__main__":
    main()

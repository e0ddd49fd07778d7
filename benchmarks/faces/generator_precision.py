"""The generator network in float32, bfloat16 and INT8: how fast, and how far from float32 its faces are.

    pip install '.[openvino,bench]' onnx
    python -m benchmarks.faces.generator_precision VIDEO [VIDEO ...] [--threads 2] [--sheet faces.png]

What the network is given is recorded from runs over the videos: every second face calibrates INT8
(convolutions, static, a scale per channel), the others are measured. Within a round all precisions take
turns; printed are medians and spreads over rounds, of one face and of four together, and over what is
opaque, the mean difference to float32 and the PSNR of the worst face.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from streamanon.api import Anonymizer
from streamanon.config import ComputeConfig, load_config
from streamanon.generate import NetworkGenerator
from streamanon.runtime.backends import Model
from streamanon.runtime.backends import onnxruntime as runtime
from streamanon.runtime.models import Engines
from streamanon.types import Float

Face = tuple[Float, Float]  # planes [1, 13, 128, 128], styles [1, N]
BATCH, MOST, WARM_UP = 4, 60, 5


def recorded(videos: Sequence[Path]) -> list[Face]:
    """What the network is given for faces of the videos, ``MOST`` a video, evenly spread."""
    inner, faces = NetworkGenerator._run, list[Face]()

    def spy(self: NetworkGenerator, planes: list[Float], styles: list[Float]) -> list[tuple[Float, Float]]:
        found.extend((one[None], two) for one, two in zip(planes, styles, strict=True))
        return inner(self, planes, styles)

    anonymizer = Anonymizer(load_config(None, ["compute.backend=onnxruntime"]))
    with mock.patch.object(NetworkGenerator, "_run", spy):
        for video in videos:
            found: list[Face] = []
            for _ in anonymizer.frames(video):
                pass
            faces += found[:: max(1, len(found) // MOST)]
    assert len(faces) > 2 * BATCH, "too few faces in these videos"
    return faces


class Calibration(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, faces: Sequence[Face]) -> None:
        self._faces = iter(faces)

    def get_next(self) -> dict[str, Float] | None:
        face = next(self._faces, None)
        return None if face is None else {"planes": face[0], "styles": face[1]}


def models(folder: Path, faces: Sequence[Face], threads: int) -> Iterator[tuple[str, Model]]:
    path = Engines.open().path("generator")
    ready, small = folder / "ready.onnx", folder / "int8.onnx"
    quant_pre_process(str(path), str(ready), skip_symbolic_shape=True)
    kinds = {"op_types_to_quantize": ["Conv"], "per_channel": True, "weight_type": QuantType.QInt8}
    quantize_static(str(ready), str(small), Calibration(faces), **kinds)
    yield "float32, ONNX Runtime", runtime.create(ComputeConfig(threads=threads)).load(path, precise=True)
    yield "INT8, ONNX Runtime", runtime.create(ComputeConfig(threads=threads)).load(small, precise=True)
    try:
        from streamanon.runtime.backends import openvino
    except ImportError:
        print("openvino is not installed: bfloat16 is left out")
        return
    backend = openvino.create(ComputeConfig(threads=threads))
    yield "float32, OpenVINO", backend.load(path, precise=True)
    yield "bfloat16 where the processor has it, OpenVINO", backend.load(path, precise=False)


def milliseconds(model: Model, faces: Sequence[Face]) -> float:
    """The median time of a face, with so many together."""
    planes, styles = (np.concatenate(part) for part in zip(*faces, strict=True))
    times = []
    for number in range(WARM_UP + 15):
        begun = time.perf_counter()
        model.run(planes, styles)
        if number >= WARM_UP:
            times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times) / len(faces)


def differences(model: Model, exact: Model, faces: Sequence[Face]) -> tuple[float, float]:
    """Mean absolute difference in levels, and the lowest PSNR in dB, where the face is opaque."""
    means, worst = [], []
    for face in faces:
        given, wanted = model.run(*face)[0], exact.run(*face)
        apart = (given - wanted[0])[0][:, (face[0][0, 3] > 0) & (wanted[1][0, 0] > 0.5)] * 127.5
        means.append(float(np.abs(apart).mean()))
        worst.append(10 * np.log10(255**2 / max(float((apart**2).mean()), 1e-9)))
    return statistics.mean(means), min(worst)


def sheet(named: Sequence[tuple[str, Model]], faces: Sequence[Face], path: Path) -> None:
    """A row for each precision, float32 first."""
    rows = []
    for _, model in named:
        tiles = [np.clip((model.run(*face)[0][0].transpose(1, 2, 0) + 1) * 127.5, 0, 255) for face in faces]
        rows.append(np.hstack(tiles))
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1].astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    faces = recorded(args.videos)
    held = faces[1::2]
    with tempfile.TemporaryDirectory() as name:
        named = list(models(Path(name), faces[::2], args.threads))
        times: dict[tuple[str, int], list[float]] = {}
        for _ in range(args.rounds):
            for precision, model in named:
                for count in (1, BATCH):
                    taken = milliseconds(model, held[:count])
                    times.setdefault((precision, count), []).append(taken)
        print(f"{len(held)} faces, {args.threads} threads\n")
        print("| precision | ms a face | of four | times float32's | mean difference | worst PSNR |")
        print("|---|---|---|---|---|---|")
        exact = named[0][1]
        base = statistics.median(times[named[0][0], 1])
        for precision, model in named:
            one, four = (
                f"{statistics.median(all_):.1f} ({min(all_):.1f}–{max(all_):.1f})"
                for all_ in (times[precision, 1], times[precision, BATCH])
            )
            ratio = statistics.median(times[precision, 1]) / base
            mean, worst = differences(model, exact, held)
            print(f"| {precision} | {one} | {four} | {ratio:.2f} | {mean:.2f} levels | {worst:.0f} dB |")
        if args.sheet:
            sheet(named, held[:: max(1, len(held) // 12)], args.sheet)


if __name__ == "__main__":
    main()

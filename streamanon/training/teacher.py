"""dlib's face recogniser as a torch network, so that a teacher can label faces as fast as they are made.

Its weights (CC0) come with ``pip install face_recognition_models``; the layers are those of dlib's example
``dnn_face_recognition_ex`` (a ResNet of 29 convolutions). dlib itself takes six times as long.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from streamanon.audit.recognisers import fit_similarity
from streamanon.mesh.landmarks import EYE_ENDS, NOSE_BASE
from streamanon.types import Float

CHIP_PX = 150
MEAN_RGB = (122.782, 117.001, 104.298)
PADDING = 0.25
#: Outer and inner corner of the left and of the right eye, base of the nose.
CHIP_INDICES = (*EYE_ENDS[0], *EYE_ENDS[1], NOSE_BASE)
#: Where dlib's five-point chips have them, before padding (dlib, ``get_face_chip_details``).
CHIP_POINTS = (
    (0.1205750620789, 0.2137274526848),
    (0.3340850613712, 0.2290642403242),
    (0.8595674595992, 0.2134981538014),
    (0.6460604764104, 0.2289674387677),
    (0.4901123135679, 0.6277975316475),
)
#: Width and stride of the blocks, from the pixels on.
BLOCKS: tuple[tuple[int, int], ...] = ((32, 1),) * 3 + ((64, 2), (64, 1), (64, 1), (64, 1))
BLOCKS += ((128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1), (256, 2))


class Convolution(nn.Module):
    """Convolution and dlib's ``affine``; strided ones have no padding."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int) -> None:
        super().__init__()
        padding = size // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding)
        self.gain, self.bias = (nn.Parameter(torch.zeros(1, outputs, 1, 1)) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.conv(x) * self.gain + self.bias
        return found


class Block(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = Convolution(inputs, width, 3, stride)
        self.second = Convolution(width, width, 3, 1)
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.second(functional.relu(self.first(x)))
        short = functional.avg_pool2d(x, 2) if self.stride == 2 else x
        return functional.relu(_padded(found, short) + _padded(short, found))


def _padded(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """``one`` with zeros to the channels, rows and columns of ``other``, where it has fewer."""
    lacking = [max(0, theirs - ours) for ours, theirs in zip(one.shape[1:], other.shape[1:], strict=True)]
    return functional.pad(one, (0, lacking[2], 0, lacking[1], 0, lacking[0]))


class Teacher(nn.Module):
    """RGB chips [B, 3, 150, 150] in 0..255 -> embeddings [B, 128]; two of one person lie within about 0.55
    of each other.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, 32, 7, 2)
        widths = [32, *(width for width, _ in BLOCKS)]
        self.blocks = nn.Sequential(
            *(Block(widths[row], width, stride) for row, (width, stride) in enumerate(BLOCKS))
        )
        self.head = nn.Linear(256, 128, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN_RGB).view(1, 3, 1, 1))

    def forward(self, chips: torch.Tensor) -> torch.Tensor:
        pixels = (chips - self.mean) / 256
        found = functional.max_pool2d(functional.relu(self.stem(pixels)), 3, 2)
        embedding: torch.Tensor = self.head(self.blocks(found).mean((2, 3)))
        return embedding


def load_teacher() -> Teacher:
    """Raises ImportError where ``face_recognition_models`` is not installed."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise ImportError("the teacher needs: pip install face_recognition_models")
    data = (Path(spec.origin).parent / "models" / "dlib_face_recognition_resnet_model_v1.dat").read_bytes()
    teacher = Teacher()
    tensors = iter(_tensors(data))
    with torch.no_grad():
        for layer in teacher.modules():
            if not isinstance(layer, Convolution):
                continue
            filters, affine = next(tensors), next(tensors)
            split = layer.conv.weight.numel()
            layer.conv.weight.copy_(torch.from_numpy(filters[:split]).view_as(layer.conv.weight))
            assert layer.conv.bias is not None
            layer.conv.bias.copy_(torch.from_numpy(filters[split:]))
            gain, bias = torch.from_numpy(affine).view(2, 1, -1, 1, 1)
            layer.gain.copy_(gain)
            layer.bias.copy_(bias)
        teacher.head.weight.copy_(torch.from_numpy(next(tensors)).view(256, 128).T)
    return teacher.eval()


def _tensors(data: bytes) -> Iterator[np.ndarray]:
    """The learned numbers in a file of dlib's, layer by layer from the pixels on."""
    at = 0
    while True:
        places = [(data.find(name, at), name) for name in (b"\x05con_4", b"\x07affine_", b"\x04fc_2")]
        found = [place for place in places if place[0] >= 0]
        if not found:
            return
        place, name = min(found)
        at = place + len(name)
        if name.endswith(b"fc_2"):
            for _ in range(2):  # outputs and inputs
                _, at = _integer(data, at)
        version, at = _integer(data, at)
        assert version == 2, "not dlib's tensors of version 2"
        size = 1
        for _ in range(4):
            length, at = _integer(data, at)
            size *= length
        yield np.frombuffer(data, "<f4", size, at).copy()
        at += 4 * size


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """A number as dlib writes it (how many bytes it takes, then these), and where the next thing begins."""
    count = data[at] & 15
    (value,) = struct.unpack("<Q", data[at + 1 : at + 1 + count].ljust(8, b"\0"))
    return value, at + 1 + count


def chip(image: np.ndarray, points: Float) -> np.ndarray:
    """The chip [150, 150, 3] uint8 RGB of a face, from its image (BGR) and mesh points [478, 2+] px."""
    target = (np.array(CHIP_POINTS) + PADDING) / (2 * PADDING + 1) * CHIP_PX
    matrix = fit_similarity(points[list(CHIP_INDICES), :2], target.astype(np.float32))
    size = (CHIP_PX, CHIP_PX)
    found = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found[..., ::-1], np.uint8)

"""The metadata of ONNX exports of ultralytics models, and which of these models can detect faces.

Layouts as ultralytics 8.3 to 8.4 export them, of YOLOv8, 10, 11, 12 and 26:

========= ================================ ==============================================================
layout    output                           a column or row holds, in px of the input
========= ================================ ==============================================================
cells     [1, 4 + classes + keypoints, A]  centre x, y, width, height; a score a class; keypoints
selected  [1, N, 6 + keypoints]            x0, y0, x1, y1; score; class; keypoints; rows of zeros fill up
========= ================================ ==============================================================

"selected" is what ``nms=True`` and end-to-end models give. Keypoints are x, y and perhaps a visibility.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from streamanon.errors import ConfigError, ModelError
from streamanon.runtime.onnx_header import OnnxHeader, read_onnx_header

#: Names of classes that are taken without being asked for, and those of whole people, which are not.
FACE_CLASSES, BODY_CLASSES = ("face", "faces"), ("person", "people", "pedestrian", "human", "body")
#: Keypoints of a face as this project knows them; other numbers of keypoints are left unread.
KEYPOINTS = 5
#: Numbers before the scores of a cell, and before the keypoints of a selected detection.
BOX_NUMBERS, SELECTED_NUMBERS = 4, 6
#: Side of the largest grid cells, px; free sides of an input are multiples of it. Published models: 64.
MOST_STRIDE = 256
#: What a user does about a model that is no face detector.
REMEDY = "give the ONNX export of a YOLO detection or pose model that finds faces"
_TASKS = {"segment": "segmentation", "classify": "classification", "obb": "oriented boxes"}


@dataclass(frozen=True)
class ModelFacts:
    """An export's metadata. ``size``: (width, height) px of the input, None where it is free, then
    in multiples of ``stride``. ``keypoints``: number and numbers each, (0, 0) without any.
    ``selected``: the layout of the output, see above.
    """

    task: str
    names: dict[int, str]
    size: tuple[int, int] | None
    stride: int
    keypoints: tuple[int, int]
    selected: bool

    @property
    def has_keypoints(self) -> bool:
        """Whether they are the five of a face."""
        return self.keypoints[0] == KEYPOINTS

    @property
    def width(self) -> int:
        """How many numbers the output holds for each detection."""
        fixed = SELECTED_NUMBERS if self.selected else BOX_NUMBERS + len(self.names)
        return fixed + self.keypoints[0] * self.keypoints[1]


def read_facts(path: Path) -> ModelFacts:
    """The facts of a model file. Raises :class:`ModelError`, with the reason and a remedy, for one that
    cannot be used.
    """
    header, name = read_onnx_header(path), path.name
    if header.external:
        raise ModelError(f"{name} keeps its weights in another file: export it again as one file")
    task = header.metadata.get("task")
    if task is None or "names" not in header.metadata:
        raise ModelError(f"{name} has no metadata of an ultralytics export: {REMEDY}")
    if task not in ("detect", "pose"):
        raise ModelError(f"{name} is for {_TASKS.get(task, task)}, not for finding faces: {REMEDY}")
    described = f"{header.metadata.get('head', '')} {header.metadata.get('description', '')}".lower()
    if "rtdetr" in described or "rt-detr" in described:
        raise ModelError(f"{name} is an RT-DETR, whose output has another layout: {REMEDY}")
    try:
        names = {int(k): _printable(v) for k, v in dict(_literal(header, "names", {})).items()}
        points, each = map(int, _literal(header, "kpt_shape", (0, 0))) if task == "pose" else (0, 0)
        stride, args = int(_literal(header, "stride", 32)), dict(_literal(header, "args", {}))
        by_flag = bool(args.get("nms")) or bool(_literal(header, "end2end", False))
    except (ValueError, TypeError, SyntaxError, OverflowError, MemoryError, RecursionError) as error:
        raise ModelError(f"{name} has metadata that cannot be read: export it again") from error
    if sorted(names) != list(range(len(names))) or not names or not 1 <= stride <= MOST_STRIDE:
        raise ModelError(f"{name} has metadata that cannot be read: export it again")
    if (task == "pose") != (points > 0 and each in (2, 3)):
        raise ModelError(f"{name} has keypoints of a kind that is not known: {REMEDY}")
    facts = ModelFacts(task, names, _input_size(header, name), max(32, stride), (points, each), by_flag)
    return _with_layout(facts, header, name)


def _printable(name: object) -> str:
    """A class's name without what could steer the terminal that it is printed on."""
    return "".join(letter for letter in str(name) if letter.isprintable())


def _literal(header: OnnxHeader, key: str, default: Any) -> Any:
    """Metadata are Python's own notation, as text."""
    return ast.literal_eval(header.metadata[key]) if key in header.metadata else default


def _input_size(header: OnnxHeader, name: str) -> tuple[int, int] | None:
    if len(header.inputs) != 1 or len(header.outputs) != 1:
        raise ModelError(
            f"{name} has {len(header.inputs)} inputs and {len(header.outputs)} outputs instead of one each:"
            f" {REMEDY}"
        )
    port = header.inputs[0]
    for one in (port, header.outputs[0]):
        if one.element != "float32":
            raise ModelError(
                f"{name} has {one.element} numbers for {one.name} and not float32: export it again without"
                " half"
            )
    if len(port.shape) != 4 or port.shape[1] not in (3, None):
        raise ModelError(f"{name} does not take pictures of three colours: {REMEDY}")
    batch, _, height, width = port.shape
    if batch not in (1, None):
        raise ModelError(f"{name} takes {batch} pictures at once: export it again with batch=1")
    if height is None and width is None:
        return None
    if height is None or width is None:
        raise ModelError(f"{name} leaves one side of its input free: export it again with dynamic=True")
    return width, height


def _with_layout(facts: ModelFacts, header: OnnxHeader, name: str) -> ModelFacts:
    """The facts with the layout of the output, by what the exporter noted, else by its shape: older ones
    note nothing.
    """
    shape = header.outputs[0].shape
    if len(shape) != 3:
        raise ModelError(f"{name} has an output of {len(shape)} dimensions and not 3: {REMEDY}")
    cells, selected = replace(facts, selected=False), replace(facts, selected=True)
    if not facts.selected and shape[1] != cells.width and shape[2] == selected.width:
        facts = selected
    found = shape[2] if facts.selected else shape[1]
    if found not in (facts.width, None):
        raise ModelError(
            f"{name} gives {found} numbers a face where its metadata ask for {facts.width}: {REMEDY}"
        )
    return facts


def pick_classes(facts: ModelFacts, wanted: Sequence[str | int], name: str) -> list[int]:
    """The numbers of the classes that count as faces: the ``wanted`` ones, by name or number, else the one
    called face, else the only one. Raises :class:`ConfigError`.
    """
    known = ", ".join(f"{number} {label}" for number, label in facts.names.items())
    by_name = {label.strip().lower(): number for number, label in facts.names.items()}
    if wanted:
        numbers = [one if isinstance(one, int) else by_name.get(one.strip().lower(), -1) for one in wanted]
        for one, number in zip(wanted, numbers, strict=True):
            if number not in facts.names:
                raise ConfigError(f"{name} has no class {one}; it has {_short(known)}: set detect.classes")
        return sorted(set(numbers))
    faces = [by_name[label] for label in FACE_CLASSES if label in by_name]
    if faces:
        return faces
    if len(facts.names) == 1 and facts.names[0].strip().lower() not in BODY_CLASSES:
        return [0]
    raise ConfigError(
        f"{name} has no class called face; it has {_short(known)}: name those that are faces in"
        " detect.classes, or give a face model"
    )


def _short(text: str, most: int = 120) -> str:
    return text if len(text) <= most else f"{text[:most].rpartition(', ')[0]} and more"

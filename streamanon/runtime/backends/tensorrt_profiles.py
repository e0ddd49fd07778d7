"""The shapes that a plan is built for. TensorRT tunes each profile for its best shape, and runs all shapes
between its least and its most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streamanon.runtime.backends.shape_cache import Shapes
from streamanon.runtime.onnx_header import Port

#: Faces a batch: the generator takes 8, 4, 2 or 1, the verifier 4 or 1, the mesh up to 4 (8 eyes).
BATCHES = (1, 4, 8)
#: Height and width of the detector's input for 16:9 pictures, by ``detect.size``: those of
#: ``detect/tiling.LONG_SIDES``, and the coarse one. Each is built upright and turned by a quarter.
VIEW_SIDES = ((128, 224), (224, 384), (320, 576), (576, 1024))
#: All other views, tiles and close-ups: from the network's grid to the largest square.
VIEW_RANGE = ((32, 32), (576, 1024), (1024, 1024))
#: Of pictures, in whose models they may be free.
COLOURS = 3
#: Of inputs whose sides are fixed.
NO_SIDES = ((), (), ())


class Range(NamedTuple):
    """Shapes of one input, each at least ``least`` and at most ``most``; ``best`` is tuned for."""

    least: tuple[int, ...]
    best: tuple[int, ...]
    most: tuple[int, ...]


Profile = tuple[Range, ...]  # one range an input


def profiles_of(inputs: Sequence[Port]) -> tuple[Profile, ...]:
    """The profiles of a model, the tightest first: by batch, and by picture size where that is free. The
    sides of a picture are free for a detector, whose batch is one.
    """
    if any(None in port.shape[1:] for port in inputs):
        exact = [(sides, sides, sides) for one in VIEW_SIDES for sides in (one, one[::-1])]
        return tuple(
            tuple(_range(port.shape, (1, 1, 1), sides) for port in inputs) for sides in (*exact, VIEW_RANGE)
        )
    batches = BATCHES if any(port.shape[0] is None for port in inputs) else BATCHES[:1]
    return tuple(tuple(_range(port.shape, (1, most, most)) for port in inputs) for most in batches)


def exactly(shapes: Shapes) -> tuple[Profile, ...]:
    """One profile, for these shapes alone."""
    return (tuple(Range(shape, shape, shape) for shape in shapes),)


def fitting(profiles: Sequence[Profile], shapes: Shapes) -> int | None:
    """Number of the first profile that takes the shapes; None if none does."""
    for number, profile in enumerate(profiles):
        if len(profile) == len(shapes) and all(map(_takes, profile, shapes)):
            return number
    return None


def _takes(limits: Range, shape: tuple[int, ...]) -> bool:
    return len(shape) == len(limits.least) and all(
        low <= length <= high for low, length, high in zip(limits.least, shape, limits.most, strict=True)
    )


def _range(
    shape: tuple[int | None, ...], batches: tuple[int, ...], sides: tuple[tuple[int, ...], ...] = NO_SIDES
) -> Range:
    """``shape`` with its free lengths filled in: batch, the three colours of a picture, and its sides."""
    least, best, most = (
        tuple(
            length if length is not None else (batch, COLOURS, *side)[axis]
            for axis, length in enumerate(shape)
        )
        for batch, side in zip(batches, sides, strict=True)
    )
    return Range(least, best, most)

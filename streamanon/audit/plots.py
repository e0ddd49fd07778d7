"""The report's plots, as SVG in data addresses: drawn by matplotlib without its global state."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from streamanon.audit.result import Reidentification, SizeBin, TrackResult

COVERED, LEAKED, OWN, OTHERS = "#4c9a6a", "#c8322b", "#c8322b", "#7a8a99"
#: Above the plot, where it hides nothing.
LEGEND: dict[str, Any] = {
    "loc": "lower left",
    "bbox_to_anchor": (0, 1),
    "ncols": 2,
    "fontsize": 8,
    "frameon": False,
}
ROW_INCHES = 0.22
LONGEST_TIMELINE = 60


def timeline(tracks: Sequence[TrackResult]) -> str:
    """Who is in view when, with leaks marked; the tracks with leaks and the longest ones first."""
    order = sorted(tracks, key=lambda track: (-track.seen, -track.face_frames))[:LONGEST_TIMELINE]
    order.sort(key=lambda track: track.spells[0].start if track.spells else 0.0)
    figure = Figure(figsize=(9, 0.8 + ROW_INCHES * max(1, len(order))), layout="constrained")
    axes = figure.subplots()
    for row, track in enumerate(order):
        for spells, colour in ((track.spells, COVERED), (track.leaks, LEAKED)):
            bars = [(spell.start, spell.end - spell.start) for spell in spells]
            axes.broken_barh(bars, (row - 0.4, 0.8), facecolors=colour)
    axes.set_xlabel("seconds")
    axes.set_yticks(range(len(order)), [f"person {track.track}" for track in order], fontsize=7)
    axes.set_ylim(len(order) - 0.5 if order else 0.5, -0.5)
    return _svg(figure)


def sizes(bins: Sequence[SizeBin]) -> str:
    """Faces by size, and how many of each can be seen."""
    figure = Figure(figsize=(9, 2.4), layout="constrained")
    axes = figure.subplots()
    names = [f"{one.low}–{one.high} px" if one.high else f"{one.low} px and more" for one in bins]
    counts = [one.face_frames for one in bins]
    axes.bar(names, [one.face_frames - one.seen for one in bins], color=COVERED, label="covered")
    axes.bar(
        names,
        [one.seen for one in bins],
        bottom=[one.face_frames - one.seen for one in bins],
        color=LEAKED,
        label="visible",
    )
    for place, one in enumerate(bins):
        text = f"{one.seen} of {one.face_frames}" if one.face_frames else "none"
        axes.annotate(text, (place, one.face_frames), ha="center", va="bottom", fontsize=8)
    axes.set_ylim(0, 1.2 * max([1, *counts]))
    axes.set_ylabel("faces")
    axes.legend(**LEGEND)
    return _svg(figure)


def similarities(one: Reidentification) -> str:
    """How alike output and original are, beside how alike different people are."""
    figure = Figure(figsize=(9, 2.4), layout="constrained")
    axes = figure.subplots()
    values = [*one.genuine, *one.impostor, one.threshold]
    edges = np.linspace(min(values) - 0.02, max(values) + 0.02, 41)
    pairs = (
        (one.impostor, OTHERS, "different people of the original"),
        (one.genuine, OWN, "person and output face"),
    )
    for similar, colour, label in pairs:
        if similar:
            weights = np.full(len(similar), 100 / len(similar))
            axes.hist(similar, list(edges), weights=list(weights), color=colour, alpha=0.6, label=label)
    axes.axvline(one.threshold, color="black", linewidth=1, linestyle="--")
    axes.annotate(" same person →", (one.threshold, 0.9), xycoords=("data", "axes fraction"), fontsize=8)
    axes.set_xlabel("similarity")
    axes.set_ylabel("% of pairs")
    if one.genuine or one.impostor:
        axes.legend(**LEGEND)
    return _svg(figure)


def _svg(figure: Figure) -> str:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "streamanon"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()

"""A plot of a benchmark's result: frames a second by picture size and number of faces."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from streamanon.bench.clips import RATE
from streamanon.bench.result import Result
from streamanon.errors import ConfigError, SinkError


def check_plot(path: Path) -> None:
    """Raises :class:`ConfigError` where no plot can be drawn, before any work."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("--plot needs matplotlib: pip install matplotlib")
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"--plot writes png, svg or pdf, not {path.name}")


def draw(result: Result, path: Path) -> None:
    """One line a number of faces, by the method synthesize and the first backend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cases = [case for case in result["cases"] if "error" not in case and case["method"] == "synthesize"]
    first = cases[0]["backend"] if cases else ""
    cases = [case for case in cases if case["backend"] == first and case["precision"] == "auto"]
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for faces in sorted({case["faces"] for case in cases}):
        points = sorted((c["width"] * c["height"] / 1e6, c) for c in cases if c["faces"] == faces)
        axes.plot(
            [pixels for pixels, _ in points],
            [case["frames_per_second"] for _, case in points],
            marker="o",
            label=f"{faces} faces",
        )
    axes.axhline(RATE, color="grey", linewidth=0.8, linestyle="--")
    axes.set(xscale="log", yscale="log", xlabel="megapixels", ylabel="frames/s")
    axes.set_title(f"{result['machine']['processor']}, {first}, profile {result['profile']}", fontsize=9)
    axes.legend()
    try:
        figure.savefig(str(path))
    except OSError as error:
        raise SinkError(f"cannot write the plot {path}: {error.strerror}; check the folder") from error

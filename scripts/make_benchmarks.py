"""The page ``docs/benchmarks.md``, made from the results of ``streamanon bench --json`` in the repository.

::

    python scripts/make_benchmarks.py
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from streamanon.bench.result import Result, read_result, table, tables, was_busy

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "bench"
PAGE = ROOT / "docs" / "benchmarks.md"
#: Machines that the page has a row for, whether or not there is a result, and the file of each.
MACHINES = {
    "2 CPU cores, x86-64 with AVX2": "cpu",
    "Jetson Orin Nano": "orin-nano",
    "GeForce RTX 4060": "rtx-4060",
    "L4": "l4",
    "H100": "h100",
}
_NOTE = "<!-- Made by python scripts/make_benchmarks.py; do not edit. -->"
_ABOUT = """\
`streamanon bench --json benchmarks/results/bench/NAME.json` on a machine, then `python
scripts/make_benchmarks.py`. An empty row is a machine that nobody has measured; nothing here is
estimated. What the columns mean: synthetic people side by side, decode to encode, median of three
rounds (slowest and fastest; fewer where they take over half a minute), processor time of all cores;
every output is checked before it is timed (all frames, all faces covered by the method named, the rest
of the picture unchanged), and deface's as well (all frames, all faces changed). A result of `--quick`
is one short clip, timed once, beside deface three times: it shows that all of it runs, and has no row.
What a GPU could do at best, on paper: [roofline](roofline.md)."""
_USUAL = (1920, 1080, 4, "synthesize", "auto")


def page(results: dict[str, Result]) -> str:
    """``results`` by the name of their file."""
    names = [*MACHINES.values(), *(name for name in results if name not in MACHINES.values())]
    titles = {file: title for title, file in MACHINES.items()}
    titles |= {name: f"{name}, --quick" for name, result in results.items() if result.get("quick")}
    head = (
        "machine",
        "1920×1080, 4 faces, frames/s",
        "streams at 25 frames/s",
        "first frame, s",
        "measured",
    )
    rows = [
        head,
        *(
            _row(titles.get(name, name), results.get(name))
            for name in names
            if not results.get(name, {}).get("quick")
        ),
    ]
    parts = ["# Benchmarks", _NOTE, _ABOUT, table(rows)]
    for name in names:
        if name in results:
            parts += [f"## {titles.get(name, name)}", tables(results[name])]
    return "\n\n".join(parts) + "\n"


def _row(title: str, result: Result | None) -> tuple[str, ...]:
    case = next((one for one in (result or {}).get("cases", ()) if _is_usual(one)), None)
    if result is None or case is None:
        return title, "", "", "", ""
    streams = [
        row["streams"] for row in result["streams"] if row["rate"] == 25 and row["width"] == _USUAL[0]
    ]
    return (
        title,
        f"{case['frames_per_second']} ({case['backend']})",
        str(streams[0]) if streams else "",
        str(case["first_frame_seconds"]),
        result["made"] + (", busy with other work" if was_busy(result) else ""),
    )


def _is_usual(case: dict[str, object]) -> bool:
    keys = ("width", "height", "faces", "method", "precision")
    return tuple(case[key] for key in keys) == _USUAL and "error" not in case


def read_results(folder: Path) -> dict[str, Result]:
    return {path.stem: read_result(path) for path in sorted(folder.glob("*.json"))}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PAGE)
    args = parser.parse_args(arguments)
    args.out.write_text(page(read_results(RESULTS)), encoding="utf-8")


if __name__ == "__main__":
    main()

"""``docs/benchmarks.md`` is what the results in the repository say."""

from __future__ import annotations

from typing import Any

from make_benchmarks import MACHINES, PAGE, RESULTS, page, read_results


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(read_results(RESULTS))


def test_a_machine_without_a_result_has_an_empty_row() -> None:
    rows = page({}).splitlines()
    for title in MACHINES:
        assert f"| {title} |  |  |  |  |" in rows


def test_a_result_fills_its_row() -> None:
    case: dict[str, Any] = {
        "width": 1920, "height": 1080, "faces": 4, "method": "synthesize", "precision": "auto",
        "backend": "tensorrt", "frames_per_second": 90.0, "rounds": [90.0], "first_frame_seconds": 3.0,
        "peak_memory_mb": 900, "gpu": None, "stages_ms": {},
    }  # fmt: skip
    result: dict[str, Any] = {
        "made": "2026-01-01", "profile": "livestream", "backends": [], "cases": [case], "networks": [],
        "streams": [case | {"rate": 25, "streams": 3}], "deface": [], "versions": {"streamanon": "1"},
        "machine": {
            "board": None, "processor": "a CPU", "cores": 2, "memory_gb": 8, "gpu": None, "system": "",
        },
    }  # fmt: skip
    assert "| L4 | 90.0 (tensorrt) | 3 | 3.0 | 2026-01-01 |" in page({"l4": result}).splitlines()
    busy = page({"l4": result | {"load": 8.0}}).splitlines()
    assert "| L4 | 90.0 (tensorrt) | 3 | 3.0 | 2026-01-01, busy with other work |" in busy
    quick = page({"cpu-quick": result | {"quick": True}}).splitlines()
    assert "## cpu-quick, --quick" in quick
    assert not any(line.startswith("| cpu-quick") for line in quick)


def test_there_is_a_result_and_its_outputs_were_verified() -> None:
    result = read_results(RESULTS)["cpu-quick"]
    assert [case["verified"]["by_method"]["synthesize"] for case in result["cases"]] == [20, 20]
    assert set(result["deface"][0]["frames_per_second"]) == {"streamanon", "deface"}

"""What to check in a report of ``streamanon run … --report report.json``:
``python examples/read_report.py report.json``. Exit code 1 where somebody should look at the output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(path: str) -> int:
    report = json.loads(Path(path).read_text(encoding="utf-8"))
    frames, faces = report["frames"], report["face_frames"]
    print(f"{frames['out']} of {frames['in']} frames written, {faces['all']} face-frames covered")
    for method, count in faces["by_method"].items():
        print(f"  {method}: {count}")
    concerns = [f"{count} times: {cause}" for cause, count in report["faults"].items()]
    if frames["withheld"]:
        concerns.append(f"{frames['withheld']} frames are covered whole, as detection failed on them")
    if faces["left_visible"]:
        concerns.append(f"{faces['left_visible']} face-frames were left visible on request")
    if report["interrupted"]:
        concerns.append("the run was interrupted: the output ends early")
    for concern in concerns:
        print(f"check: {concern}")
    return 1 if concerns else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

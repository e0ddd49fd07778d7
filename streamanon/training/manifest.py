"""Write the digests of the files in ``engines/`` into its manifest; the rest of an entry is kept.

python -m streamanon.training.manifest --engines engines
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from streamanon.runtime.models import MANIFEST, digest


def refresh(folder: Path) -> None:
    path = folder / MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for entry in manifest["models"].values():
        entry["sha256"] = digest(folder / entry["file"])
    path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", type=Path, default=Path("engines"))
    refresh(parser.parse_args().engines)


if __name__ == "__main__":
    main()

"""How well people are hidden, as papers tabulate it: each method on a folder of people's photos.

    pip install '.[audit,bench]' && python -m benchmarks.identity.identities DIR [--out RESULTS]

``DIR`` is laid out as Labeled Faces in the Wild: ``person/photo.jpg``. Measured are the photos as they are,
deface's blur, and streamanon's mosaic and generated faces, each by the same judge and recognisers. A
method may be followed by settings: ``--methods none synthesize,epsilon=0 synthesize,geometry=1``.

``--painted`` paints each face where it was measured, without searching the photo again; with ``--seed``
each photo's draw is then the same in every run. So choices of delegates are compared.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.identity.painted import painted
from streamanon.api import Anonymizer
from streamanon.audit.gallery import find_photos
from streamanon.audit.identities import (
    Cover,
    IdentityResult,
    audit_identities,
    covers_from,
    read_originals,
    table,
)
from streamanon.audit.judges import OwnJudge
from streamanon.audit.pairing import Image
from streamanon.audit.recognisers import open_recognisers
from streamanon.config import ComputeConfig, load_config
from streamanon.mesh.face_mesh import FaceMesh
from streamanon.runtime.backends import open_backend
from streamanon.runtime.models import Engines

DEFACE_BATCH = 200


def defaced(program: str, folder: Path, target: Path) -> Cover:
    """All photos through the deface program; it writes beside its input, so that it gets a copy."""
    copies = []
    for path in find_photos(folder):
        copy = target / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        copies.append(copy)
    for start in range(0, len(copies), DEFACE_BATCH):
        batch = copies[start : start + DEFACE_BATCH]
        subprocess.run([program, *map(str, batch)], check=True, capture_output=True)
    for copy in copies:
        made = copy.with_name(f"{copy.stem}_anonymized{copy.suffix}")
        made.replace(copy)
    return covers_from(folder, target)


def own(name: str, backend: str) -> Anonymizer:
    method, *changes = name.split(",")
    settings = [f"cover.method={method}", f"compute.backend={backend}"]  # no seed: each photo draws anew
    settings += [f"identity.{change}" for change in changes]
    return Anonymizer(load_config(None, settings))


def as_is(image: Image, _path: Path) -> Image:
    return image


def searched(anonymizer: Anonymizer) -> Cover:
    return lambda image, _path: anonymizer.image(image)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--deface", default="deface", help="the deface program")
    parser.add_argument("--methods", nargs="+", default=["none", "deface", "mosaic", "synthesize"])
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--painted", action="store_true", help="do not search the photos again")
    parser.add_argument(
        "--seed", type=int, help="of the draws of --painted; by default each run draws anew"
    )
    parser.add_argument("--out", type=Path, help="write results as JSON and Markdown beside this name")
    args = parser.parse_args()
    compute = ComputeConfig(backend=args.backend)
    judge, recognisers = OwnJudge(compute), open_recognisers(compute, [])
    mesh = FaceMesh(open_backend(compute), Engines.open())
    originals, skipped = read_originals(args.folder, judge, recognisers, mesh)
    results: list[IdentityResult] = []
    with tempfile.TemporaryDirectory() as name:
        for method in args.methods:
            if method == "deface":
                cover = defaced(args.deface, args.folder, Path(name))
            elif method == "none":
                cover = as_is
            else:
                used = own(method, args.backend)
                quick = args.painted and used.parts is not None
                cover = painted(used, originals, args.seed) if quick else searched(used)
            tools = (judge, recognisers, mesh)
            results.append(audit_identities(originals, skipped, method, cover, *tools))
            print("\n".join(table(results)), flush=True)
            if args.out:
                write(args.out, results)


def write(out: Path, results: list[IdentityResult]) -> None:
    first = results[0]
    facts = f"{first.photos} photos of {first.people} people."
    out.with_suffix(".md").write_text("\n".join([*table(results), "", facts]) + "\n")
    out.with_suffix(".json").write_text(json.dumps([one.as_dict() for one in results], indent=1) + "\n")


if __name__ == "__main__":
    main()

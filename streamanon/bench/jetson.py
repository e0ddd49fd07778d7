"""The power rails of a Jetson, as its INA3221 sensors tell them in the file system; nothing elsewhere.
https://docs.kernel.org/hwmon/ina3221.html

Read as documented, and tested with files that look like those; not on a Jetson yet.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

#: Where the sensors' drivers are: JetPack 5 and later; and 4.
DRIVERS = Path("/sys/bus/i2c/drivers")
#: Rails that feed the whole module, by board.
WHOLE = ("VDD_IN", "POM_5V_IN", "5V_IN")
#: A channel without a rail is called so.
UNUSED = "NC"


def open_rails(drivers: Path = DRIVERS) -> dict[str, Callable[[], float]]:
    """What reads the watts of each rail, by the rail's name."""
    rails: dict[str, Callable[[], float]] = {}
    for label in sorted(drivers.glob("ina3221/*/hwmon/hwmon*/in[123]_label")):
        number = label.name[2]
        volts, amperes = label.parent / f"in{number}_input", label.parent / f"curr{number}_input"
        rails[_text(label)] = partial(_product, volts, amperes)
    for label in sorted(drivers.glob("ina3221x/*/iio:device*/rail_name_[012]")):
        watts = label.parent / f"in_power{label.name[-1]}_input"
        rails[_text(label)] = partial(_product, watts)
    return {name: read for name, read in rails.items() if name not in ("", UNUSED)}


def read_rails(rails: dict[str, Callable[[], float]]) -> dict[str, float]:
    """The watts of each rail now, as ``watts NAME``, and of the whole module, ``watts``, where a rail feeds
    all of it. A rail that cannot be read is left out.
    """
    sample = {}
    for name, read in rails.items():
        try:
            sample[f"watts {name}"] = read()
        except (OSError, ValueError):
            continue
        if name in WHOLE:
            sample["watts"] = sample[f"watts {name}"]
    return sample


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _product(*files: Path) -> float:
    """Of what files hold in millivolts and milliamperes, or in milliwatts: watts."""
    return math.prod(int(file.read_text(encoding="utf-8")) / 1000 for file in files)

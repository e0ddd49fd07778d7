"""What a privacy budget does to the delegate's fit: the table in docs/method.md.

    python -m benchmarks.identity.delegate_choice

Expected values, without drawing, over 600 made-up people spread evenly over sex presentation, 18 to 65
years and a skin tone of -40 to 60 degrees (individual typology angle).
"""

from __future__ import annotations

import argparse

import numpy as np

from streamanon.gallery.delegates import open_gallery
from streamanon.identity.exponential_mechanism import (
    Attributes,
    Traits,
    attributes_of,
    distances,
    probabilities,
)
from streamanon.runtime.models import Engines

EPSILONS = (0, 1, 2, 4, 6, 8, 12)
PEOPLE = 600


def people() -> list[Traits]:
    rng = np.random.default_rng(0)
    made = []
    for _ in range(PEOPLE):
        masculine = abs(float(rng.random() < 0.5) - rng.beta(1, 12))
        made.append(Traits(masculine, rng.uniform(18, 65), rng.uniform(-40, 60)))
    return made


def row(epsilon: float, persons: list[Traits], delegates: Attributes) -> str:
    facts = []
    for person in persons:
        chances = probabilities(distances(person, delegates), epsilon)
        other = (delegates.masculine > 0.5) != (person.masculine > 0.5)
        years = np.abs(delegates.age - person.age)
        degrees = np.abs(delegates.tone - person.tone)
        facts.append([chances[other].sum(), chances @ years, chances @ degrees, 1 / (chances**2).sum()])
    sex, age, tone, _ = np.mean(facts, axis=0)
    number = np.median([fact[3] for fact in facts])
    return f"| {epsilon} | {100 * sex:.1f} % | {age:.0f} y | {tone:.0f}° | {number:.0f} |"


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    delegates, persons = attributes_of(open_gallery(Engines.open())), people()
    print("| ε | another sex presentation | age difference | tone difference | effective number |")
    print("|---|---|---|---|---|")
    for epsilon in EPSILONS:
        print(row(epsilon, persons, delegates))


if __name__ == "__main__":
    main()

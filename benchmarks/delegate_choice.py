"""What a privacy budget does to the delegate's fit: the table in docs/method.md.

    python benchmarks/delegate_choice.py

Expected values, without drawing, over 600 made-up people spread evenly over sex presentation, 18 to 65
years and a skin luma of 70 to 190.
"""

from __future__ import annotations

import numpy as np

from streamanon.engines import Engines
from streamanon.identity.choice import Attributes, attributes_of, probabilities, traits_of, utilities
from streamanon.identity.delegates import open_gallery
from streamanon.mesh import Measurement
from streamanon.types import Geometry

EPSILONS = (0, 4, 8, 12, 16)
PEOPLE = 600


def people() -> list[Measurement]:
    rng = np.random.default_rng(0)
    made = []
    for _ in range(PEOPLE):
        masculine = abs(float(rng.random() < 0.5) - rng.beta(1, 12))
        geometry = Geometry(np.zeros((478, 3), np.float32), 0.9, masculine, rng.uniform(18, 65))
        skin = np.full(3, rng.uniform(70, 190), np.float32)
        made.append(Measurement(geometry, skin))
    return made


def row(epsilon: float, persons: list[Measurement], delegates: Attributes) -> str:
    facts = []
    for person in persons:
        chances = probabilities(utilities(traits_of(person), delegates), epsilon)
        other = (delegates.masculine > 0.5) != (person.geometry.masculine > 0.5)
        years = np.abs(delegates.age - person.geometry.age)
        levels = np.abs(delegates.tone - person.skin[0])
        facts.append([chances[other].sum(), chances @ years, chances @ levels, 1 / (chances**2).sum()])
    sex, age, tone, _ = np.mean(facts, axis=0)
    number = np.median([fact[3] for fact in facts])
    return f"| {epsilon} | {100 * sex:.0f} % | {age:.0f} y | {tone:.0f} | {number:.0f} |"


def main() -> None:
    delegates, persons = attributes_of(open_gallery(Engines.open()).delegates), people()
    print("| ε | another sex presentation | age difference | luma difference | effective number |")
    print("|---|---|---|---|---|")
    for epsilon in EPSILONS:
        print(row(epsilon, persons, delegates))


if __name__ == "__main__":
    main()

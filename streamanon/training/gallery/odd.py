"""Portraits that were looked at and left out: hair, hats or glasses on the face, marks, hard or coloured
light.
"""

_FAKER = (
    *(6, 15, 18, 19, 28, 29, 31, 34, 38, 44, 46, 47, 66, 77, 83, 91, 92, 95, 98, 100, 105, 106, 112, 116),
    *(20, 48, 50, 70, 75, 101, 117, 179, 185),
    *(121, 122, 153, 160, 169, 175, 180, 183, 193, 194, 195),
)
ODD = frozenset(f"faker_{number:04d}" for number in _FAKER)

#: Pairs (first, second) whose morph was looked at and left out.
ODD_PAIRS: frozenset[tuple[str, str]] = frozenset()

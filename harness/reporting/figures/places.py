"""A model's modules in a few groups, so that each has a colour of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

REST = "everything else"
SMALL = 0.02  # of the whole: what never holds more is of the rest

Curve = Sequence[int]


def grouped(places: Mapping[str, Curve], most: int) -> dict[str, list[int]]:
    """Return at most `most` groups of modules and the rest, if there is one; the sum stays.

    From the whole model downwards the largest group is taken apart, as long as no more than `most`
    of the pieces are worth a colour.

    Args:
        places: bytes at each point, by module's qualified name; empty: outside of modules.
        most: groups beside the rest.
    """
    whole = max(_sum(places.values()), default=0)
    groups = {"": [*places]}

    def size(names: Sequence[str]) -> int:
        return max(_sum(places[name] for name in names))

    def is_large(names: Sequence[str]) -> bool:
        return size(names) >= SMALL * whole

    while True:
        for name in sorted(groups, key=lambda name: -size(groups[name])):
            pieces = _apart(name, groups[name])
            new = {key: names for key, names in groups.items() if key != name} | pieces
            if len(groups[name]) > 1 and sum(map(is_large, new.values())) <= most:
                groups = new
                break
        else:
            break
    order = {place: number for number, place in enumerate(places)}
    large = {key: names for key, names in groups.items() if is_large(names) and key}
    found = {
        key: _sum(places[name] for name in large[key])
        for key in sorted(large, key=lambda key: min(order[name] for name in large[key]))
    }
    rest = [name for key, names in groups.items() if key not in large for name in names]
    return found | ({REST: _sum(places[name] for name in rest)} if rest else {})


def _apart(prefix: str, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the names by the next part of their path below `prefix`."""
    pieces: dict[str, list[str]] = {}
    for name in names:
        below = name.removeprefix(prefix).removeprefix(".") if prefix else name
        head = below.partition(".")[0]
        # What the module itself holds, beside what those in it do.
        key = (f"{prefix}.{head}" if prefix else head) if head else f"{prefix} itself"
        pieces.setdefault(key, []).append(name)
    return pieces


def _sum(curves: Iterable[Curve]) -> list[int]:
    return [sum(values) for values in zip(*curves, strict=True)]

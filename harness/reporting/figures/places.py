"""A model's modules in a few groups, so that each has a colour of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

OUTSIDE = "outside of modules"
REST = "everything else"
SMALL = 0.02  # of the whole: what never holds more is of the rest

Curve = Sequence[int]


def grouped(places: Mapping[str, Curve], most: int) -> dict[str, list[int]]:
    """Return at most `most` groups of modules, and the rest if there is one; the sum stays.

    From the whole model downwards the largest group is taken apart, as long as there are no more
    than `most` pieces that are worth a colour; small pieces beyond that stay together.

    Args:
        places: of at least one module, by qualified name (empty: outside of modules), bytes at each
            point.
        most: groups beside the rest.
    """
    groups = _taken_apart(places, most)
    order = {place: number for number, place in enumerate(places)}
    shown = sorted(
        (key for key, names in groups.items() if _is_large(places, names)),
        key=lambda key: min(order[name] for name in groups[key]),
    )
    found = {key: _sum(places[name] for name in groups[key]) for key in shown}
    rest = [name for key, names in groups.items() if key not in found for name in names]
    return found | ({REST: _sum(places[name] for name in rest)} if rest else {})


def _taken_apart(places: Mapping[str, Curve], most: int) -> dict[str, list[str]]:
    groups, whole = {"": [*places]}, set[str]()
    while True:
        sizes = {key: _size(places, names) for key, names in groups.items()}
        open_ = [key for key in groups if len(groups[key]) > 1 and key not in whole]
        if not open_:
            return groups
        key = max(open_, key=lambda key: sizes[key])
        others = {other: names for other, names in groups.items() if other != key}
        room = most - sum(_is_large(places, names) for names in others.values())
        pieces = _within(places, key, _apart(key, groups[key]), room)
        if pieces is None:
            whole.add(key)
        else:
            groups = others | pieces
            whole |= {piece for piece in pieces if piece.endswith(_TOGETHER)}


_TOGETHER = ", the rest"


def _within(
    places: Mapping[str, Curve], key: str, pieces: dict[str, list[str]], room: int
) -> dict[str, list[str]] | None:
    """Return the pieces, the least of the large ones together where there is no room for all.

    None where this would show no more than the whole does.
    """
    large = [piece for piece, names in pieces.items() if _is_large(places, names)]
    if len(large) <= room:
        return pieces
    if room < 3:
        return None
    large.sort(key=lambda piece: -_size(places, pieces[piece]))
    kept = set(large[: room - 1])
    together = [name for piece in large[room - 1 :] for name in pieces[piece]]
    small = {piece: names for piece, names in pieces.items() if piece not in large}
    return {piece: pieces[piece] for piece in kept} | small | {f"{key}{_TOGETHER}": together}


def _apart(prefix: str, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the names by the next part of their path below `prefix`."""
    pieces: dict[str, list[str]] = {}
    for name in names:
        head = name[len(prefix) :].removeprefix(".").partition(".")[0]
        if head:
            key = f"{prefix}.{head}" if prefix else head
        else:  # what the module itself holds, beside what those in it do
            key = f"{prefix} itself" if prefix else OUTSIDE
        pieces.setdefault(key, []).append(name)
    return pieces


def _is_large(places: Mapping[str, Curve], names: Sequence[str]) -> bool:
    return _size(places, names) >= SMALL * _size(places, [*places])


def _size(places: Mapping[str, Curve], names: Sequence[str]) -> int:
    """Return the most that these hold together at any point."""
    return max(_sum(places[name] for name in names), default=0)


def _sum(curves: Iterable[Curve]) -> list[int]:
    return [sum(values) for values in zip(*curves, strict=True)]

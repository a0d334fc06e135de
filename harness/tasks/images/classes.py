"""From labels as they are spelled to the numbers of classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.errors import UserError
from harness.tasks.images.collection import Parts
from methods.wording import nearest


def class_numbers(
    parts: Mapping[str, Iterable[str | int]], num_labels: int, names: Sequence[str], where: str
) -> dict[str | int, int]:
    """Return the class number of every label.

    Known class names, in any spelling of the same letters, have the numbers of their order, and
    numbers below `num_labels` are what they say. Where no names are known, other labels are
    numbered in their order, whole numbers by value, texts by letters.

    Args:
        parts: labels by part; the first part is trained on.
        num_labels: of the task.
        names: of its classes, in order; empty where they are not known.
        where: the source, for messages.

    Raises:
        UserError: there are more of them than classes, one is none of the known classes, or occurs
            in evaluation only.
    """
    first, *_ = parts
    labels = dict.fromkeys(label for part in parts.values() for label in part)
    known = {_letters(name): number for number, name in enumerate(names)}
    if all(_letters(label) in known for label in labels):
        return {label: known[_letters(label)] for label in labels}
    values = {label: _whole(label) for label in labels}
    if all(value is not None and 0 <= value < num_labels for value in values.values()):
        return {label: value for label, value in values.items() if value is not None}
    for label in labels if names else ():
        if _letters(label) not in known:
            raise UserError(f"{where}: label {label!r} is no class; {nearest(str(label), names)}")
    trained = set(parts[first])
    for name, part in parts.items():
        for label in part:
            if label not in trained:
                choice = nearest(str(label), [str(one) for one in trained])
                raise UserError(f"{where}: label {label!r} of {name} is not in {first}; {choice}")
    numbered = all(value is not None for value in values.values())
    order = sorted(labels, key=lambda label: (values[label] or 0 if numbered else 0, str(label)))
    if len(order) > num_labels:
        raise UserError(
            f"{where}: {len(order)} labels, such as {order[0]!r} and {order[-1]!r}, and the task "
            f"has {num_labels} classes"
        )
    return {label: number for number, label in enumerate(order)}


def labels_of(parts: Parts) -> dict[str, list[str | int]]:
    """Return the labels of each part."""
    return {name: [row.label for row in rows] for name, rows in parts.items()}


def _letters(label: str | int) -> str:
    return "".join(letter for letter in str(label).lower() if letter.isalnum())


def _whole(label: str | int) -> int | None:
    text = str(label)
    return int(text) if text.isascii() and text.isdigit() else None

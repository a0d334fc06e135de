"""An image set, from the hub or from local files: loaded, split and scored by top-1 accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from harness.tasks.base import DataRequest, Task, TaskData, fingerprint, limit_notes, limited
from harness.tasks.glue.splits import permutation
from harness.tasks.images.classes import class_numbers, labels_of
from harness.tasks.images.collection import TEST, TRAIN, Parts
from harness.tasks.images.row import ImageExample, Labelled
from harness.tasks.images.sources import local_parts
from harness.tasks.images.table import IMAGES, ImageSpec
from harness.tasks.images.tables import hub_parts
from harness.tasks.sources import folders
from harness.tasks.sources.hub import address

HELD_OUT = 10  # SAFE: one of so many training images is validation


class ImageTask(Task):
    """One image set."""

    family = "image"
    metrics = ("accuracy",)

    def __init__(self, name: str) -> None:
        self.name = name
        self._spec = IMAGES[name]
        self.description = self._spec.description
        self.num_labels = self._spec.num_labels
        self.label_names = self._spec.names

    def load(self, request: DataRequest) -> TaskData:
        """Read the images and split them by the protocol, then cut each part to the asked number.

        `safe`: a seeded tenth of the training images is validation, the official test set is test;
        the others: all images train, and the test set is selected on and reported.
        """
        if request.pair_column is not None:
            raise UserError(f"task {self.name}: pair_column {request.pair_column!r}: an image has "
                            "no second one")  # fmt: skip
        parts, source = self._read(request)
        train_name, test_name = _name(parts, TRAIN, source), _name(parts, self._tests(), source)
        used = {name: parts[name] for name in (train_name, test_name)}
        numbers = class_numbers(labels_of(used), self.num_labels, self.label_names, source)
        train, test = (
            [ImageExample(stored, numbers[label]) for stored, label in rows]
            for rows in used.values()
        )
        notes = self._notes(used, len(set(row.label for row in train)))
        evaluations = {"test": test}
        if request.protocol == "safe":
            train, validation = held_out(train)
            evaluations = {"validation": validation, **evaluations}
        train = limited(train, request.train_rows)
        evaluations = {
            name: limited(rows, request.evaluation_rows) for name, rows in evaluations.items()
        }
        return TaskData(
            train=train,
            evaluations=evaluations,
            select_on=next(iter(evaluations)),
            select_metric="accuracy",
            report_on=("test",),
            main_metric="accuracy",
            averaged=("accuracy",),
            source=source,
            fingerprint=fingerprint(train, evaluations),
            notes=(*notes, *limit_notes(request, train)),
        )

    def _read(self, request: DataRequest) -> tuple[Parts, str]:
        """Return the images by part, and where they come from."""
        spec, columns = self._spec, (request.text_column, request.label_column)
        if self.is_local(request):
            folder = find_folder(spec, request)
            return local_parts(folder, *columns, usual_label=spec.label), f"local {folder}"
        revision = request.revision or spec.revision
        parts = hub_parts(spec.repository, revision, columns, spec.label)
        return parts, address(spec.repository, revision)

    def _tests(self) -> Sequence[str]:
        return (self._spec.test, *TEST)

    def _notes(self, used: Parts, num_classes: int) -> list[str]:
        """Say which part is the test set, and where the images are not the official ones."""
        notes = [f"part {name} is the test set" for name in [*used][1:] if name != "test"]
        for (name, rows), official in zip(used.items(), self._spec.rows, strict=True):
            if len(rows) != official:
                notes.append(f"{name} has {len(rows):,} images, the whole set {official:,}")
        if num_classes != self.num_labels:
            notes.append(f"{num_classes} of {self.num_labels} classes occur")
        return notes


def held_out(rows: Sequence[ImageExample]) -> tuple[list[ImageExample], list[ImageExample]]:
    """Return what is left to train on, in its order, and a tenth of the rows, rounded.

    The permutation is that of SAFE's other held-out sets; the paper says neither seed nor order.

    Raises:
        UserError: there are too few rows to hold one out.
    """
    count = (len(rows) + HELD_OUT // 2) // HELD_OUT
    if not count:
        raise UserError(f"protocol safe holds out a tenth of the training images, of {len(rows)}")
    order = permutation(len(rows))
    return [rows[i] for i in sorted(order[count:])], [rows[i] for i in order[:count]]


def find_folder(spec: ImageSpec, request: DataRequest) -> Path:
    """Return the set's own folder or archive, or the one in `data_root` with a usual name.

    Raises:
        UserError: there is none, or several.
    """
    usual = {_plain(name) for name in (spec.name, spec.repository.rpartition("/")[2])}

    def is_usual(name: str) -> bool:
        return _plain(name).removesuffix("sample") in usual

    def lacking(there: Sequence[str]) -> str:
        return f"folder {spec.name} (there is: {', '.join(there) or 'nothing'})"

    return folders.find_folder(spec.name, request, is_usual, lacking, archives=True)


def _plain(name: str) -> str:
    """Return a folder's name without what is spelled in several ways."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _name(parts: dict[str, list[Labelled]], usual: Sequence[str], source: str) -> str:
    """Return which of the parts has one of these names, the first of them.

    Raises:
        UserError: none has.
    """
    for name in usual:
        if parts.get(name):
            return name
    raise UserError(
        f"{source}: no images of {' or '.join(dict.fromkeys(usual))}; there are "
        f"{', '.join(parts) or 'no parts'}"
    )

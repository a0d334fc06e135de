"""Own images with one class each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from harness.errors import UserError
from harness.tasks.images.collection import Parts
from harness.tasks.images.row import ImageExample
from harness.tasks.images.sources import local_parts
from harness.tasks.images.tables import hub_parts
from harness.tasks.own.cells import Cells
from harness.tasks.own.data import OwnData
from harness.tasks.own.one_label import OwnClassification
from harness.tasks.own.parts import Place
from harness.tasks.sources import Table
from harness.tasks.sources.folders import NAMES
from methods.wording import nearest


class OwnImages(OwnClassification):
    """A folder or a zip of images in any layout, or a data set of the hub."""

    family: ClassVar[str] = "image"
    roles: ClassVar[Mapping[str, str | None]] = {"image": "image", "label": "label"}

    def place(self, data: OwnData, root: Path | None, revision: str | None) -> Place:
        """Return where the images lie."""
        return ImagePlace(data, root, revision)

    def row(self, cells: Cells, classes: Mapping[str, int]) -> ImageExample:
        """Take over where the image lies, and make a number of the label."""
        return ImageExample(cells.value("image"), classes[cells.label()])


class ImagePlace(Place):
    """Images as tables of two columns: where each lies, and its label."""

    def train(self) -> list[Table]:
        """Return the training images; where the source knows of no parts, all of it.

        Raises:
            UserError: there are none, or they are not what they should be.
        """
        parts = self._parts()
        return [self._table(parts, self._name(parts, "train"))]

    def evaluation(self) -> list[Table] | None:
        """Return the part, or the other folder or zip, to evaluate on; None: a share is.

        Raises:
            UserError: as `train`; or nothing says which images they are.
        """
        chosen = self.data.eval
        if isinstance(chosen, float):
            return None
        if chosen is not None and chosen not in NAMES and self.data.config is None:
            other = local_parts(self._resolved(chosen), self.data.image, self.data.label)
            return [self._table(other, next(iter(other)))]
        parts = self._parts()
        if chosen is None:
            usual = [part for part in ("validation", "test") if self._found(parts, part)]
            if not usual:
                raise UserError(
                    f"{self.path}: no images to evaluate on among {', '.join(parts)}; eval names "
                    "a folder, or a share of the training images such as 0.1"
                )
            chosen = usual[0]
        return [self._table(parts, self._name(parts, chosen))]

    def test(self) -> list[Table]:
        """Return the part that is tested on where another one selects; empty: there is none.

        Raises:
            UserError: as `train`.
        """
        parts = self._parts()
        found = self._found(parts, "test")
        chosen = self.data.eval or ("validation" if self._found(parts, "validation") else "test")
        return [] if found is None or chosen == "test" else [self._table(parts, found)]

    def _parts(self) -> Parts:
        columns = (self.data.image, self.data.label)
        if self.data.config is None:
            return local_parts(self.path, *columns)
        config = None if self.data.config == "default" else self.data.config
        return hub_parts(self._repository, self.revision or "main", columns, config=config)

    def _found(self, parts: Parts, part: str) -> str | None:
        """Return what the source calls a part; None: it has none."""
        return next((name for name in NAMES[part] if parts.get(name)), None)

    def _name(self, parts: Parts, part: str) -> str:
        found = self._found(parts, part) if part in NAMES else part if part in parts else None
        if found is None:
            raise UserError(f"{self.path}: no part {part!r}; {nearest(part, parts)}")
        return found

    def _table(self, parts: Parts, name: str) -> Table:
        image, label = (self.data.columns[role] for role in ("image", "label"))
        rows = [{image: row.stored, label: row.label} for row in parts[name]]
        source = f"{self.path} {name}"
        return Table(source, (image, label), rows, range(1, len(rows) + 1), "image")

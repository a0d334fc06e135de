"""Images in the tables of the datasets library: of the hub, or Parquet files of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import hub as hugging_face
from harness.errors import UserError
from harness.tasks.images.collection import LABEL_COLUMNS, Parts
from harness.tasks.images.row import Labelled
from harness.tasks.images.stored import InTable, pillow_image
from harness.tasks.sources.hub import address
from harness.untrusted import said
from methods.wording import nearest

USUAL_LABELS = (*LABEL_COLUMNS, "labels", "cls")


def hub_parts(
    repository: str,
    revision: str,
    columns: tuple[str | None, str | None],
    usual_label: str = "label",
    config: str | None = None,
) -> Parts:
    """Return a repository's images by the names of its splits.

    Args:
        repository: on the hub.
        revision: branch, tag or commit.
        columns: those that the user names: of the image and of the label.
        usual_label: what the repository calls its label.
        config: of the data set; None: its only one.

    Raises:
        UserError: the hub cannot be reached, or its data are not as expected.
    """
    pillow_image()  # at once: without Pillow the library says less
    trouble = hugging_face.trouble()  # before datasets is imported, which notes it down
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    try:
        tables = load_dataset(repository, config, revision=revision)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        reason = f"{trouble}, and it is not in the cache" if trouble else _why(error)
        raise UserError(
            f"cannot load {repository}@{revision} from the hub ({reason}); "
            "without a network, give data_root or folder with local files"
        ) from error
    return _parts(tables, address(repository, revision), columns, (usual_label, *USUAL_LABELS))


def parquet_parts(
    folder: Path, columns: tuple[str | None, str | None], usual_label: str
) -> Parts | None:
    """Return the images of a folder's Parquet files by part; None where there are none.

    A file's name begins with its part, as on the hub: `train-00000-of-00002.parquet`.

    Raises:
        UserError: they cannot be read, or have no images.
    """
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        return None
    pillow_image()
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    by_part: dict[str, list[str]] = {}
    for file in files:
        by_part.setdefault(file.name.partition("-")[0].partition(".")[0], []).append(str(file))
    try:
        tables = load_dataset("parquet", data_files=by_part)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        raise UserError(f"{folder}: no readable Parquet: {_why(error)}") from error
    return _parts(tables, str(folder), columns, (usual_label, *USUAL_LABELS))


def _why(error: BaseException) -> str:
    """Return what the library says, or what it says it of."""
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {said(cause)}"


def _parts(
    tables: Any, source: str, columns: tuple[str | None, str | None], usual: Sequence[str]
) -> Parts:
    return {name: _labelled(table, f"{source} {name}", columns, usual)
            for name, table in tables.items()}  # fmt: skip


def _labelled(
    table: Any, where: str, columns: tuple[str | None, str | None], usual: Sequence[str]
) -> list[Labelled]:
    from datasets import Image

    image = _image_column(table, where, columns[0])
    label = _label_column(table, where, columns[1], usual)
    # The bytes as they are: decoded when a batch is made of them.
    table = table.cast_column(image, Image(decode=False))
    names = getattr(table.features[label], "names", None)
    labels = [_spelled(value, names, f"{where}, column {label!r}") for value in table[label][:]]
    return [Labelled(InTable(table, image, i, where), value) for i, value in enumerate(labels)]


def _image_column(table: Any, where: str, given: str | None) -> str:
    from datasets import Image

    if given is not None:
        if given in table.column_names:
            return given
        raise UserError(f"{where}: text_column {given!r}: {nearest(given, table.column_names)}")
    held: list[str] = [name for name, kind in table.features.items()
            if isinstance(kind, Image) or _holds_bytes(kind)]  # fmt: skip
    if len(held) != 1:
        raise UserError(
            f"{where}: {len(held)} columns of images among {', '.join(table.column_names)}; name "
            "the one with text_column"
        )
    return held[0]


def _holds_bytes(kind: Any) -> bool:
    """Tell what an image is where nobody told the library: a struct of bytes and path."""
    return isinstance(kind, dict) and set(kind) == {"bytes", "path"}


def _label_column(table: Any, where: str, given: str | None, usual: Sequence[str]) -> str:
    names = [given] if given is not None else list(usual)
    for name in names:
        if name in table.column_names:
            return name
    if given is not None:
        raise UserError(f"{where}: label_column {given!r}: {nearest(given, table.column_names)}")
    raise UserError(
        f"{where}: none of the columns {', '.join(dict.fromkeys(usual))} among "
        f"{', '.join(table.column_names)}; name the label's with label_column"
    )


def _spelled(value: Any, names: Sequence[str] | None, where: str) -> str | int:
    """Return a label: a number as one, also where it has a name, and a text."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise UserError(f"{where}: {value!r} is no class")
    if names is not None and isinstance(value, int) and not 0 <= value < len(names):
        raise UserError(f"{where}: {value} is no class of {len(names)}; the rows have no labels")
    return value

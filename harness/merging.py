"""Several run folders of one suite as one: what each machine of a sweep has done, together."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.run_files import Held, read_record
from harness.store import MANIFEST, Store

# What lies below a cell's path and key, in folders of their own.
PARTS = ("checkpoints", "exports")


@dataclass
class Merged:
    """What became of the cells.

    Attributes:
        taken: records by the folder that they come from.
        twice: cells that have results in several folders; the first one's is taken.
        left_out: records that cannot be read, and why.
        missing: cells of the suite without a record.
    """

    taken: Counter[str] = field(default_factory=Counter)
    twice: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    missing: int = 0


def merge(folders: Sequence[Path], out: Path) -> Merged:
    """Copy the records of run folders, with logs, checkpoints and exports, into one.

    Of a cell's records a final one counts before others, and then the first folder's. What lies in
    `out` already is one of them, the first: a merge can be made again when more has run. The folder
    is then as if one run had written it, and a run there goes on with what is missing.

    Raises:
        UserError: the folders are of different suites or settings, or one is in use.
    """
    sources, target = [Store(folder) for folder in folders], Store(out)
    for store in sources:
        holder = None if _is(store, target) else store.holder()
        if holder is not None:
            raise UserError(f"{store.folder} is in use by {holder}; wait for it")
    if (out / MANIFEST).exists() and not any(_is(store, target) for store in sources):
        sources = [target, *sources]
    manifests = [store.manifest() for store in sources]
    cells = _cells(sources, manifests)  # before anything is written
    with target.lock():
        return _merge(sources, manifests, cells, target)


def _is(one: Store, other: Store) -> bool:
    return one.folder.resolve() == other.folder.resolve()


def _cells(sources: Sequence[Store], manifests: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the keys of all cells by their paths, in the order of the folders.

    Raises:
        UserError: one cell has other settings in another folder, or the suites are different ones.
    """
    first: dict[str, tuple[str, Store]] = {}
    names = {str(manifest["suite"]["name"]): store.folder
             for store, manifest in zip(sources, manifests, strict=True)}  # fmt: skip
    if len(names) > 1:
        told = ", ".join(f"{name} in {folder}" for name, folder in names.items())
        raise UserError(f"the folders are of different suites: {told}; `headroom report` "
                        "takes several")  # fmt: skip
    for store, manifest in zip(sources, manifests, strict=True):
        for cell in manifest["cells"]:
            key, where = first.setdefault(cell["path"], (cell["key"], store))
            if key != cell["key"]:
                raise UserError(
                    f"{cell['path']} has other settings in {store.folder} than in "
                    f"{where.folder}; `headroom report` takes both"
                )
    return {path: key for path, (key, _) in first.items()}


def _merge(
    sources: Sequence[Store],
    manifests: Sequence[dict[str, Any]],
    cells: dict[str, str],
    target: Store,
) -> Merged:
    merged, chosen = Merged(), dict[tuple[str, str], tuple[bool, Store]]()
    for store in sources:
        held = store.held()
        merged.left_out += [f"{store.folder}: {one.path}: {one.reason}" for one in held.left_out]
        for place, final in _found(held):
            known = chosen.get(place)
            if known is None or (final and not known[0]):
                chosen[place] = final, store
            elif final and known[0] and not _same(store, known[1], place):
                merged.twice.append(place[0])
    for place, (_, store) in chosen.items():
        merged.taken[str(store.folder)] += 1
        if not _is(store, target):
            _copy(store.folder, target.folder, place)
    target.write_listing(manifests[0]["suite"], cells.items())
    merged.missing = sum((path, key) not in chosen for path, key in cells.items())
    return merged


def _found(held: Held) -> Iterator[tuple[tuple[str, str], bool]]:
    for record in held.records:
        yield (record.path, record.key), record.is_final


def _same(one: Store, other: Store, place: tuple[str, str]) -> bool:
    """Tell whether two folders have the same record, as after an earlier merge."""
    files = [store.folder / "records" / f"{place[0]}-{place[1]}.json" for store in (one, other)]
    return read_record(files[0], *place) == read_record(files[1], *place)


def _copy(source: Path, target: Path, place: tuple[str, str]) -> None:
    """Copy all that is a cell's; its record last, so that a cell with one is whole."""
    name = f"{place[0]}-{place[1]}"
    for part in PARTS:
        shutil.rmtree(target / part / name, ignore_errors=True)
        if (source / part / name).is_dir():
            shutil.copytree(source / part / name, target / part / name)
    for file in (Path("logs") / f"{name}.log", Path("records") / f"{name}.json"):
        if (source / file).is_file():
            draft = target / file.with_name(f".{file.name}.{os.getpid()}.tmp")
            draft.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / file, draft)
            draft.replace(target / file)

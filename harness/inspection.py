"""What is in a run folder, and what is wrong with it; nothing is changed.

Manifest and records are read as the report reads them, states as a run that goes on does.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from harness.durable import DRAFT, NEW
from harness.lock import LOCK, fate
from harness.record import FINAL_OUTCOMES, Record
from harness.run_files import CELL, Held, Place, read_manifest, read_record
from harness.store import MANIFEST, Store
from harness.sums import SAVED, SUMS, check_sums
from harness.units import mib
from harness.untrusted import WRONG, Unreadable, first_byte, said

LITTLE = 2**30  # bytes: less free space than this is told
RECORD = re.compile(rf"{CELL.pattern}\.json(?P<kept>\.unread-\d+)?")
STATE = re.compile(rf"{CELL.pattern}(?P<kind>/adapter|/model)?(?P<draft>{re.escape(NEW)})?")
UNFINISHED = "left unfinished"
PARTS = ("records", "checkpoints", "exports", "logs")

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """What there is to say of a file or a folder.

    Attributes:
        file: below the run folder.
        wrong: it cannot be read, or not be believed; else it is worth knowing.
    """

    file: str
    reason: str
    wrong: bool


@dataclass
class Inspection:
    """What is in a run folder.

    Attributes:
        suite: its name; None where the manifest cannot be read.
        cells: how many the manifest lists.
        outcomes: of listed cells, as far as their records can be read: how many have each.
        others: records of other cells that can be read: of settings that the suite had before.
        free_bytes: of the folder's disk.
        findings: what is wrong stands before what is noted.
    """

    folder: str
    suite: str | None = None
    cells: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    others: int = 0
    free_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        """How many findings are of what is wrong."""
        return sum(finding.wrong for finding in self.findings)


def is_run(folder: Path) -> bool:
    """Tell whether a folder holds anything of a run."""
    return any((folder / name).exists() for name in (MANIFEST, *PARTS))


def inspect(store: Store) -> Inspection:
    """Return what is in the store's folder."""
    return _Inspector(store).look()


class _Inspector:
    """Looks at one folder, part by part."""

    def __init__(self, store: Store) -> None:
        self.store, self.folder = store, store.folder
        self.found = Inspection(str(self.folder))
        self.listed: dict[Place, None] = {}  # in the manifest's order
        self.manifest: dict[str, Any] | None = None
        self.records: dict[Place, Record] = {}

    def look(self) -> Inspection:
        """Look at everything."""
        self._manifest()
        self._records()
        self._tables()
        self._checkpoints()
        self._exports()
        for file in self._files("logs"):
            self._reads(file, partial(first_byte, self.folder / file))
        self._surroundings()
        once = dict.fromkeys(self.found.findings)  # a folder may be looked at twice
        self.found.findings = sorted(once, key=lambda finding: not finding.wrong)
        return self.found

    def _say(self, file: str, reason: str, *, wrong: bool = False) -> None:
        self.found.findings.append(Finding(file, reason, wrong))

    def _reads(self, file: str, read: Callable[[], T], *, wrong: bool = True) -> T | None:
        """Return what is read; what is wrong with it is told, and makes None."""
        try:
            return read()
        except Unreadable as error:
            self._say(file, str(error).removeprefix(f"{self.folder / file}: "), wrong=wrong)
        except WRONG as error:
            self._say(file, said(error), wrong=wrong)
        return None

    def _walk(self, part: str = ".") -> Iterator[tuple[str, list[str]]]:
        """Yield each folder of a part, below the run folder, and its files."""

        def refused(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                self._say(os.path.relpath(error.filename, self.folder), said(error), wrong=True)

        for folder, folders, names in os.walk(self.folder / part, onerror=refused):
            folders.sort()
            yield os.path.relpath(folder, self.folder), sorted(names)

    def _files(self, part: str) -> Iterator[str]:
        """Yield the files of a part, but for drafts."""
        for folder, names in self._walk(part):
            yield from (f"{folder}/{name}" for name in names if not DRAFT.fullmatch(name))

    def _manifest(self) -> None:
        self.manifest = self._reads(MANIFEST, partial(read_manifest, self.folder / MANIFEST))
        if self.manifest is not None:
            cells = self.manifest["cells"]
            self.found.suite, self.found.cells = self.manifest["suite"]["name"], len(cells)
            self.listed = dict.fromkeys((cell["path"], cell["key"]) for cell in cells)

    def _records(self) -> None:
        """Read every record by the cell that its place names, those set aside as well."""
        listed = [f"records/{path}-{key}.json" for path, key in self.listed]
        for file in dict.fromkeys([*listed, *self._files("records")]):
            match = RECORD.fullmatch(file.removeprefix("records/"))
            if match is None:
                self._say(file, "no cell's record has this name", wrong=file.endswith(".json"))
                continue
            place = match["path"], match["key"]
            aside = match["kept"] is not None
            read = partial(read_record, self.folder / file, *place)
            record = self._reads(file, read, wrong=not aside)
            if record is not None and not aside:
                self.records[place] = record
        ours = [record for place, record in self.records.items() if place in self.listed]
        self.found.outcomes = dict(Counter(record.outcome for record in ours))
        self.found.others = len(self.records) - len(ours)

    def _tables(self) -> None:
        """Find the records that a report leaves out because no table can be made with them."""
        from harness.reporting.report import report_on

        for odd in report_on([Held(self.manifest, [*self.records.values()])]).left_out:
            self._say(f"records/{odd.path}-{odd.key}.json", odd.reason, wrong=True)

    def _checkpoints(self) -> None:
        for folder, match in self._states("checkpoints"):
            record = self.records.get((match["path"], match["key"]))
            unlisted = (match["path"], match["key"]) not in self.listed
            if match["draft"] and (self.folder / folder.removesuffix(NEW)).is_dir():
                self._say(folder, UNFINISHED)
            elif not self._reads(folder, partial(_check_state, self.folder / folder)):
                continue
            elif record is not None and record.outcome in FINAL_OUTCOMES:
                self._say(folder, "no cell waits for this checkpoint: its cell has a result")
            elif self.manifest is not None and unlisted:
                self._say(folder, "no cell waits for this checkpoint: the suite has none like it")

    def _exports(self) -> None:
        """Look at exports, and for those that a record speaks of."""
        for folder, match in self._states("exports"):
            if match["draft"]:
                self._say(folder, UNFINISHED)
            elif match["kind"]:
                self._reads(folder, partial(_check_state, self.folder / folder))
        for (path, key), record in self.records.items():
            export = record.export
            if export is not None and not (self.folder / export.folder).is_dir():
                self._say(export.folder, f"missing: records/{path}-{key}.json speaks of it")

    def _states(self, part: str) -> Iterator[tuple[str, re.Match[str]]]:
        """Yield the folders of a part that are a cell's, with their names taken apart."""
        for folder, _ in self._walk(part):
            match = STATE.fullmatch(folder.removeprefix(f"{part}/"))
            if match is not None:
                yield folder, match

    def _surroundings(self) -> None:
        """Look at what is beside the run's files: drafts, the lock, the disk."""
        for folder, names in self._walk():
            for name, match in ((name, DRAFT.fullmatch(name)) for name in names):
                if match is not None:
                    said_by = f"a draft of process {match[1]}, which {fate(int(match[1]))}"
                    self._say(os.path.normpath(f"{folder}/{name}"), said_by)
        try:
            holder = self.store.holder()
        except OSError as error:
            self._say(LOCK, said(error), wrong=True)
        else:
            if holder is not None:
                self._say(LOCK, f"in use by {holder}")
        self.found.free_bytes = shutil.disk_usage(self.folder).free
        if self.found.free_bytes < LITTLE:
            self._say(".", f"{mib(self.found.free_bytes)} MiB are free on its disk")
        if not os.access(self.folder, os.W_OK):
            self._say(".", "nothing can be written here")


def _check_state(folder: Path) -> bool:
    """Return True where a checkpoint or an export is what was written.

    Raises:
        OSError, ValueError, LookupError, TypeError: it is not.
    """
    if (folder / SUMS).exists():
        check_sums(folder)
        return True
    missing = [name for name in SAVED if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    from safetensors import SafetensorError

    from harness.training.saved import read_state

    try:
        read_state(folder)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    return True

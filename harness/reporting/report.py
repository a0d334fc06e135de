"""The report of run folders: made of every record there, printed, and written as files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness import durable
from harness.errors import UserError
from harness.reporting.as_page import as_page
from harness.reporting.data import as_json
from harness.reporting.figures.figure import MODES, png
from harness.reporting.grouping import grouped
from harness.reporting.groups import Group
from harness.reporting.latex import as_latex
from harness.reporting.markdown import render
from harness.reporting.sections import Report, Section, section_of
from harness.reporting.spreadsheet import cells_csv, comparison_csv
from harness.reporting.terminal import print_report
from harness.run_files import Held, LeftOut
from harness.untrusted import said
from methods.wording import nearest

if TYPE_CHECKING:
    from harness.record import Record
    from harness.store import Store

# The formats of `--format`: the files of each, and what makes them.
FILES: Mapping[str, Mapping[str, Callable[[Report], str]]] = {
    "md": {"report.md": render},
    "csv": {"comparison.csv": comparison_csv, "results.csv": cells_csv},
    "json": {"report.json": as_json},
    "latex": {"report.tex": as_latex},
    "html": {"report.html": as_page},
}
PNG = "png"  # the figures, which the Markdown then shows
FORMATS = (*FILES, PNG)


def formats_of(text: str) -> list[str]:
    """Return the formats of `--format`, such as `md,csv`.

    Raises:
        UserError: there is none of a name.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in FORMATS:
            raise UserError(f"--format {name}: no such format; {nearest(name, FORMATS)}")
    return list(dict.fromkeys(names)) or list(FORMATS)


def write_report(
    store: Store, out: Path | None = None, formats: Sequence[str] = tuple(FILES)
) -> list[Path]:
    """Print and write the report of a run folder; returns the files, without the figures.

    Raises:
        UserError: the folder holds no records, or none that a report can be made of.
    """
    return write(report_of([store]), out or store.folder, formats)


def report_of(stores: Sequence[Store], baseline: str | None = None) -> Report:
    """Make the report of run folders together; says on the error stream what is left out.

    Raises:
        UserError: they hold no records, or none that a report can be made of, or no method is
            called like the baseline.
    """
    held = [store.held() for store in stores]
    if baseline is not None:
        _check_baseline(baseline, held)
    report = report_on(held, baseline)
    for each in report.left_out:
        print(f"left out: {each.path}: {each.reason}", file=sys.stderr)
    if not report.sections:
        folders = ", ".join(str(store.folder) for store in stores)
        lost = len(report.left_out)
        why = f" that can be read; {lost} cannot" if lost else " yet"
        raise UserError(f"{folders} holds no records{why}")
    return report


def report_on(folders: Sequence[Held], baseline: str | None = None) -> Report:
    """Make the report of those records that one can be made of; names the others as left out."""
    left_out = [each for folder in folders for each in folder.left_out]
    groups = grouped(folders)
    try:
        sections = [section_of(group, baseline) for group in groups]
        return _with_texts(Report(_named_apart(sections), left_out))
    except Exception:  # some record has its types right and its content wrong
        sections = []
        for group in groups:
            records, odd = reportable(group, baseline)
            if records:
                sections.append(section_of(replace(group, records=records), baseline))
            left_out += [each for each in odd if each not in left_out]
        return _with_texts(Report(_named_apart(sections), left_out))


def _named_apart(sections: Sequence[Section]) -> list[Section]:
    """Return the sections with figures that no other section has the names of."""
    if len(sections) == 1:
        return [*sections]
    return [
        replace(section, figures=[replace(f, name=f"{place}-{f.name}") for f in section.figures])
        for place, section in enumerate(sections, 1)
    ]


def _with_texts(report: Report) -> Report:
    """Make all texts, before the first is written; as they are without figures."""
    if not report.sections:
        return report
    bare = replace(report, sections=[replace(each, figures=()) for each in report.sections])
    makers = {name: make for each in FILES.values() for name, make in each.items()}
    return replace(report, texts={name: make(bare) for name, make in makers.items()})


def write(report: Report, folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Print the report's tables and write its files; returns them, without the figures.

    A figure that cannot be drawn is left out, which the error stream says.

    Raises:
        OSError: a file cannot be written; the tables are printed by then.
    """
    print_report(report)
    texts = dict(report.texts)
    if PNG in formats:
        shown, drawings = drawn(report)
        texts["report.md"] = render(shown)
        if "html" in formats:
            texts["report.html"] = as_page(shown, drawings)
        for name, content in drawings.items():
            durable.write_bytes(folder / name, content)
    files = []
    for name in (name for format_ in formats for name in FILES.get(format_, ())):
        durable.write_text(folder / name, texts[name])
        files.append(folder / name)
    print("report: " + "  ".join(map(str, files)))
    return files


def drawn(report: Report) -> tuple[Report, dict[str, bytes]]:
    """Draw all figures, light and dark; returns the report of those that can be, and the files."""
    drawings: dict[str, bytes] = {}
    sections = []
    for section in report.sections:
        able = []
        for figure in section.figures:
            try:
                drawings |= {figure.file(mode): png(figure, mode) for mode in MODES}
                able.append(figure)
            except Exception as error:
                print(f"not drawn: figure {figure.name}: {said(error)}", file=sys.stderr)
        sections.append(replace(section, figures=able))
    return replace(report, sections=sections), drawings


def reportable(group: Group, baseline: str | None = None) -> tuple[Sequence[Record], list[LeftOut]]:
    """Return the records that a report can be made of together, and what is wrong with others.

    A record may have every type right and still hold what no table can be made of: settings that
    are missing, numbers that are too large. They are tried together, then in ever smaller parts.
    """
    kept: list[Record] = []
    odd: list[LeftOut] = []
    waiting = [list(group.records)]
    while waiting:
        part = waiting.pop(0)
        fault = _fault(group, [*kept, *part], baseline)
        if fault is None:
            kept += part
        elif len(part) == 1:
            why = f"no table can be made with it: {said(fault)}"
            odd.append(LeftOut(part[0].path, why, part[0].key))
        else:
            half = len(part) // 2
            waiting[:0] = [part[:half], part[half:]]
    return kept, odd


def _fault(group: Group, records: Sequence[Record], baseline: str | None) -> Exception | None:
    """Try all that is written, but for what is drawn."""
    try:
        _with_texts(Report([section_of(replace(group, records=records), baseline)]))
    except Exception as error:
        return error
    return None


def _check_baseline(baseline: str, held: Sequence[Held]) -> None:
    methods = dict.fromkeys(record.method for each in held for record in each.records)
    if methods and baseline not in methods:
        raise UserError(
            f"--baseline {baseline}: no method of these records; {nearest(baseline, methods)}"
        )

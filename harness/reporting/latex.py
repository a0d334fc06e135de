"""The report's tables in LaTeX, for a paper: booktabs, and the text of a record as it is."""

from __future__ import annotations

import re
from typing import Any

from harness.printed import one_line
from harness.reporting.columns import Mark, Table
from harness.reporting.layout import MAIN_WIDTH, parts
from harness.reporting.sections import Report

# What TeX reads as something else than itself.
ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\rightarrow$",
    "'": r"\textquotesingle{}", "`": r"\textasciigrave{}", "[": "{[}", "]": "{]}", "-": "{-}",
}  # fmt: skip
SPECIAL = re.compile("|".join(map(re.escape, ESCAPES)))
MARKS: dict[Mark | None, str] = {"best": r"\textbf{%s}", "second": r"\underline{%s}", None: "%s"}


def escaped(text: str) -> str:
    """Return free text as one line that TeX prints as it is."""
    return SPECIAL.sub(lambda found: ESCAPES[found[0]], one_line(text))


def as_latex(report: Report) -> str:
    """Return every table of the report; best values bold, second best underlined."""
    lines = [
        "% Needs \\usepackage{booktabs,textcomp} and \\usepackage[T1]{fontenc}; text in other",
        "% scripts needs XeLaTeX or LuaLaTeX and a font that has them.",
    ]
    for section in report.sections:
        name = section.group.name
        for table in section.tables:
            for part in parts(table, MAIN_WIDTH):
                lines += ["", _tabular(name, part)]
    return "\n".join(lines) + "\n"


def _tabular(name: str, table: Table[Any]) -> str:
    rows = [
        [MARKS[mark] % escaped(text) for text, mark in zip(texts, marks, strict=True)]
        for texts, marks in zip(table.texts, table.marks, strict=True)
    ]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(name)}: {escaped(table.title)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule",
        " & ".join(map(escaped, table.headers)) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\small {escaped(note)}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines)

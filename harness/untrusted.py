"""Files that anybody may have written: whatever is wrong with one is one error, with its place."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError

from harness.errors import UserError
from methods.wording import first_mistake

# All that reading and parsing raise on bytes that are not what they should be.
WRONG = (
    OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError,
    MemoryError, yaml.YAMLError,
)  # fmt: skip

LENGTH = 300  # characters of an error: what a file holds is quoted, and may be anything


class Unreadable(UserError):
    """A file that cannot be read, or holds something else than it should."""


@contextmanager
def reading(file: Path, what: str, model: type[BaseModel]) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into one error that names it.

    Args:
        file: that is read.
        what: it should be, with its article, such as `a record`.
        model: that its content is validated against.

    Raises:
        Unreadable: anything went wrong in the block.
    """
    try:
        yield
    except ValidationError as error:
        raise Unreadable(f"{file}: {_short(first_mistake(error, model=model))}") from None
    except WRONG as error:
        raise Unreadable(f"{file}: not {what} that can be read: {said(error)}") from None


def bytes_of(file: Path) -> bytes:
    """Return what a regular file holds; others (a pipe, a device) may have no end.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file.
    """
    _refuse_irregular(file)
    return file.read_bytes()


def first_byte(file: Path) -> bytes:
    """Return the beginning of a regular file, of which no more is believed than that it reads.

    Raises:
        OSError, ValueError: as `bytes_of`.
    """
    _refuse_irregular(file)
    with file.open("rb") as stream:
        return stream.read(1)


def _refuse_irregular(file: Path) -> None:
    if not stat.S_ISREG(file.stat().st_mode):
        raise ValueError("it is no regular file")


def said(error: BaseException) -> str:
    """Return what an error says, on one line that is not too long; keys get its kind before it."""
    return _short(_said(error))


def _said(error: BaseException) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 (byte {error.start})"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        place = f"line {mark.line + 1}: " if mark is not None else ""
        return f"{place}{error.problem or error.context or 'not valid YAML'}"
    text, kind = str(error), type(error).__name__
    return text if isinstance(error, ValueError) and text else f"{kind}: {text}" if text else kind


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LENGTH else f"{line[:LENGTH]}..."

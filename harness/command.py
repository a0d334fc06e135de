"""What the commands share: their arguments, and how they end."""

from __future__ import annotations

import json
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from harness import printed
from harness.errors import UserError
from harness.outlet import patient_output
from harness.paths import user_path

P = ParamSpec("P")

# Exit codes of all commands; `budget` adds its own, from 1 on, to DONE and BAD_INPUT.
DONE = 0
# run: a cell crashed or was interrupted, or no report could be written; forecast: a cell has none;
# report: a record is left out; doctor: something in a folder is wrong
FAILED = 1
BAD_INPUT = 2  # a mistake in the input, or a file that cannot be read or written
BROKEN = 70  # an error of ours, with its traceback (sysexits.h: EX_SOFTWARE); never 1: a verdict
INTERRUPTED = 130  # Ctrl-C; the same command goes on

SuiteFile = Annotated[Path, typer.Argument(metavar="SUITE", help="the suite's YAML file")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="set after the file")
]
Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="MODULE",
        help="methods and tasks of a module, beside the suite or installed; may be repeated",
    ),
]
Only = Annotated[str, typer.Option(metavar="GLOB", help="cells whose path matches")]

Formats = Annotated[
    str,
    typer.Option(
        "--format",
        envvar="HEADROOM_FORMATS",
        metavar="NAMES",
        help="what the report is written as, such as md,csv; default: everything",
    ),
]


def examples(*lines: str) -> str:
    """Return a help page's end: commands to copy, each whole on a line of its own."""
    return "\n\n".join(["Examples:", *(f"\b\n  {line}" for line in lines)])


def command_line(name: str, *arguments: str, **options: Any) -> str:
    """Return a command as it could be typed; options that are None, False or `*` are left out."""
    words = ["headroom", name, *arguments]
    for key, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            if one not in (None, False, "*"):
                words += [f"--{key.replace('_', '-')}", *([] if one is True else [str(one)])]
    return shlex.join(words)


def refuse_unwritable(file: Path) -> None:
    """Make the file's folder and look whether it can be written, before any work is done."""
    file.parent.mkdir(parents=True, exist_ok=True)
    is_new = not file.exists()
    with file.open("a", encoding="utf-8"):
        pass
    if is_new:
        file.unlink()


def write_json(file: Path | None, content: object) -> None:
    """Write all figures to the file that `--json` names, if it names one."""
    if file is None:
        return
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"json: {file}")


def new_app() -> typer.Typer:
    """Return an empty application, for the commands of one module."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def command(
    app: typer.Typer, **options: Any
) -> Callable[[Callable[P, int | None]], Callable[P, None]]:
    """Make a function a command of the application.

    Its result is the exit code (None: DONE). A user's mistake is printed without a traceback and
    leaves with BAD_INPUT, as does what the system refuses (no space, no right to write). Ctrl-C
    leaves with INTERRUPTED, all else with its traceback and BROKEN. A command goes on when nobody
    reads what it prints. `~` works in every path, also where no shell sees it (`--out=~/runs`).
    """

    def register(function: Callable[P, int | None]) -> Callable[P, None]:
        @app.command(**options)
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> None:
            with patient_output():
                _silence()
                raise SystemExit(_end_of(function, *args, **kwargs))

        return call

    return register


def _silence() -> None:
    """Leave out what one library tells another: peft asks transformers for an old attribute."""
    told = r"`is_gradient_checkpointing` is deprecated"
    warnings.filterwarnings("ignore", message=told, category=FutureWarning)


def _end_of(function: Callable[P, int | None], *args: P.args, **kwargs: P.kwargs) -> int:
    """Call a command; return its exit code."""
    try:
        code = function(*args, **{k: _expanded(v) for k, v in kwargs.items()})
    except (UserError, OSError) as error:
        print(f"error: {told(error)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception:
        traceback.print_exc()
        return BROKEN
    return code or DONE


def told(error: UserError | OSError) -> str:
    """Return what a user's mistake, or the system's refusal, says; the file stands first."""
    file = error.filename if isinstance(error, OSError) else None
    reason = getattr(error, "strerror", None)
    return printed.lines(str(error) if file is None else f"{os.fsdecode(file)}: {reason}")


def _expanded(value: Any) -> Any:
    """Return an argument with `~` replaced where it is a path."""
    return user_path(value) if isinstance(value, Path) else value

"""One command for all: `headroom run|forecast|fit|calibrate|compare|budget|report|...`."""

from __future__ import annotations

from typing import Annotated

import typer

from harness import (
    __version__,
    budget,
    calibrate,
    compare,
    doctor,
    fit,
    forecast,
    ls,
    merge,
    report,
    run,
    schema,
)
from harness.command import new_app

app = new_app()
for module in (run, forecast, fit, calibrate, compare, report, merge, doctor, ls, schema):
    app.add_typer(module.app)
app.add_typer(budget.app, name="budget", help="Hold memory against its budget, or move the budget.")


def _version(asked: bool) -> None:
    if asked:
        from harness.env import MEMORY_PACKAGES, package_versions

        versions = package_versions()
        libraries = (f"{name} {versions.get(name, 'missing')}" for name in MEMORY_PACKAGES)
        print(f"headroom {__version__} ({', '.join(libraries)})")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print it and end")
    ] = False,
) -> None:
    """What a fine-tuning method really costs: accuracy, peak memory, FLOPs and time."""
    if context.invoked_subcommand is None:
        print(context.get_help())

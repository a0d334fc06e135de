"""Find a user's mistakes before the first cell starts, rather than in the middle of a suite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from harness import gpus, hub
from harness.errors import UserError
from harness.models import liger
from harness.models.attention import FLASH, FLASH_PACKAGE, ON_CPU, pinned, written
from harness.models.check import check_model
from harness.models.files import model_folder
from harness.models.tokenizer import refuse_made_up
from harness.suite.optimizers import missing_package
from harness.suite.plan import stages_of

if TYPE_CHECKING:
    from harness.suite.cell import Cell


def check_cells(
    cells: Sequence[Cell], export: str | None = None, *, elsewhere: bool = False
) -> None:
    """Check each distinct model, task and data set of the cells, and method against settings.

    `export` is what of a finished run is written, if anything is. Cells that run `elsewhere` are
    not held to this machine's GPUs.

    What lies on the hub is left to the cells where the hub answers: asking for it may be slow.

    Raises:
        UserError: naming the first thing that is missing or wrong.
    """
    present = len(gpus.installed())
    for cell in cells:
        if cell.generation is not None:
            refuse_made_up(cell.model, cell.task_label)
        if cell.task.shape is not None:
            raise UserError(
                f"task {cell.task_label} is a shape without data, which cannot be trained on; "
                f"python -m harness.forecast takes it"
            )
        if not elsewhere:
            if 0 < present < cell.train.devices:
                raise UserError(f"{cell.path}: {gpus.too_few(cell.train.devices, present)}")
            _refuse_absent(cell, cuda=present > 0)
        _refuse_unquantisable(cell, export)
        if cell.train.max_steps is None:  # else only the data tells how many epochs there are
            try:
                stages_of(cell)
            except ValueError as error:
                raise UserError(f"{cell.path}: {error}") from None
    check_models(cells, to_run=True)
    _check_data(cells)


def _refuse_absent(cell: Cell, *, cuda: bool) -> None:
    """Refuse attention and optimizers that cannot train on this machine; forecasts need neither.

    Raises:
        UserError: naming the cell, the setting and what is missing.
    """
    missing = missing_package(cell.train.optimizer)
    if missing is not None:
        raise UserError(f"{cell.path}: train.optimizer = {cell.train.optimizer}: {missing}")
    attention = cell.train.attention
    kernel, where = pinned(attention), f"{cell.path}: train.attention = {written(attention)}"
    if attention == FLASH and find_spec("flash_attn") is None and find_spec("kernels") is None:
        raise UserError(
            f"{where}: the package {FLASH_PACKAGE} is not installed; `headroom forecast` does "
            "without it, and attention: sdpa takes torch's own flash kernel where there is no mask"
        )
    if attention == FLASH and not cuda:
        raise UserError(
            f"{where}: the package {FLASH_PACKAGE} needs a GPU; attention: sdpa does not"
        )
    _refuse_liger(cell, cuda=cuda)
    if kernel is not None and not cuda and kernel not in ON_CPU:
        raise UserError(
            f"{where}: without a GPU sdpa has the kernels {' and '.join(ON_CPU)}; `headroom "
            "forecast` forecasts the others"
        )


def _refuse_liger(cell: Cell, *, cuda: bool) -> None:
    """Refuse Liger's kernels where they cannot run.

    Raises:
        UserError: naming the cell, the setting and what is missing.
    """
    train = cell.train
    if train.loss != "liger" and not train.liger_kernels:
        return
    asked = "loss = liger" if train.loss == "liger" else "liger_kernels"
    told = f"{cell.path}: train.{asked}:"
    if find_spec("liger_kernel") is None:
        raise UserError(
            f"{told} the package {liger.PACKAGE} is not installed; `headroom forecast` does "
            "without it, and loss: chunked holds as few logits"
        )
    if not cuda:
        raise UserError(f"{told} the package {liger.PACKAGE} needs a GPU; loss: chunked does not")


def _refuse_unquantisable(cell: Cell, export: str | None) -> None:
    """Refuse quantised bases without the package that makes them, and merging into one."""
    if not cell.train.dtypes.quantised:
        return
    where = f"{cell.path}: train.weights = {cell.train.dtypes.weights}"
    if export == "model":
        raise UserError(
            f"{where}: a model with the adapters merged into it would be rounded again; --export "
            "adapter writes what goes onto the quantised base"
        )
    if find_spec("bitsandbytes") is None:
        raise UserError(
            f"{where}: the package bitsandbytes is not installed "
            "(pip install 'headroom-bench[quantized]'); `headroom forecast` does without it"
        )


def check_models(cells: Iterable[Cell], *, to_run: bool) -> None:
    """Check each distinct model of the cells; a forecast needs neither weights nor tokenizer.

    Raises:
        UserError: naming the first thing that is missing or wrong.
    """
    checks = {(cell.model.model_dump_json(), cell.family.preparer if to_run else None): cell.model
              for cell in cells}  # fmt: skip
    for (_, preparer), spec in checks.items():
        check_model(
            spec,
            weights=to_run,
            tokenizer=preparer == "tokenizer",
            image_processor=preparer == "image processor",
        )
        if to_run and spec.hub and hub.trouble():
            model_folder(spec)  # at once: it is in the cache or nowhere


def check_own_data(cells: Iterable[Cell]) -> None:
    """Check the data that suites describe themselves, as far as they are on this machine.

    Raises:
        UserError: naming file and place of the first mistake.
    """
    _check_data(cell for cell in cells if cell.task.data is not None)


def _check_data(cells: Iterable[Cell]) -> None:
    seen: set[str] = set()
    for cell in cells:
        request, task = cell.data_request(), cell.configured_task
        key = repr((task.name, cell.task.data, request))
        if key not in seen:
            task.check()
            if task.is_local(request) or hub.trouble():
                task.load(request)
        seen.add(key)

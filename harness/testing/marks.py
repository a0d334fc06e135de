"""What marks on a test ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from harness.errors import UserError
from harness.units import bytes_of
from methods.wording import nearest, shortened

if TYPE_CHECKING:
    import pytest

    from harness.forecasting.cards import Card

Of = Literal["allocated", "reserved", "device"]
STEPS = ("training", "inference")
AUTOCAST = ("bf16",)
KEYS = ("limit", "gpu", "of", "step", "autocast", "clip", "values")


class Run(NamedTuple):
    """How the step runs; marks that agree in it share a forecast.

    Attributes:
        step: `training` or `inference`.
        values: what code reads from tensors, as (`file.py:function`, value).
    """

    step: str = "training"
    clip: float | None = None
    autocast: str | None = None
    values: tuple[tuple[str, Any], ...] = ()


class Demand(NamedTuple):
    """One mark.

    Attributes:
        mark: its name.
        card: to forecast for.
        of: which figure: allocated bytes, what the allocator reserves, or that and the context.
        limit: bytes; None: what the card has.
        share: of the accepted figure, in place of a limit in bytes.
    """

    mark: str
    card: Card
    of: Of
    run: Run
    limit: int | None = None
    share: float | None = None


def demands_of(item: pytest.Item, names: tuple[str, ...], default_gpu: str) -> list[Demand]:
    """Return what a test's marks ask for, the nearest mark last.

    Raises:
        UserError: one of them cannot be read.
    """
    marks = [mark for name in names for mark in item.iter_markers(name)][::-1]
    return [_demand(mark.name, mark.args, mark.kwargs, default_gpu) for mark in marks]


def _demand(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], gpu: str) -> Demand:
    given = dict(kwargs)
    if len(args) > 1 or (args and "limit" in given):
        raise UserError(f"{name}: one limit, then gpu=..., is what it takes")
    if args:
        given["limit"] = args[0]
    for key in given:
        if key not in KEYS:
            raise UserError(f"{name}: unknown key {key!r}; {nearest(key, KEYS)}")
    limit, share = _limit(name, given.get("limit"))
    run = Run(
        _one_of(name, "step", given.get("step", "training"), STEPS),
        _clip(name, given.get("clip")),
        _one_of(name, "autocast", given.get("autocast"), (*AUTOCAST, None)),
        _values(name, given.get("values")),
    )
    of = _one_of(name, "of", given.get("of", "allocated"), get_args(Of))
    return Demand(name, _card(name, given.get("gpu") or gpu), of, run, limit, share)


def _limit(name: str, given: Any) -> tuple[int | None, float | None]:
    """Return bytes, or a share; a share is for what has been accepted."""
    text = given.strip() if isinstance(given, str) else given
    if name == "memory_increase":
        if text is None:
            return 0, None
        if isinstance(text, str) and text.endswith("%"):
            try:
                share = float(text[:-1]) / 100
            except ValueError:
                raise UserError(f"{name}: {given!r} is no share; write it as '1 %'") from None
            if not 0 <= share < 10:
                raise UserError(f"{name}: {given!r} is no share from 0 to 1000 %")
            return None, share
    if text is None:
        return None, None
    try:
        return bytes_of(text), None
    except ValueError as error:
        more = ", or as '1 %'" if name == "memory_increase" else ""
        raise UserError(f"{name}: {error}{more}") from None


def _card(name: str, gpu: Any) -> Card:
    from harness.forecasting.cards import find_card

    if not gpu:
        raise UserError(f"{name}: which card? gpu='rtx4090' here, or memory_gpu in pytest's file")
    if not isinstance(gpu, str):
        raise UserError(f"{name}: gpu = {shortened(gpu)} is no name; for several cards, mark twice")
    try:
        return find_card(gpu)
    except UserError as error:
        raise UserError(f"{name}: {str(error).replace('--gpu ', 'gpu = ', 1)}") from None


def _one_of(name: str, key: str, given: Any, allowed: tuple[Any, ...]) -> Any:
    if given not in allowed:
        names = [str(each) for each in allowed if each is not None]
        raise UserError(f"{name}: {key} = {shortened(given)} is unknown; {nearest(given, names)}")
    return given


def _clip(name: str, given: Any) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or given <= 0:
        raise UserError(f"{name}: clip = {shortened(given)} is no norm above 0")
    return float(given)


def _values(name: str, given: Any) -> tuple[tuple[str, Any], ...]:
    if given is None:
        return ()
    is_mapping = isinstance(given, Mapping)
    if not is_mapping or not all(isinstance(key, str) and ":" in key for key in given):
        raise UserError(f"{name}: values = {shortened(given)}; write {{'train.py:step': 1.0}}")
    return tuple(sorted(given.items()))

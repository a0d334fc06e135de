"""How to build what was trained, up to its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness import dtypes
from harness.suite.numerics import Numerics

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.suite.cell import Cell
    from methods.base import Handle, Plan

FORMAT = 1


@dataclass(frozen=True)
class Recipe:
    """How to build what was trained, up to its weights.

    Attributes:
        model: fields of the ModelSpec.
        head: `family`, `num_labels`, `attention` of `harness.models.load.load_model`.
        precision: the types that it trained in, as `Dtypes.named` has them; of older ones a name.
        method: registered name.
        options: of the method.
        plan: fields of the Plan that it was attached with.
        quantised: of a quantised base: settings that its types do not say.
    """

    model: dict[str, Any]
    head: dict[str, Any]
    precision: str | dict[str, Any]
    method: str
    options: dict[str, Any]
    plan: dict[str, Any]
    quantised: dict[str, Any] = field(default_factory=dict)

    @property
    def numerics(self) -> Numerics:
        """The settings of types that it trained in."""
        return Numerics(**dtypes.read(self.precision)._asdict(), **self.quantised)


def recipe_of(cell: Cell, plan: Plan) -> Recipe:
    """Return the recipe of a cell's model."""
    return Recipe(
        model=cell.model.model_dump(mode="json"),
        head={
            "family": cell.family.name,
            "num_labels": cell.num_labels,
            "attention": cell.train.attention,
        },
        precision=cell.train.dtypes.preset or cell.train.dtypes.named(),
        method=cell.method,
        options=cell.method_options,
        plan=vars(plan).copy(),
        quantised=cell.train.model_dump(include={"double_quant", "unquantized"})
        if cell.train.dtypes.quantised
        else {},
    )


def base_of(recipe: Recipe, *, with_weights: bool) -> nn.Module:
    """Return the base model as the run found it; without weights they are random.

    Raises:
        UserError: it cannot be had.
    """
    from harness.models.load import build_model, load_model
    from harness.models.spec import ModelSpec
    from harness.tasks.families import get_family
    from harness.training.base import quantize_base
    from harness.training.precision import weight_dtype

    spec, dtype = ModelSpec(**recipe.model), weight_dtype(dtypes.read(recipe.precision))
    head = dict(recipe.head)
    head["family"] = get_family(head.pop("task_head", None) or head["family"])  # its older name
    if with_weights:
        base = load_model(spec, **head, dtype=dtype, seed=recipe.plan["seed"])
    else:
        base = build_model(spec, **head, dtype=dtype, use_cache=False)
    quantize_base(base, recipe.numerics, train_pooler=recipe.plan.get("train_pooler", False))
    return base


def hold_head(recipe: Recipe, model: nn.Module) -> None:
    """Give the head the precision that it trained in."""
    from harness.training.precision import keep_head_fp32
    from methods import surgery

    types = dtypes.read(recipe.precision)
    if types.base != "fp32" and types.adapters == "fp32":
        keep_head_fp32(model, surgery.head_parameters(model).values())


def rebuilt(recipe: Recipe, base: nn.Module, state: dict[str, Any]) -> Handle:
    """Attach the method to the base model and do to its structure what training did."""
    from methods import get_method
    from methods.base import Plan

    handle = get_method(recipe.method)(**recipe.options).attach(base, Plan(**recipe.plan))
    hold_head(recipe, handle.model)
    handle.load_state_dict(state)
    return handle


def named_tensors(model: nn.Module) -> Mapping[str, Tensor]:
    """Return parameters and buffers by name, those that `state_dict` leaves out, too."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}

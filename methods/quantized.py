"""Linear layers with a quantised weight, as bitsandbytes has them: how large, and what they hold.

Such a layer is an nn.Linear whose weight are packed integers. Of 4 bits it is (d_out d_in / 2, 1)
bytes with a `quant_state`; of 8 bits (d_out, d_in) with the scales of its rows. The layers of a
forecast have attributes of the same names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def is_quantized(module: nn.Module) -> bool:
    """Tell whether a module is a linear layer whose weight is packed integers."""
    from torch import nn

    return isinstance(module, nn.Linear) and not module.weight.is_floating_point()


def quantized_names(model: nn.Module) -> list[str]:
    """Return the names of the quantised layers of a model."""
    return [name for name, module in model.named_modules() if is_quantized(module)]


def scales(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield what quantised layers hold beside their weights, by name: no parameter, no buffer."""
    for path, module in model.named_modules():
        if is_quantized(module):
            for name, tensor in _held(module):
                yield f"{path}.weight.{name}", tensor


def _held(layer: Any) -> Iterator[tuple[str, Tensor]]:
    state = getattr(layer.weight, "quant_state", None)
    if state is not None:
        of_state = {"absmax": state.absmax, "quant_map": state.code, "offset": state.offset}
        if state.state2 is not None:
            of_state |= {"nested_absmax": state.state2.absmax, "nested_map": state.state2.code}
    else:  # bitsandbytes moves it from the weight to the layer in the first forward pass
        of_state = {"SCB": layer.state.SCB if layer.state.SCB is not None else layer.weight.SCB}
    yield from ((name, tensor) for name, tensor in of_state.items() if tensor is not None)


def num_parameters(model: nn.Module) -> int:
    """Return how many numbers the parameters of a model are; of packed ones, before packing."""
    packed: dict[int, int] = {}
    for module in model.modules():
        layer: Any = module
        if is_quantized(layer):
            packed[id(layer.weight)] = layer.in_features * layer.out_features
    return sum(packed.get(id(p), p.numel()) for p in model.parameters())


def remarks(model: nn.Module) -> list[str]:
    """Say what of a model stays unpacked that its user may take for packed, in sentences."""
    if not quantized_names(model):
        return []
    experts = {id(p): p for n, p in model.named_parameters() if p.dim() == 3 and "expert" in n}
    count = sum(p.numel() for p in experts.values())
    types = sorted({str(p.dtype).removeprefix("torch.") for p in experts.values()})
    return [
        f"experts in one tensor are no linear layers and are not quantised: {count:,} of "
        f"{num_parameters(model):,} numbers stay in {' and '.join(types)}"
    ] * bool(experts)


def refuse_quantized(model: nn.Module, what: str) -> None:
    """Refuse a quantised model.

    Raises:
        ValueError: saying what it cannot have.
    """
    names = quantized_names(model)
    if names:
        raise ValueError(
            f"the base is quantised ({len(names)} layers, such as {names[0]}), and {what}; lora, "
            "or weights: bf16"
        )


def refuse_trained(model: nn.Module) -> None:
    """Refuse biases of quantised layers that would train.

    Raises:
        ValueError: naming one of them.
    """
    for name in quantized_names(model):
        bias: Any = model.get_submodule(name).bias
        if bias is not None and bias.requires_grad:
            raise ValueError(
                f"{name}.bias would train, and bitsandbytes turns biases of quantised layers into "
                "the type of their input in every forward pass; lora, or weights: bf16"
            )

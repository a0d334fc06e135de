"""Skip the forward pass of a frozen prefix: keep its output for every example, on the host."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch

from methods import surgery
from methods.safe.host_rows import Rows, keys_of, places_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.safe.options import CacheLimits


# What layers call the hidden state (B, S, h) that they take first.
HIDDEN = frozenset({"hidden_states", "hidden_state", "x"})
# Model types whose layers hand something else on, which their signatures do not say.
OTHERWISE = {
    "gemma3n_text": "its layers hand several hidden states on",
    "lilt": "its layers hand a second state on",
    "openai-gpt": "its layers put out a list",
    "squeezebert": "its layers put out a mapping",
}


class PrefixCache:
    """Runs the lowest layers once per example, then hands their kept output to the layer above.

    Inputs must repeat from epoch to epoch. Dropout below is off, also while the cache fills: what
    is kept is the prefix's output in eval mode. An epoch after the prefix grew fills the new
    outputs, starting from the old ones; the next epochs skip the prefix. Passes outside of a
    training step (evaluation, probes) are not touched.

    Args:
        model: called by the loop with keyword arguments, `input_ids` among them.
        options: bounds.

    Raises:
        ValueError: the model has more than one stack of layers, or is not fed with tokens.
    """

    def __init__(self, model: nn.Module, options: CacheLimits) -> None:
        if reason := _obstacle(model):
            raise ValueError(
                "cache_prefix needs a text model with one stack of layers; this is a "
                f"{surgery.family(model)}: {reason}"
            )
        if _keeps_keys(model):
            raise ValueError("cache_prefix: this model keeps keys and values (train.outputs)")
        self.model, self.options = model, options
        self.layers = surgery.layers(model)
        self.ready = 0  # layers whose output `_rows` holds for every example
        self.target = 0  # layers of the frozen prefix
        self.note = ""
        self.counts = {"skipped": 0, "filled": 0, "missed": 0}
        self._rows, self._new = Rows(options), Rows(options)
        self._armed = self._counting = False
        self._start: int | None = None  # layers that this pass skips; None: it runs as usual
        self._keys: list[bytes] = []
        self._mask: Tensor | None = None
        self._tuple_size = 0  # of what a layer returns; 0 for a plain tensor
        for index, layer in enumerate(self.layers):
            layer.forward = partial(self._forward, index, layer.forward)
        self._hook = model.register_forward_pre_hook(self._look, with_kwargs=True)

    def remove(self) -> None:
        """Leave the model as it was found."""
        self._hook.remove()
        for layer in self.layers:
            del layer.forward  # the instance's own; its class has the original

    @property
    def num_bytes(self) -> int:
        """Bytes that are kept now."""
        return self._rows.num_bytes + self._new.num_bytes

    def report(self) -> dict[str, Any]:
        """Return what is kept where, what it came to, and what it changed."""
        return {
            "layers": self.ready,
            "on": self.options.on,
            "bytes": self.num_bytes,
            **self.counts,
            "note": self.note or "dropout in the cached layers is off",
        }

    def grow(self, depth: int) -> None:
        """Note that the lowest `depth` layers are frozen."""
        if not self.note and depth > self.target:
            self.target, self._new = depth, Rows(self.options)

    def end_epoch(self) -> bool:
        """Note that every example was seen once; returns whether the prefix is now skipped."""
        if self.note or self.ready == self.target:
            return False
        self.ready, self._rows, self._new = self.target, self._new, Rows(self.options)
        return True

    def arm(self, on: bool) -> None:
        """Work in the passes from now on (a training step begins), or no longer."""
        self._armed = on

    def count_as_skipped(self, on: bool) -> None:
        """Let any input skip what is ready: for counting and for tensors without values."""
        self._counting = on

    def declare_ready(self, depth: int) -> None:
        """Take the output of `depth` layers as kept, for a forecast."""
        self.ready = self.target = depth
        self._counting = True

    def state_dict(self) -> dict[str, Any]:
        """Return the rows and where the filling stands."""
        state = {"ready": self.ready, "target": self.target, "note": self.note,
                 "counts": dict(self.counts), "tuple_size": self._tuple_size}  # fmt: skip
        for name, rows in (("rows", self._rows), ("new", self._new)):
            state |= {f"{name}.{key}": value for key, value in rows.state().items()}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.ready, self.target, self.note = state["ready"], state["target"], state["note"]
        self.counts, self._tuple_size = dict(state["counts"]), state["tuple_size"]
        self._rows, self._new = Rows(self.options), Rows(self.options)
        for name, rows in (("rows", self._rows), ("new", self._new)):
            rows.load({key: state[f"{name}.{key}"] for key in ("keys", "shapes", "data")})

    def _look(self, _: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        """Before a forward pass: decide which layers it skips, and which output it keeps."""
        self._start = None
        if self._counting:
            self._start = self.ready
            return
        if not self._armed or not self.target or self.note:
            return
        mask = kwargs.get("attention_mask")
        self._mask = None if mask is None else mask.cpu()  # once, for all of its rows
        self._keys = keys_of(kwargs, self._mask)
        all_kept = all(key in self._rows for key in self._keys)
        self._start = self.ready if all_kept else 0
        self.counts["missed"] += not all_kept and self.ready > 0
        if self._start < self.target:  # layers of the prefix run: without their dropout
            self.model.eval()

    def _forward(self, index: int, run: Any, *args: Any, **kwargs: Any) -> Any:
        """Stand in for a layer's forward; `run` is its own."""
        if self._start is None or index >= max(self.target, self._start):
            return run(*args, **kwargs)
        hidden: Tensor = args[0] if args else kwargs["hidden_states"]
        if index < self._start:
            if index == self._start - 1 and not self._counting:
                hidden = self._assembled(hidden)
                if self._start == self.target:
                    self.counts["skipped"] += 1
            return (hidden, *[None] * (self._tuple_size - 1)) if self._tuple_size else hidden
        out = run(*args, **kwargs)
        self._tuple_size = len(out) if isinstance(out, tuple) else 0
        if index == self.target - 1 and not self._counting:
            self._keep(out[0] if isinstance(out, tuple) else out)
            self.model.train()
        return out

    def _assembled(self, like: Tensor) -> Tensor:
        """Return the kept rows as a batch (B, S, h); padding is 0."""
        batch = torch.zeros(like.shape, dtype=like.dtype)
        for i, key in enumerate(self._keys):
            row = self._rows.get(key, like.dtype)
            batch[i, places_of(self._mask, i, like.shape[1])] = row
        return batch.to(like.device)

    def _keep(self, out: Tensor) -> None:
        """Keep the prefix's output (B, S, h), or give up where that is too much."""
        self.counts["filled"] += 1
        for i, key in enumerate(self._keys):
            self._new.put(key, out[i, places_of(self._mask, i, out.shape[1]).to(out.device)])
        if self.num_bytes > self.options.gib * 2**30:
            self.note = f"not cached: it needs more than {self.options.gib:g} GiB"
            self._rows, self._new = Rows(self.options), Rows(self.options)
            self.ready = self.target = 0


def _obstacle(model: nn.Module) -> str:
    """Return why a kept output cannot take the place of layers; empty where it can."""
    transformer = surgery.transformer_of(model)[1]
    config: Any = transformer.config
    names, layers = surgery.layer_names(model), surgery.layers(model)
    if transformer.main_input_name != "input_ids":
        return f"it is fed with {transformer.main_input_name}"
    if len({name.rpartition(".")[0] for name in names}) != 1:
        return f"its layers are in {len({n.rpartition('.')[0] for n in names})} lists"
    if len(names) < (getattr(config.get_text_config(), "num_hidden_layers", None) or 0):
        return "its layers are called several times"
    if (kind := config.get_text_config().model_type) in OTHERWISE:
        return OTHERWISE[kind]
    if any(next(iter(signature(layer.forward).parameters)) not in HIDDEN for layer in layers):
        return "its layers do not take one hidden state"
    return ""


def _keeps_keys(model: nn.Module) -> bool:
    """Tell whether every layer puts keys and values into a cache, which a skipped one would not."""
    if not getattr(surgery.transformer_of(model)[1].config, "use_cache", False):
        return False
    layer = surgery.layers(model)[0]
    decodes = getattr(layer, "is_decoder", True)  # of an encoder (BERT) False
    return decodes and any("past" in name for name in signature(layer.forward).parameters)

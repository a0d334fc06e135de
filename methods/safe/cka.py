"""How much each layer's adapter changes what the layer puts out: features and linear CKA."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from methods import surgery

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.base import Handle

# Token rows per layer: far more than a hidden size (few rows make everything look alike), and
# 4096 rows of 24 layers of 1024 floats are 400 MB of host memory.
MAX_ROWS = 4096
Batches = Sequence[Mapping[str, "Tensor"]]


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Return ||Yc' Xc||^2 / (||Xc' Xc|| ||Yc' Yc||), Frobenius norms, columns centred, float64.

    Kornblith et al. (2019), eq. 3 with a linear kernel. Without centring one outlying dimension,
    which language models have, makes everything look alike.

    Args:
        x: features of shape (n, p).
        y: features of shape (n, q) of the same n inputs, in the same order.

    Returns:
        1 for features that differ by an orthogonal map, a scale and a shift; 0 where one of the
        two does not vary.
    """
    x, y = (f.double() - f.double().mean(dim=0) for f in (x, y))
    norms = torch.linalg.norm(x.T @ x) * torch.linalg.norm(y.T @ y)
    if norms == 0:
        return 0.0
    return float((torch.linalg.norm(y.T @ x) ** 2 / norms).clamp(0, 1))


class Recorder:
    """Runs a probe set and keeps rows of hidden states of every transformer layer.

    Rows are the tokens of the probe without padding, a seeded choice of at most `most`: the same
    ones at every call. Nothing trains, nothing is dropped out; the mode is restored.

    Args:
        handle: the adapters; `handle.model` is run.
        batches: the probe, on the model's device.
        seed: of the choice.
        most: rows of a layer.
    """

    def __init__(self, handle: Handle, batches: Batches, seed: int, most: int = MAX_ROWS) -> None:
        self.handle, self.batches, self.seed, self.most = handle, batches, seed, most
        self.layers = surgery.layers(handle.model)
        self._current = 0

    def features(self) -> list[Tensor]:
        """Return the rows (n, p) of every layer's output, in float32 on the host."""
        rows: list[list[Tensor]] = [[] for _ in self.layers]

        def see(index: int, layer: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
            rows[index].append(self._rows(out))

        self._run(see)
        return [torch.cat(parts) for parts in rows]

    def local_features(self, indices: Sequence[int]) -> dict[int, tuple[Tensor, Tensor]]:
        """Return rows of the wanted layers' outputs with their adapter, and without it.

        Both come from the same input: the one that the adapted model hands to the layer.
        """
        rows: dict[int, list[tuple[Tensor, Tensor]]] = {index: [] for index in indices}

        def see(index: int, layer: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
            if index in rows:
                self.handle.skip([index])
                bare = layer.forward(*args, **kwargs)  # not called, so that no hook runs again
                self.handle.skip(())
                rows[index].append((self._rows(out), self._rows(bare)))

        self._run(see)
        return {
            index: (torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts]))
            for index, parts in rows.items()
        }

    def rehearse(self, indices: Sequence[int]) -> None:
        """Run as both of the above do, and keep nothing: for tensors without values.

        Args:
            indices: layers whose output is wanted without their adapter, too.
        """

        def see(index: int, layer: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
            self._flat(out).clone()  # all rows, as if there were no padding
            if index in indices:
                self.handle.skip([index])
                self._flat(layer.forward(*args, **kwargs)).clone()
                self.handle.skip(())

        self._run(see)

    @torch.no_grad()
    def _run(self, see: Any) -> None:
        model = self.handle.model
        was_training = model.training
        model.eval()
        with _hooks(self.layers, see):
            for number, batch in enumerate(self.batches):
                self._current = number
                model(**{k: v for k, v in batch.items() if not _is_label(k)})
        model.train(was_training)

    @staticmethod
    def _flat(out: Any) -> Tensor:
        hidden: Tensor = out[0] if isinstance(out, tuple) else out
        return hidden.detach().flatten(0, -2)

    def _rows(self, out: Any) -> Tensor:
        flat = self._flat(out)
        mask = self.batches[self._current].get("attention_mask")
        if mask is not None and mask.numel() == len(flat):
            flat = flat[mask.flatten().bool()]
        share = self.most // len(self.batches)
        if len(flat) > share:
            generator = torch.Generator().manual_seed(self.seed * 10_007 + self._current)
            chosen = torch.randperm(len(flat), generator=generator)[:share]
            flat = flat[chosen.to(flat.device)]
        return flat.float().cpu()


def _is_label(name: str) -> bool:
    return name == "labels" or name.endswith("_positions")


@contextmanager
def _hooks(layers: Sequence[nn.Module], see: Any) -> Iterator[None]:
    hooks = [
        layer.register_forward_hook(partial(see, index), with_kwargs=True)
        for index, layer in enumerate(layers)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

"""MEFT (Liao et al., 2023): a pretrained model made reversible by small adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from methods import surgery
from methods.architectures import LayerRange
from methods.base import Method
from methods.bottleneck.options import Activation
from methods.wording import label_of, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from methods.base import Handle, Need, Plan

Design = Literal[1, 2, 3]
Rate = Annotated[float, Field(ge=0, lt=1)]
# What configs call the rate of dropout on hidden states; LLaMA has none.
RATES = ("hidden_dropout_prob", "resid_pdrop", "dropout")
# lambda and beta of each design (mefts, scripts/bert_glue.sh).
FACTORS = {1: (0.1, 1.0), 2: (1.0, 0.1), 3: (0.1, 0.1)}
NUM_PROBE = 8


class Meft(Method):
    """Two streams through the layers, so that backward rebuilds what forward did not keep.

    h0 is doubled: x1 = x2 = h0. A layer makes y1 = lambda x1 + F(x2), y2 = beta x2 + G(y1), and
    the last hidden state is the mean of the streams. Design 1: F is the layer with an adapter
    parallel to its feed-forward block, G an adapter. Design 2: F is the adapter, G the layer.
    Design 3: F is the attention block with an adapter behind the output projection, G the
    feed-forward block with a parallel adapter. Designs 1 and 2 swap the streams after each layer.
    Adapters have d units between h and h, and no residual.

    Memory of activations does not depend on the number of reversible layers; each is run once more
    in backward. Training does not start at the base model: at lambda 0 and without adapters one
    stream of design 1 is the base model's, the other is a layer behind.

    Undoing a layer divides the error by lambda and by beta. Measured at the defaults of designs 1
    and 2: errors stay below 1e-2 for four to five layers in float32 and for two in bfloat16; of
    design 3 for two. `chunk` bounds how many are undone in a row.

    Published (released code, BERT): the designs with their lambda and beta, d, activation. Other
    than there: dropout, which is the model's own in the released adapters (`dropout: model`) and 0
    by default here; all twelve layers are reversed there, from below where not all are (SAFE
    compares with half of them); it trains with betas .9 and .98, eps 1e-6 and weight decay .1
    (train.betas, train.eps). Assumed: the streams are kept in float32 where the model is in half
    precision; in models that normalise before a block, the parallel adapter sees what the
    feed-forward block sees. BART: the encoder only, its decoder stays as it is.
    """

    name: ClassVar[str] = "meft"

    design: Design = 1
    lam: PositiveFloat | None = Field(None, description="lambda; none: the design's")
    beta: PositiveFloat | None = Field(None, description="none: the design's")
    d: PositiveInt = Field(8, description="hidden units of an adapter")
    dropout: Rate | Literal["model"] = Field(
        0.0, description="inside of the adapters, behind activation; model: the model's own rate"
    )
    activation: Activation = "gelu"
    reversible: LayerRange = Field(
        "lower-half", description="layers that keep nothing; the others run plainly"
    )
    chunk: NonNegativeInt = Field(
        0, description="keep the streams behind every so many reversible layers; 0: the last only"
    )
    recon_tol: PositiveFloat = Field(
        1e-2, description="relative error of rebuilt layer inputs above which a run is marked"
    )

    @property
    def label(self) -> str:
        """Return `meft1-d8`, with the options that are not the defaults."""
        default = {name: option.default for name, option in type(self).model_fields.items()}
        lam, beta = FACTORS[self.design]
        parts = [
            ("d", self.d, None),
            ("lam", f"{self.lam or lam:g}", f"{lam:g}"),
            ("beta", f"{self.beta or beta:g}", f"{beta:g}"),
            ("drop", self.dropout, default["dropout"]),
            ("", self.activation, default["activation"]),
            ("", self.reversible, default["reversible"]),
            ("chunk", self.chunk, default["chunk"]),
            ("tol", f"{self.recon_tol:g}", f"{default['recon_tol']:g}"),
        ]
        return label_of(f"{self.name}{self.design}", parts)

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        """Put two adapters into every layer, and the stack in the layers' places.

        The handle has no units: where layers hang together like this, none can be frozen, cached
        or left out by another method.

        Raises:
            ValueError: the model's layers cannot be coupled, or the range leaves them.
        """
        from methods.meft.coupling import Coupling
        from methods.meft.handle import MeftHandle
        from methods.meft.layer import BLOCKS, MeftAdapters
        from methods.meft.stack import Stack

        names = _layer_names(model)
        chosen = surgery.resolve_range(
            self.reversible, len(names), "reversible", "meft couples layers [0, {count}) here"
        )
        surgery.freeze_base(model, plan)
        lam, beta = FACTORS[self.design]
        couplings: list[Coupling] = []
        adapter: dict[str, nn.Parameter] = {}
        for name in names:
            layer = model.get_submodule(name)
            layer.meft = MeftAdapters(
                _width(model),
                self.d,
                self.activation,
                self._rate(model),
                next(layer.parameters()).device,
            )
            adapter |= {f"{name}.meft.{key}": p for key, p in layer.meft.named_parameters()}
            couplings.append(
                Coupling(
                    layer=layer,
                    blocks=BLOCKS[surgery.family(model)],
                    design=self.design,
                    lam=self.lam or lam,
                    beta=self.beta or beta,
                )
            )
        stack = Stack(couplings, chosen, self.chunk)
        stack.install()
        return MeftHandle(
            model=model,
            adapter=adapter,
            undecayed=tuple(p for key, p in adapter.items() if key.endswith("_bias")),
            num_probe=NUM_PROBE,
            stack=stack,
            tolerance=self.recon_tol,
        )

    def remarks(self, model: nn.Module, plan: Plan | None) -> list[str]:
        """Say where training starts, what the released adapters have, and what a chunk keeps."""
        effects = ["two streams are near the base model at first, not at it"]
        own = self.model_copy(update={"dropout": "model"})._rate(model)
        if self._rate(model) != own:
            effects.append(
                f"adapters have dropout {self._rate(model):g}, the released ones the model's "
                f"{own:g} (dropout: model)"
            )
        if self.chunk:
            effects.append(f"chunk keeps the streams behind every {self.chunk} reversible layers")
        return effects

    def _rate(self, model: Any) -> float:
        if self.dropout != "model":
            return self.dropout
        given = (getattr(model.config, name, None) for name in RATES)
        return float(next((rate for rate in given if rate is not None), 0.0))

    def obstacles(self) -> Mapping[Need, str]:
        """Return that its layers hang together, and what its backward pass is made of."""
        return {
            "units": "its layers run as one on two streams, so that none stands for itself",
            "twice": "its backward pass rebuilds inputs and keeps no graph of its own",
        }

    def expected_count(self, model: nn.Module) -> int:
        """Sum 2 (2 h d + d + h) over the layers."""
        width = _width(model)
        return len(_layer_names(model)) * 2 * (2 * width * self.d + self.d + width)


def _width(model: Any) -> int:
    return int(model.config.hidden_size)


def _layer_names(model: Any) -> list[str]:
    """Return the layers that two streams go through; of BART those of the encoder.

    Raises:
        ValueError: they are not called one after the other with the same arguments, or their
            inside is not known here.
    """
    from methods.meft.layer import BLOCKS

    family, config = surgery.family(model), model.config
    if family not in BLOCKS:
        raise ValueError(f"meft knows no layers of {family!r} models; {nearest(family, BLOCKS)}")
    obstacles = {
        "cross-attention in its layers": getattr(config, "add_cross_attention", False),
        "layers with different masks": len(set(getattr(config, "layer_types", None) or [0])) > 1,
        "a convolution behind its first layer": getattr(config, "conv_kernel_size", 0) > 0,
        "encoder_layerdrop, which must be 0,": getattr(config, "encoder_layerdrop", 0) > 0,
    }
    for what, there in obstacles.items():
        if there:
            raise ValueError(f"meft cannot couple the layers of a model with {what}")
    names = surgery.layer_names(model)
    return [n for n in names if ".encoder." in n] if family == "bart" else names

"""SparseAdapter (He et al., 2022): adapters of which only a share of the entries trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from methods.base import Method
from methods.common.over import Over, OverMethod, attach_base, base_method
from methods.sparseadapter.options import Pruner, Scope
from methods.wording import label_of, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from methods.base import Course, Handle, Need, Plan, Stage

BASES = ("lora", "houlsby", "pfeiffer")


class SparseAdapter(OverMethod):
    """Mask entries of the adapters' matrices once, and train what is left: P * M in place of P.

    Every matrix is masked (LoRA's A and B; D and U of a bottleneck), biases never. The entries
    with the highest scores stay: `rand` N(0, 1), `magnitude` |P|, `snip` |g P|, `grasp` P (H g),
    the last two by a pass over 32 examples per label in eval mode before training; `er` picks at
    random, more of small matrices (Erdos-Renyi). It saves no memory: tensors and optimizer states
    are dense, masks come on top.

    keep_ratio is the share that stays. The released code's `sparsity` means the same, the paper's
    ratio what goes. SAFE's comparison states none; 0.6 is assumed, the original's best for
    bottlenecks.

    `large` is the paper's Large-Sparse: a base method `large` times as wide with keep_ratio /
    large, so that as many entries stay. With LoRA alpha grows too, so that alpha / r stays
    (assumed).

    At LoRA's usual start B = 0, and so is every score that multiplies by B or by A's gradient.
    Scores that look at values or gradients are therefore refused there. The released code starts
    both of LoRA's matrices from N(0, 0.02), as `over: {lora: {init: normal}}` does, and scores
    then; `score_after` takes scores from a training step's own gradients (not in the paper).
    """

    name: ClassVar[str] = "sparseadapter"

    over: Over = Field(description="lora, houlsby or pfeiffer, with its options")
    pruner: Pruner | None = Field(
        None, description="what scores entries; null: rand over lora, snip over bottlenecks"
    )
    keep_ratio: float = Field(0.6, gt=0, le=1, description="share of entries that stay (assumed)")
    scope: Scope = Field(
        "global", description="whether all matrices compete, or the entries of each"
    )
    large: PositiveInt = Field(1, description="width times this, keep_ratio divided by it")
    score_after: NonNegativeInt = Field(
        0, description="steps of training before scoring, for magnitude and snip; 0, or 2 and more"
    )

    @field_validator("over")
    @classmethod
    def _has_matrices(cls, over: Over) -> Over:
        [name] = over
        if name not in BASES:
            raise ValueError(f"sparseadapter does not work over {name!r}; {nearest(name, BASES)}")
        return over

    @model_validator(mode="after")
    def _check(self) -> SparseAdapter:
        pruner, [(name, options)] = self.resolved_pruner, self.over.items()
        if self.score_after and pruner not in ("magnitude", "snip"):
            raise ValueError(f"pruner {pruner} cannot score in training; set score_after: 0, or "
                             "pruner: snip")  # fmt: skip
        if self.score_after == 1:
            raise ValueError("score_after 1: with a learning rate that warms up from 0, the first "
                             "step moves nothing; take 2 or more")  # fmt: skip
        if pruner == "er" and self.scope == "local":
            raise ValueError("pruner er says itself how much of each matrix stays; leave out scope")
        looks = pruner in ("magnitude", "snip", "grasp") and not self.score_after
        if looks and options.get("init", "lora") in ("lora", "zero-up") and self.keep < 1:
            start = "normal" if name == "lora" else "bert"
            raise ValueError(
                f"pruner {pruner} has nothing to look at: {name} starts with matrices of zeros, "
                f"whose scores are all 0. Set over: {{{name}: {{init: {start}}}}}, pruner: rand, "
                "or score_after: 100 with magnitude or snip"
            )
        reduction = options.get("reduction")
        if reduction and not options.get("bottleneck") and reduction % self.large:
            raise ValueError(f"large {self.large} does not divide reduction {reduction}; give the "
                             f"width itself, such as {{{name}: {{bottleneck: 48}}}}")  # fmt: skip
        return self

    @property
    def resolved_pruner(self) -> Pruner:
        """The pruner; the base method's usual one where none is given."""
        return self.pruner or ("rand" if "lora" in self.over else "snip")

    @property
    def keep(self) -> float:
        """Share of the entries that stay, of as many as there are."""
        return self.keep_ratio / self.large

    @property
    def label(self) -> str:
        """Return `sparseadapter-lora-r8-rand-keep0.6`, with what is not the default."""
        parts = [
            ("", base_method(self.over).label, None),
            ("", self.resolved_pruner, None),
            ("keep", f"{self.keep_ratio:g}", None),
            ("", self.scope, "global"),
            ("large", self.large, 1),
            ("after", self.score_after, 0),
        ]
        return label_of(self.name, parts)

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        """Attach the base method and a mask to every matrix.

        Raises:
            ValueError: the run is over, or could go back to an epoch, before scores are taken.
        """
        from methods.sparseadapter.handle import SparseHandle

        if self.score_after >= plan.num_steps:
            raise ValueError(f"score_after {self.score_after}: this run has {plan.num_steps} steps")
        if plan.keep_best and self.score_after >= plan.steps_per_epoch:
            raise ValueError(
                f"score_after {self.score_after}: the best epoch that the run goes back to could "
                f"be one without masks; take less than {plan.steps_per_epoch} steps, or set "
                "train.checkpoint: last"
            )
        base = attach_base(self.base, model, plan, self.name)
        return SparseHandle.around(
            base,
            pruner=self.resolved_pruner,
            keep=self.keep,
            scope=self.scope,
            score_after=self.score_after,
            seed=plan.seed,
        )

    def obstacles(self) -> Mapping[Need, str]:
        """Add that masks lie over gradients, too."""
        own: dict[Need, str] = {"in_backward": "it masks gradients when all of them are there"}
        return {**own, **super().obstacles()}

    def stages(self, plan: Plan) -> list[Stage]:
        """Return the base method's."""
        return self.base.stages(plan)

    def course(self, plan: Plan) -> Course:
        """Return the base method's."""
        return self.base.course(plan)

    def remarks(self, model: nn.Module, plan: Plan | None) -> list[str]:
        """Add what the options do beside masking."""
        effects = super().remarks(model, plan)
        if self.large > 1:
            alpha = " and alpha" if "lora" in self.over else ""
            effects.append(f"large {self.large} makes the adapters{alpha} so many times as large")
        if self.score_after:
            effects.append(f"score_after trains {self.score_after} steps on all entries first")
        return effects

    @property
    def base(self) -> Method:
        """The base method, wider where that is asked for.

        Its count is ours, too: tensors are dense, the record tells what stays.
        """
        [(name, options)] = self.over.items()
        if name == "lora":
            wider = {key: options[key] * self.large for key in ("r", "alpha")}
        elif options["bottleneck"]:
            wider = {"bottleneck": options["bottleneck"] * self.large}
        else:
            wider = {"reduction": options["reduction"] // self.large}
        return base_method(self.over, **wider)

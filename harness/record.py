"""What a cell leaves behind: the schema of a record. Bytes, seconds and fractions throughout."""

from __future__ import annotations

from operator import not_
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from harness.foreseen import RunForecast
from harness.out_of_memory import Batches, OutOfMemory
from harness.part import Part
from harness.provenance import Data, Environment, Invocation, Provenance

SCHEMA_VERSION = 1

Outcome = Literal["ok", "oom", "crashed", "diverged", "interrupted", "unfit"]
ExportKind = Literal["adapter", "model"]
ExportReader = Literal["transformers", "peft", "harness.export"]
# How people read them.
MARKS: dict[str, str] = {
    "ok": "ok", "oom": "OOM", "crashed": "CRASHED", "diverged": "DIVERGED",
    "interrupted": "interrupted", "unfit": "does not fit",
}  # fmt: skip
# What a cell with one of these tells is its own, unless it is the host's memory that ran out.
HOST_MEMORY = "host memory"
FINAL_OUTCOMES: frozenset[str] = frozenset({"ok", "oom", "diverged"})


class Parameters(Part):
    """Numbers of parameters; a shared tensor counts once."""

    total: int
    adapter_trainable: int = Field(description="head and pooler excluded")
    head_trainable: int = Field(description="classification head, and pooler if it trains")
    adapter_stored: int = Field(description="trainable and frozen tensors that the method adds")
    adapter_trainable_mean: float = Field(description="mean over optimizer steps")


class PhaseMemory(Part):
    """Memory of one phase: a stretch of training with one set of trainable tensors."""

    first_step: int
    steps: int
    trainable: int = Field(description="parameters that train, head included")
    peak_allocated: int
    peak_mean: float | None = Field(
        None, description="mean over steps; what was not audited, by a line over padded tokens"
    )
    peak_reserved: int | None = None
    peak_device: int | None = None
    split: dict[str, int] = Field(description="bytes by category at the peak; sums to the peak")
    peaks: dict[str, int] = Field(description="peak in forward, backward and optimizer")
    saved_activations: int = Field(description="bytes held for backward when the forward ends")
    at_rest: int = Field(description="bytes alive between steps")
    unsplit: int | None = Field(None, description="CUDA: blocks given minus bytes requested")
    unexplained: int | None = Field(
        None, description="CUDA: bytes requested minus the split: workspaces of libraries"
    )
    shallowest_live_layer: int | None = None
    step_median: float | None = Field(None, description="seconds")
    flops: int | None = Field(None, description="forward and backward of all its steps")
    audited_steps: list[int] = Field(default_factory=list)
    holders: list[dict[str, Any]] = Field(default_factory=list, description="largest at the peak")


class RankPeaks(Part):
    """What one rank's device held at most, and what was foreseen of it."""

    rank: int
    training: int
    phases: list[int] = Field(description="of training, phase by phase")
    reserved: int | None = Field(None, description="of training; null: not CUDA")
    evaluation: int | None = None
    probe: int | None = None
    forecast: dict[str, int] = Field(
        default_factory=dict, description="of training, by the stage of the method"
    )
    forecast_evaluation: int | None = None


class Memory(Part):
    """Peaks of a run. `meter` says where they come from.

    Of a run on several devices they are those of the one that held the most.
    """

    meter: Literal["cuda", "cpu-ledger"]
    phases: list[PhaseMemory]
    peak_training: int
    peak_step_mean: float = Field(
        description="mean over all steps of each one's own peak, as phases have it; until November "
        "2026 the phases' peaks, weighted by their steps"
    )
    peak_last_phase: int
    peak_evaluation: int | None = None
    peak_probe: int | None = Field(None, description="while the method looks at its probe set")
    other_processes: list[dict[str, Any]] = Field(default_factory=list)
    rank: int | None = Field(
        None,
        description="whose peaks these are, of several devices",
        exclude_if=lambda value: value is None,
    )
    ranks: list[RankPeaks] = Field(
        default_factory=list,
        description="of all devices; empty where there is one",
        exclude_if=lambda value: not value,
    )


class Compacted(Part):
    """The model after `compact`: without the heads, channels or ranks that training masked."""

    scores: dict[str, dict[str, float]]
    parameters_total: int
    adapter: int = Field(description="parameters of the adapter that are left, head excluded")
    forward_macs: int | None
    forward: int | None = Field(description="FLOPs as in `flops.forward`, at the same length")
    memory: PhaseMemory = Field(description="of training steps on it, with nothing learned")


class Analysed(Part):
    """What one analysis found in a run; its time and memory are none of training's."""

    options: dict[str, Any]
    headline: dict[str, float] = Field(default_factory=dict, description="what tables show of it")
    content: dict[str, Any] = Field(default_factory=dict, description="all of it, by analysis")
    notes: list[str] = Field(default_factory=list, description="what speaks against it")
    seconds: float = 0.0
    peak_allocated: int | None = Field(None, description="CUDA; null: not measured")
    error: str | None = Field(None, description="why there is nothing")


class Export(Part):
    """What the run wrote to deploy."""

    kind: ExportKind
    folder: str = Field(description="below the run folder")
    bytes: int
    reader: ExportReader = Field("harness.export", description="what loads it")
    reason: str | None = Field(None, description="why peft would load another model")


class Flops(Part):
    """Floating point operations; one multiply-add is two."""

    forward_macs: int | None = Field(description="fvcore, one example of `forward_length` tokens")
    forward: int | None = Field(description="torch's counter, the same example")
    forward_length: int | None = Field(
        None,
        description="the settings' max_length, of an image 1; null, until November 2026: the "
        "first example's",
    )
    step: int | None = Field(description="forward and backward, first phase, mean over its steps")
    training: int | None = Field(description="sum over phases of step FLOPs times steps")
    unsupported: list[str] = Field(default_factory=list)
    note: str | None = None


class Time(Part):
    """Seconds. Evaluation, probes, analyses and metering are beside training, not in it."""

    step_median: float
    step_p90: float
    training: float
    evaluation: float
    metering: float
    probes: float = 0.0
    analyses: float = 0.0
    total: float


def sentences(said: Any) -> list[str]:
    """Return what a method says of a run as a list, whatever it is: one that is no list is one."""
    if said is None:
        return []
    return [str(one) for one in (said if isinstance(said, (list, tuple)) else [said])]


class Record(Part):
    """One finished cell."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, serialize_by_alias=True)

    schema_version: int = SCHEMA_VERSION
    key: str
    path: str = Field(description="task/model/method[/setting=value ...]/seed")
    suite: str
    cell: dict[str, Any] = Field(
        description="as it ran: the model's own attention in place of auto, smaller batches where "
        "those asked for did not fit"
    )
    asked_batches: Batches | None = Field(
        None,
        description="those of the suite, where smaller ones ran (--on-oom halve); null: they ran",
        exclude_if=lambda value: value is None,
    )
    outcome: Outcome = "ok"
    message: str | None = None
    log_tail: str | None = None
    started: str
    seconds: float = 0.0
    invocation: Invocation | None = Field(None, description="null: not recorded")
    attempts: list[str] = Field(
        default_factory=list, description="how earlier attempts of the same run ended"
    )
    beside: int = Field(
        0,
        description="other cells that could run on its device meanwhile (--jobs): times are not "
        "its own",
        exclude_if=not_,
    )
    environment: Environment = Field(default_factory=Environment)
    provenance: Provenance | None = Field(None, alias="model")
    data: Data | None = None
    steps: int | None = None
    epochs: float | None = Field(None, description="that these steps are, of the training rows")
    resumed_at: list[int] = Field(default_factory=list, description="steps it was taken up at")
    scores: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="evaluation -> metric -> fraction, reported checkpoint"
    )
    main_metric: str | None = None
    main_score: float | None = Field(None, description="main metric, mean over the evaluations")
    lowest: bool | None = Field(None, description="less of it is better; null: as it is named")
    averaged_score: float | None = Field(
        None, description="what the task adds to an average over tasks, by the protocol"
    )
    reported: dict[str, float] = Field(
        default_factory=dict, description="all figures of the table's cell, the main one first"
    )
    best_epoch: int | None = None
    history: list[dict[str, Any]] = Field(default_factory=list)
    final_loss: float | None = None
    parameters: Parameters | None = None
    memory: Memory | None = None
    flops: Flops | None = None
    time: Time | None = None
    compacted: Compacted | None = None
    analyses: dict[str, Analysed] = Field(default_factory=dict, description="by name")
    export: Export | None = None
    forecast: RunForecast | None = None
    out_of_memory: OutOfMemory | None = Field(
        None,
        description="where memory ran out, and what was alive then",
        exclude_if=lambda value: value is None,
    )
    method_state: dict[str, Any] = Field(default_factory=dict)
    frozen_at: dict[str, int | None] = Field(
        default_factory=dict,
        description="updates of each tensor that trained until the method froze it; null: to the "
        "end; empty where nothing froze, and until November 2026",
    )
    shortfalls: list[str] = Field(
        default_factory=list,
        description="what the method promised and did not do, and analyses that failed, in "
        "sentences",
    )
    remarks: list[str] = Field(
        default_factory=list, description="what its options mean in this run beyond their names"
    )

    @model_validator(mode="before")
    @classmethod
    def _shortfalls_of_old(cls, data: Any) -> Any:
        """Read what stood among the method's own words until November 2026."""
        old = data.get("method_state") if isinstance(data, dict) else None
        if not isinstance(old, dict) or "warnings" not in old or data.get("shortfalls"):
            return data
        return {**data, "shortfalls": old["warnings"]}

    @field_validator("cell", mode="before")
    @classmethod
    def _settings_of_old(cls, value: Any) -> Any:
        """Read a training setting by the name that it has now; a default is not written down."""
        if not (isinstance(value, dict) and isinstance(value.get("train"), dict)):
            return value
        train = dict(value["train"])
        if train.pop("keep_outputs", False) is True:
            train["outputs"] = "kept"
        return {**value, "train": train}

    @field_validator("shortfalls", "remarks", mode="before")
    @classmethod
    def _in_sentences(cls, value: Any) -> list[str]:
        return sentences(value)

    @field_validator("provenance", "data", mode="before")
    @classmethod
    def _none_where_empty(cls, value: Any) -> Any:
        return value or None  # as records had it until November 2026

    @property
    def is_final(self) -> bool:
        """Whether running the cell again would tell nothing new."""
        of_others = self.is_host_oom or self.is_shared_oom
        return self.outcome in FINAL_OUTCOMES and not of_others

    @property
    def is_answer(self) -> bool:
        """Whether nothing went wrong; a cell that no device here has room for may run elsewhere."""
        return self.is_final or self.outcome == "unfit"

    @property
    def is_host_oom(self) -> bool:
        """Whether host memory ran out, of which others take their share: another time it may do."""
        return self.outcome == "oom" and (self.message or "").startswith(HOST_MEMORY)

    @property
    def is_halved(self) -> bool:
        """Whether it ran with smaller batches than the suite asks for: its memory is another's."""
        return self.asked_batches is not None

    @property
    def is_shared_oom(self) -> bool:
        """Whether a device's memory ran out while other cells could take their share of it."""
        return self.outcome == "oom" and self.beside > 0 and not self.is_host_oom

    @property
    def was_shared(self) -> bool:
        """Whether others were on its device meanwhile, so that its times are doubtful."""
        return self.beside > 0 or bool(self.memory and self.memory.other_processes)

    @property
    def task(self) -> str:
        """The task's label."""
        return self.path.split("/")[0]

    @property
    def model(self) -> str:
        """The model's label."""
        return self.path.split("/")[1]

    @property
    def method(self) -> str:
        """The method's label, with the grid's values behind it."""
        return " ".join(self.path.split("/")[2:-1])

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.path.split("/")[-1].removeprefix("s"))

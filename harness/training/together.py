"""What the ranks of a cell measured, each on its own device, as one record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.foreseen import RunForecast
from harness.record import Memory, RankPeaks

if TYPE_CHECKING:
    from harness.record import Record
    from harness.training.ranks import Ranks


def put_together(record: Record, ranks: Ranks) -> None:
    """Take over what all ranks measured; each of them calls this at the end of its run.

    Memory and forecast become those of the device that held the most, with the peaks of all beside
    it. FLOPs become those of all devices. Scores, losses and what trained are the same everywhere,
    and times are those of this process: no step ends on one rank before it does on the others.
    """
    if ranks.size == 1 or record.memory is None:
        return
    every = [_read(told) for told in ranks.gather(_told(record))]
    peaks = [_peaks(rank, memory, forecast) for rank, (memory, forecast, _) in enumerate(every)]
    fullest = max(peaks, key=lambda one: one.training).rank
    memory, forecast, _ = every[fullest]
    record.memory = memory.model_copy(update={"rank": fullest, "ranks": peaks})
    record.forecast = forecast
    for index, phase in enumerate(record.memory.phases):
        phase.flops = _sum(other.phases[index].flops for other, _, _ in every)
    if record.flops is not None:
        record.flops.step = _sum(flops["step"] for _, _, flops in every)
        record.flops.training = _sum(flops["training"] for _, _, flops in every)


def _told(record: Record) -> dict[str, Any]:
    assert record.memory is not None
    return {
        "memory": record.memory.model_dump(mode="json"),
        "forecast": record.forecast and record.forecast.model_dump(mode="json"),
        "flops": record.flops.model_dump(mode="json") if record.flops else {},
    }


def _read(told: dict[str, Any]) -> tuple[Memory, RunForecast | None, dict[str, Any]]:
    forecast = told["forecast"]
    return (
        Memory.model_validate(told["memory"]),
        RunForecast.model_validate(forecast) if forecast else None,
        told["flops"],
    )


def _peaks(rank: int, memory: Memory, forecast: RunForecast | None) -> RankPeaks:
    stages = forecast.stages if forecast else {}
    reserved = [phase.peak_reserved for phase in memory.phases if phase.peak_reserved]
    evaluated = [stage.peak_evaluation for stage in stages.values() if stage.peak_evaluation]
    return RankPeaks(
        rank=rank,
        training=memory.peak_training,
        phases=[phase.peak_allocated for phase in memory.phases],
        reserved=max(reserved, default=None),
        evaluation=memory.peak_evaluation,
        probe=memory.peak_probe,
        forecast={name: stage.peak_allocated for name, stage in stages.items()},
        forecast_evaluation=max(evaluated, default=None),
    )


def _sum(values: Any) -> int | None:
    listed = list(values)
    return None if None in listed else sum(listed)

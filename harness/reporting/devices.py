"""How cards and the CPU are said in tables: short heads, and what the bytes of each are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.forecasting.result import Forecast

CUSTOM = 3  # parts of `custom:GIB:CAPABILITY`; behind them stands its speed


def on_cpu(entry: Forecast) -> bool:
    """Tell whether a forecast is for this machine's CPU."""
    return entry.gpu.startswith("cpu")


def heads(gpus: Iterable[str]) -> dict[str, str]:
    """Return what stands above a card's column: a custom one without its speed, if that will do."""
    names = list(dict.fromkeys(gpus))
    short = {name: ":".join(name.split(":")[:CUSTOM]) for name in names}
    shorts = list(short.values())
    return {name: one if shorts.count(one) == 1 else name for name, one in short.items()}


def head_notes(gpus: Iterable[str]) -> list[str]:
    """Say which cards the short heads stand for."""
    return [f"{head}: {name}." for name, head in heads(gpus).items() if head != name]


def memory_note(forecasts: Sequence[Forecast]) -> str:
    """Say what the bytes in the table of forecasts are, on cards and on the CPU."""
    cpu = dict.fromkeys(entry.gpu for entry in forecasts if on_cpu(entry))
    parts = [
        "peak: allocated, from the second step on, split at that moment (activations with "
        "temporaries)"
    ]
    if any(not on_cpu(entry) for entry in forecasts):
        parts += [
            "reserved: by a replay of the caching allocator",
            "card: margin of its memory over reserved and CUDA context, tight below 3 %, of "
            "training, evaluation and probe together",
        ]
    if cpu:
        parts.append(
            f"{', '.join(cpu)}: margin of this machine's memory over the peak, tight below 3 %, of "
            "training, evaluation and probe together; nothing is reserved there"
        )
    return f"{'; '.join(parts)}; in brackets what needs the most, where it is not training. " + (
        "1 GiB = 2^30 B."
    )

"""One run of pytest: its tests' forecasts, the verdicts on them, and what was accepted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.errors import UserError
from harness.testing.accepted import LEAST, Accepted, read_accepted, write_accepted
from harness.testing.forked import Answer, Question, forecasts_of
from harness.testing.marks import Demand, demands_of
from harness.testing.names import MARKS, OUTCOMES
from harness.testing.verdict import Judged, amount, judge, places_of

_SESSION: pytest.StashKey[Session] = pytest.StashKey()


def session_of(config: pytest.Config) -> Session:
    """Return the one of this run."""
    if _SESSION not in config.stash:
        config.stash[_SESSION] = Session(config)
    return config.stash[_SESSION]


class Session:
    """Judges marked tests, and writes what is accepted when all are done."""

    def __init__(self, config: pytest.Config) -> None:
        option, ini = config.getoption, config.getini
        self.file = config.rootpath / ini("memory_file")
        self.accepting = bool(option("--memory-accept"))
        self.reason = str(option("--memory-reason")).strip()
        strict = option("--memory-strict")
        self.strict = bool(ini("memory_strict") if strict is None else strict)
        self.gpu = str(option("--memory-gpu") or ini("memory_gpu"))
        self.verbose = config.get_verbosity() > 0

    def judge(self, item: pytest.Function) -> None:
        """Run a marked test; fails it where a mark is not kept."""
        __tracebackhide__ = True
        mistake = ""
        try:
            demands = demands_of(item, MARKS, self.gpu)
            accepted = read_accepted(self.file)
        except UserError as error:
            mistake = str(error)
        if mistake:  # outside of the handler, whose error pytest would tell as well
            pytest.fail(mistake, pytrace=False)
        questions = _questions(demands)
        names = item._fixtureinfo.argnames
        arguments = {name: item.funcargs[name] for name in names}
        answer = forecasts_of(lambda: item.obj(**arguments), list(questions))
        _refuse(answer)
        forecasts = dict(zip(questions, answer.value, strict=True))
        software = software_here()
        judged = []
        for demand in demands:
            forecast = next(forecasts[q] for q, asked in questions.items() if demand in asked)
            found = judge(
                item.nodeid, demand, forecast, accepted.get(_key(item, demand)), software,
                accepting=self.accepting,
            )  # fmt: skip
            judged.append((found, forecast))
        outcomes = [self._outcome(one, forecast, software) for one, forecast in judged]
        setattr(item, OUTCOMES, outcomes)
        for one, _ in judged:
            name = f"{one.demand.mark}.{one.demand.card.name}.{one.demand.of}_bytes"
            item.user_properties.append((name, one.figure))
        failures = [one.failure or self._unaccepted(one) for one, _ in judged]
        if any(failures):
            pytest.fail("\n\n".join(filter(None, failures)), pytrace=False)

    def _unaccepted(self, one: Judged) -> str:
        """Say that nothing was accepted, where that fails."""
        unknown = one.demand.mark == "memory_increase" and one.accepted is None
        if not unknown or not self.strict or self.accepting:
            return ""
        return (
            f"memory_increase: no peak has been accepted for {one.key}; pytest --memory-accept "
            f"writes {self.file.name}"
        )

    def _outcome(self, one: Judged, forecast: Any, software: dict[str, str]) -> dict[str, Any]:
        """Return what the report carries: plain values, which xdist can hand on."""
        least = LEAST * forecast.allocated
        places = {n: size for n, size in places_of(forecast).items() if size >= least}
        fresh = Accepted(
            of=one.demand.of, bytes=one.figure, software=software, reason=self.reason,
            places=places,
        )  # fmt: skip
        return {
            "key": one.key, "mark": one.demand.mark, "figure": one.figure, "limit": one.limit,
            "before": one.accepted.num_bytes if one.accepted else None,
            "accepted": fresh.model_dump(by_alias=True), "seconds": forecast.seconds,
        }  # fmt: skip

    # -- the end of the run --------------------------------------------------------------------

    def conclude(self, reports: Sequence[Any], terminal: Any) -> None:
        """Print what was found, and write what is accepted."""
        outcomes = [(r, one) for r in reports for one in r.memory_outcomes]
        increases = [(r, one) for r, one in outcomes if one["mark"] == "memory_increase"]
        terminal.section("forecast memory", sep="=")
        for _report, one in outcomes:
            if self.verbose:
                limit = "" if one["limit"] is None else f" of {amount(one['limit'])}"
                terminal.line(f"{one['key']}: {amount(one['figure'])}{limit}")
        new = [one["key"] for _, one in increases if one["before"] is None]
        if new and not self.accepting:
            terminal.line(f"{len(new)} without an accepted peak, held against nothing:")
            for key in new:
                terminal.line(f"  {key}")
            terminal.line(f"pytest --memory-accept writes {self.file.name}")
        if self.accepting:
            self._accept([one for r, one in increases if r.passed], terminal)
        times = [one["seconds"] for _, one in outcomes]
        number = len(outcomes)
        terminal.line(f"{number} forecast{'s' * (number != 1)}, {sum(times):.1f} s")

    def _accept(self, outcomes: Sequence[dict[str, Any]], terminal: Any) -> None:
        accepted = read_accepted(self.file)
        moved = [one for one in outcomes if one["before"] != one["figure"]]
        for one in moved:
            accepted[one["key"]] = Accepted.model_validate(one["accepted"])
        if moved:
            write_accepted(self.file, accepted)
        terminal.line(
            f"{self.file.name}: {len(moved)} accepted, {len(outcomes) - len(moved)} as before"
        )
        for one in moved:
            before = "new" if one["before"] is None else amount(one["before"])
            terminal.line(f"  {one['key']}: {before} -> {amount(one['figure'])}")


def _questions(demands: Sequence[Demand]) -> dict[Question, list[Demand]]:
    """Return what has to be forecast, and which marks each forecast is for."""
    from harness.forecasting.cards import target_of

    by_run: dict[tuple[Any, Any], list[Demand]] = {}
    for demand in demands:
        by_run.setdefault((demand.run, target_of(demand.card)), []).append(demand)
    return {
        Question(run, target, tuple(sorted({one.card.capacity for one in asked}))): asked
        for (run, target), asked in by_run.items()
    }


def _key(item: pytest.Item, demand: Demand) -> str:
    from harness.testing.verdict import key_of

    return key_of(item.nodeid, demand)


def _refuse(answer: Answer) -> None:
    """End the test as its process has ended, where there is no forecast."""
    __tracebackhide__ = True
    if answer.kind == "skipped":
        pytest.skip(answer.value)
    if answer.kind != "done":
        pytest.fail(answer.value, pytrace=False)


def software_here() -> dict[str, str]:
    """Return the versions that move memory, without their build tags."""
    from harness.env import MEMORY_PACKAGES, package_versions

    versions = package_versions()
    return {n: versions[n].partition("+")[0] for n in MEMORY_PACKAGES if n in versions}

"""Side against side: what differs, what moved and where, and what cannot be said."""

from __future__ import annotations

from typing import Any

import pytest

from harness.comparing.moves import CellMove, Comparison, Shift, compare
from harness.comparing.report import data, markdown
from harness.comparing.sides import Figures, Place, Side, listed
from harness.comparing.tables import all_cells, comparison_tables
from harness.comparing.wording import notes
from harness.errors import UserError

MIB = 2**20


def figures(peak: int = 8 * MIB, places: dict[Place, int] | None = None, **rest: Any) -> Figures:
    return Figures(
        sizes={"peak": peak, "at rest": peak // 2},
        split={"activations": peak},
        places=places if places is not None else {Place("activations", "bert"): peak},
        **rest,
    )


def side(name: str, facts: dict[str, str] | None = None, **cells: Figures) -> Side:
    paths = {f"task/model/{cell}/s0": each for cell, each in cells.items()}
    return Side(name, "forecast", {"torch": "2"} if facts is None else facts, paths)


def moved(before: dict[Place, int], after: dict[Place, int], least: int = 0) -> CellMove:
    first = figures(sum(before.values()), before)
    second = figures(sum(after.values()), after, least=least)
    return CellMove("task/model/lora/s0", first, second)


def compared(before: Side, after: Side) -> tuple[Comparison, str]:
    comparison = compare(before, after)
    return comparison, " ".join(notes(comparison))


def test_environment_and_settings_come_first() -> None:
    before = side("a", {"torch": "2.12", "peft": "1", "x": "1"}, lora=figures(settings={"b": "8"}))
    after = side("b", {"torch": "2.13", "peft": "1"}, lora=figures(9 * MIB, settings={"b": "16"}))
    comparison, _ = compared(before, after)
    assert comparison.facts == {"torch": ("2.12", "2.13"), "x": ("1", "-")}
    assert comparison.same_facts == {"peft": "1"}
    assert comparison.settings == {("b", "8", "16"): ["task/model/lora/s0"]}
    titles = [table.title for table in comparison_tables(comparison)]
    assert titles[:2] == ["Environment: what differs", "Settings: what differs"]
    assert titles[2:] == [
        "Peak memory, MiB", "Moved at the peak, by category", "Moved at the peak, by place",
    ]  # fmt: skip


def test_bytes_move_by_size_category_and_place() -> None:
    move = CellMove("task/model/lora/s0", figures(8 * MIB), figures(6 * MIB))
    assert move.sizes == {"peak": Shift(8 * MIB, 6 * MIB), "at rest": Shift(4 * MIB, 3 * MIB)}
    assert move.sizes["peak"].share == -0.25
    assert move.split["activations"].moved == -2 * MIB
    assert move.places == {Place("activations", "bert"): Shift(8 * MIB, 6 * MIB)}
    assert move.elsewhere == 0


def test_layers_are_summed_up() -> None:
    before = {Place("activations", f"layer.{n}.mlp"): 10 for n in range(3)}
    after = {Place("activations", f"layer.{n}.mlp"): 12 for n in range(3)}
    assert moved(before, after).places == {Place("activations", "layer.*.mlp"): Shift(30, 36)}


def test_a_place_with_another_name_did_not_move() -> None:
    before = {Place("gradients", "bert.pooler"): 5, Place("gradients", "head"): 7}
    after = {Place("gradients", "pooling"): 5, Place("gradients", "head"): 7}
    move = moved(before, after)
    assert move.renamed == {Place("gradients", "bert.pooler"): Place("gradients", "pooling")}
    assert move.is_same
    comparison = compare(side("a", lora=figures(12, before)), side("b", lora=figures(12, after)))
    assert "gradients in bert.pooler is pooling now" in " ".join(notes(comparison))


def test_of_two_places_alike_nobody_says_which_one_was_renamed() -> None:
    before = {Place("gradients", "a"): 5, Place("gradients", "b"): 5}
    after = {Place("gradients", "c"): 5, Place("gradients", "d"): 5}
    move = moved(before, after)
    assert move.renamed == {}
    assert [shift.moved for shift in move.places.values()] == [-5, -5, 5, 5]


def test_what_the_other_side_need_not_list_did_not_vanish() -> None:
    before = {Place("weights", "a"): 100, Place("weights", "b"): 9, Place("weights", "c"): 50}
    after = {Place("weights", "a"): 100}
    move = moved(before, after, least=10)
    assert move.places == {Place("weights", "c"): Shift(50, 0)}
    assert move.elsewhere == -9


def test_what_is_listed_and_what_may_be_missing() -> None:
    held = [("weights", "a", 6), ("weights", "a", 3), ("weights", "b", 4)]
    places = {Place("weights", "a"): 9, Place("weights", "b"): 4}
    assert listed(13, held) == (places, 0)
    assert listed(14, held) == (places, 3)


def test_categories_that_one_side_does_not_know_are_left_aside() -> None:
    before = {Place("", "a"): 5}
    after = {Place("weights", "a"): 5, Place("gradients", "a"): 2}
    assert moved(before, after).places == {Place("", "a"): Shift(5, 7)}


def test_cells_of_one_side_and_without_figures_are_told() -> None:
    before = side(
        "a", lora=figures(), full=Figures(reason="oom"), old=figures(), no=Figures(reason="x")
    )
    after = side("b", lora=figures(), full=figures(), new=figures(), no=Figures(reason="x"))
    comparison, told = compared(before, after)
    assert not comparison.is_whole
    assert [move.path for move in comparison.moves] == ["task/model/lora/s0"]
    assert "Only before, so not compared: 1 cell: task/model/old/s0." in told
    assert "Only after, so not compared: 1 cell: task/model/new/s0." in told
    assert "Before has no figures of task/model/full/s0: oom" in told
    assert "Neither side has figures of task/model/no/s0: x" in told
    neither = compare(side("a", a=figures(), b=Figures(reason="x")),
                      side("b", a=figures(), b=Figures(reason="y")))  # fmt: skip
    assert neither.is_whole


def test_what_stayed_is_said_in_words() -> None:
    comparison, told = compared(side("a", lora=figures()), side("b", lora=figures()))
    assert comparison_tables(comparison) == []
    assert "The environment is the same as far as it is known: torch 2." in told
    assert "The same to the byte: task/model/lora/s0." in told


def test_cells_that_move_alike_stand_together() -> None:
    names = [f"m{n}" for n in range(4)]
    before = side("a", **{name: figures(8) for name in names}, other=figures(8))
    after = side("b", **{name: figures(9) for name in names}, other=figures(7))
    peaks = comparison_tables(compare(before, after))[0]
    assert [row[0] for row in peaks.texts] == ["m0 and 3 more", "other"]
    assert len(all_cells(compare(before, after)).rows) == 5


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (side("a", x=figures()), side("b", y=figures()), "no cell is in both: a has task/model/x"),
        (side("a", x=figures()), Side("b", "measured", {}, {}), "a holds forecast figures, b meas"),
    ],
)
def test_what_cannot_be_compared_is_refused(before: Side, after: Side, said: str) -> None:
    with pytest.raises(UserError, match=said):
        compare(before, after)


def times(host: str, cpu: str) -> dict[str, str]:
    return {"host": host, "cpu": cpu}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (times("x", "c"), times("x", "c"), "Step times are of one machine; what else ran on it"),
        (
            times("x", "c"),
            times("y", "d"),
            "The machines differ (host, cpu), so step times com",
        ),
        ({}, {}, "Whether the machine is the same is not recorded"),
    ],
)
def test_a_ratio_of_times_says_what_it_is_worth(
    before: dict[str, str], after: dict[str, str], said: str
) -> None:
    comparison, told = compared(
        side("a", before, lora=figures(step_seconds=2.0, score=0.5, metric="accuracy")),
        side("b", after, lora=figures(step_seconds=3.0, score=0.75, metric="accuracy")),
    )
    [table] = [t for t in comparison_tables(comparison) if t.title == "Scores and time"]
    assert table.texts == [["task/model/lora", "accuracy", "50.00", "75.00", "+25.00", "1.50"]]
    assert said in told


def test_scores_are_compared_over_the_seeds_that_both_have() -> None:
    def seeds(name: str, *scores: float | None) -> Side:
        cells = {f"task/model/lora/s{n}": figures(score=s, metric="accuracy")
                 for n, s in enumerate(scores)}  # fmt: skip
        return Side(name, "measured", {}, cells)

    [row] = data(compare(seeds("a", 0.1, 0.3, 0.9), seeds("b", 0.2, 0.6, None)))["scores"]
    assert (row["before"], row["after"]) == ([0.1, 0.3], [0.2, 0.6])
    assert row["moved"] == pytest.approx(0.2)


def test_free_text_is_literal_in_markdown() -> None:
    hostile = "a|b <b>x</b>\x1b[31m"
    before = side("<script>", {"torch": hostile}, lora=figures(8))
    page = markdown(compare(before, side("b", {"torch": "2"}, lora=figures(9))))
    assert "<script>" not in page
    assert "a\\|b &lt;b>x&lt;/b>\\x1b[31m" in page

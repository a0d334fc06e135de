"""The HTML page in a real browser: it works, by mouse and keyboard, and lets nothing out or in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pages import (
    HOSTILE,
    NAMES,
    SCORES,
    SIZES,
    SLIDER,
    group,
    hostile,
    many,
    memory,
    renamed,
    sized,
)
from records import eight_cells, record

from harness.forecasting.cards import CARDS
from harness.printed import lines
from harness.reporting.page.chapter import Chapter
from harness.reporting.page.page import page
from harness.units import GIB, MIB, mib, millions, score

pytestmark = pytest.mark.browser


def test_it_opens_without_a_complaint_and_asks_nobody_for_anything(
    opened: Callable[..., Any], simple: str
) -> None:
    shown = opened(simple)
    assert shown.texts(NAMES) == ["bitfit", "lora-r8", "lora-r16", "full"], "least memory first"
    assert shown.complaints() == []
    assert shown.js("return performance.getEntriesByType('resource').length") == 0
    tiles = dict(zip(shown.texts(".tile-title"), shown.texts(".tile-method"), strict=True))
    assert tiles == {"Best accuracy": "full", "Least memory": "bitfit"}, "the others are all alike"


def test_the_policy_holds(opened: Callable[..., Any], simple: str) -> None:
    shown = opened(simple)
    blocked = shown.later("""
        const broken = [];
        const note = (event) => broken.push(event.effectiveDirective);
        document.addEventListener("securitypolicyviolation", note);
        const button = document.createElement("button");
        button.setAttribute("onclick", "window.ran = true");
        document.body.append(button);
        button.click();
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
        const picture = new Image();
        picture.src = "http://127.0.0.1:9/x.png";
        fetch("http://127.0.0.1:9/").catch(() => setTimeout(() => done([broken, window.ran]), 100));
    """)
    assert blocked[1] is None
    assert {"script-src-attr", "script-src-elem", "img-src", "connect-src"} <= set(blocked[0])


def test_hostile_texts_appear_as_they_are(opened: Callable[..., Any], tmp_path: Path) -> None:
    records = hostile(tmp_path)
    html = page(HOSTILE[0], [Chapter(group(records, HOSTILE[1], description=HOSTILE[0]))], HOSTILE)
    shown = opened(html)
    methods = [lines(text).replace("/", "∕") for text in HOSTILE]
    assert sorted(shown.texts(NAMES)) == sorted(methods)
    assert shown.driver.title == HOSTILE[0], "nothing has set another"
    assert shown.texts("h1") == [HOSTILE[0]]
    assert shown.js("return document.querySelectorAll('img, iframe, svg[onload]').length") == 0
    for number, text in enumerate(methods):
        shown.js("[...document.querySelectorAll(arguments[0])].find((e) =>"
                 " e.textContent === arguments[1]).click()", NAMES, text)  # fmt: skip
        assert shown.texts("dialog h2") == [text]
        if number % 2:
            assert shown.texts("dialog .message") == [lines(HOSTILE[number])]
        assert shown.texts("dialog .command") == [lines(HOSTILE[number])]
        shown.js("document.getElementById('record').close()")
    assert shown.driver.title == HOSTILE[0]
    assert shown.complaints() == []


def test_numbers_read_as_in_the_other_tables(opened: Callable[..., Any], simple: str) -> None:
    shown = opened(simple)
    rows = [
        [cell.text for cell in row.find_elements("css selector", "td")]
        for row in shown.all(".methods-box tbody tr")
    ]
    order = sorted(SIZES, key=lambda name: SIZES[name])
    values = dict(zip(SIZES, SCORES, strict=True))
    assert [row[0] for row in rows] == [score(values[name]) for name in order]
    assert [row[1] for row in rows] == [mib(SIZES[name] * MIB) for name in order]
    assert {row[3] for row in rows} == {millions(1_327_104)}


def test_a_column_sorts_both_ways_and_what_is_missing_comes_last(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    records = sized(tmp_path, SIZES, SCORES)
    lost = renamed(records[0], "rte/tiny/aflora/s0", outcome="oom", memory=None, main_score=None)
    shown = opened(page("a report", [Chapter(group([lost, *records]))]))
    heads = ".methods-box thead th"

    def after(number: int) -> tuple[list[str], str]:
        shown.click(f"{heads} button", number)
        return shown.texts(NAMES), shown.all(heads)[number].get_attribute("aria-sort")

    by_score = ["full", "lora-r16", "lora-r8", "bitfit"]
    assert after(1) == ([*by_score, "aflora"], "descending"), "the best first"
    assert after(1) == ([*by_score[::-1], "aflora"], "ascending")
    assert after(0) == (["aflora", "bitfit", "full", "lora-r8", "lora-r16"], "ascending")
    assert shown.all(heads)[1].get_attribute("aria-sort") == "none"
    assert shown.texts(".methods-box .best") == ["100.0", "90.00"], "in the order of the rows"
    assert "OOM" in shown.texts(".methods-box tbody tr")[0]
    assert "Without a point: aflora." in shown.texts(".figure-box .hint")


def test_the_filter_keeps_what_has_all_words(opened: Callable[..., Any], simple: str) -> None:
    shown = opened(simple)
    shown.type("input[type=search]", "lora R8")
    assert shown.texts(NAMES) == ["lora-r8"]
    assert shown.texts(".methods-box .count") == ["1 of 4 shown"]
    assert len(shown.all(".point.unfit")) == 3, "the others step back in the figure"
    shown.js("const f = document.querySelector('input[type=search]'); f.value = '';"
             "f.dispatchEvent(new Event('input'))")  # fmt: skip
    assert len(shown.texts(NAMES)) == 4


def test_what_fits_on_a_card(opened: Callable[..., Any], tmp_path: Path) -> None:
    card = CARDS["rtx4090"]
    sizes = {"full": card.capacity // MIB + 1, "lora": card.capacity // MIB, "bitfit": 9000}
    shown = opened(page("a report", [Chapter(group(sized(tmp_path, sizes, [0.9, 0.8, 0.7])))]))
    assert shown.texts("output") == ["no limit"]
    shown.choose("Fits on my card", "rtx4090")
    assert shown.texts("output") == [f"{card.capacity / GIB:.2f} GiB: 2 of 3 fit"]
    assert shown.texts(".methods-box tr.unfit .name") == ["full"]
    assert len(shown.all(".point.unfit")) == 1
    shown.click(".check input")
    assert shown.texts(NAMES) == ["bitfit", "lora"]
    shown.js(SLIDER, 0)
    assert shown.texts("output")[0].endswith("0 of 3 fit")
    assert shown.texts(NAMES) == []
    shown.js(SLIDER, 1000)
    assert len(shown.texts(NAMES)) == 3


def test_a_click_opens_the_record_and_what_was_alive_at_its_peak(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    records = [record(cell, 0.5, memory=memory(2**30, 2**29)) for cell in eight_cells(tmp_path)]
    shown = opened(page("a report", [Chapter(group(records))]))
    shown.click(NAMES, 1)
    assert shown.texts("dialog h2") == ["lora-r8"]
    assert shown.texts("dialog h3")[:2] == [
        "Alive at its peak: 1,024.0 MiB",
        "Over training: 2 phases",
    ]
    assert len(shown.texts("dialog .holders li")) == 12
    assert shown.texts("dialog .holders .place")[0] == "encoder.layer.0.output"
    assert shown.texts("dialog .holders .number")[0] == "25.6 · 2.5 %"
    assert "headroom run small.yaml" in shown.texts("dialog .command")
    assert shown.texts("dialog option")[-1] == "rte, seed 1: ok 50.00, 1,024.0 MiB"
    shown.choose("Run (4)", "3")
    assert shown.texts("dialog .path")[0].startswith("rte/tiny/lora-r8/s1")
    for bar in shown.all("dialog .parts .bar"):
        assert bar.size["width"] > 0


def test_by_keyboard_alone(opened: Callable[..., Any], simple: str) -> None:
    from selenium.webdriver.common.keys import Keys

    shown = opened(simple)
    active = "return document.activeElement"
    shown.js("document.querySelector('.methods-box thead button').focus()")
    reached = []
    for _ in range(20):
        shown.js(active).send_keys(Keys.TAB)
        reached.append(shown.js("return document.activeElement.textContent"))
    assert {"bitfit", "lora-r8", "lora-r16", "full"} <= set(reached)
    shown.js(f"document.querySelector('{NAMES}').focus()")
    assert shown.js("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert shown.texts(".why-box h3") == ["Why: bitfit against full"], "as pointing does"
    shown.js(active).send_keys(Keys.ENTER)
    assert shown.js("return document.getElementById('record').open")
    assert shown.js("return document.activeElement.getAttribute('aria-label')") == "Close"
    shown.js(active).send_keys(Keys.ESCAPE)
    assert not shown.js("return document.getElementById('record').open")
    assert shown.js("return document.activeElement.textContent") == "bitfit", "back where it was"


def test_pointing_at_a_point_shows_it(opened: Callable[..., Any], simple: str) -> None:
    from selenium.webdriver import ActionChains

    shown = opened(simple)
    point = shown.all(".point")[0]
    ActionChains(shown.driver).move_to_element(point).perform()
    assert shown.texts("#tip strong") == ["full"]
    assert "peak: 300.0 MiB" in shown.texts("#tip span")
    assert shown.texts(".why-box h3") == ["What holds full"]
    point.click()
    assert shown.texts("dialog h2") == ["full"]


def test_groups_stand_behind_tabs(opened: Callable[..., Any], tmp_path: Path) -> None:
    one, two = sized(tmp_path, {"a": 1, "b": 2}, [0.1, 0.2]), sized(tmp_path, {"c": 3}, [0.3])
    shown = opened(page("a report", [Chapter(group(one, "x")), Chapter(group(two, "y"))]))
    assert shown.texts("[role=tab]") == ["x", "y"]
    assert shown.texts(NAMES) == ["a", "b"]
    shown.click("[role=tab]", 1)
    assert [each.is_displayed() for each in shown.all(".group")] == [False, True]
    assert shown.texts("#group-1 .name")[0] == "c"
    assert shown.complaints() == []


@pytest.mark.parametrize(("methods", "tasks", "seeds"), [(50, 8, 5), (2000, 1, 1)])
def test_two_thousand_records_sort_smoothly(
    opened: Callable[..., Any], tmp_path: Path, methods: int, tasks: int, seeds: int
) -> None:
    shown = opened(page("a report", [Chapter(group(many(tmp_path, methods, tasks, seeds)))]))
    shown.click(".runs summary")
    times = []
    for table in (".methods-box", ".runs"):
        heads = len(shown.all(f"{table} thead button"))
        for number in range(min(4, heads)):
            times.append(
                shown.later(f"""
                const head = document.querySelectorAll("{table} thead button")[{number}];
                const began = performance.now();
                head.click();
                requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
            """)
            )
    print(f"{methods} methods: sorted in {sorted(map(round, times))} ms")
    assert sorted(times)[len(times) // 2] < 500, "on a loaded machine; below 100 ms on a free one"
    assert shown.complaints() == []

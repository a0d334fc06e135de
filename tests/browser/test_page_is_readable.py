"""The HTML page in a real browser, for every reader: screen, contrast, theme, motion, content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pages import NAMES, SLIDER, group, memory, renamed
from records import eight_cells, record

from harness.forecasting.result import Forecast
from harness.reporting.page.chapter import Chapter
from harness.reporting.page.page import page

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_screen_and_is_readable(
    opened: Callable[..., Any], tmp_path: Path, width: int, scheme: str
) -> None:
    cells = eight_cells(tmp_path)
    records = [record(cell, 0.5, memory=memory(2**30, 2**29)) for cell in cells[:-1]]
    records.append(record(cells[-1], 0.5, outcome="oom", memory=None, message="why"))
    chapter = Chapter(group(records), facts=["a `fact`"], details=["a detail"])
    shown = opened(page("a report", [chapter]), width, scheme=scheme)
    root = "return document.documentElement"
    unfold = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
    show = f"document.querySelector('{NAMES}').click()"
    for step in ("", unfold, SLIDER, show, unfold):
        shown.js(step, 0)
        assert shown.js(f"{root}.scrollWidth") <= shown.js(f"{root}.clientWidth")
        assert shown.js(CONTRAST) == []
    dialog = "const d = document.getElementById('record');"
    assert shown.js(f"{dialog} return d.open && d.scrollWidth <= d.clientWidth")


# Texts whose contrast with what is behind them is below 4.5, as WCAG 2 counts it.
CONTRAST = """
const channel = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const parse = (text) => {
  const numbers = text.match(/[\\d.]+/g).map(Number);
  const scale = text.startsWith("color(") ? 1 : 255;
  return { rgb: numbers.slice(0, 3).map((n) => n / scale), alpha: numbers[3] ?? 1 };
};
const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const behind = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const { rgb, alpha } = parse(getComputedStyle(e).backgroundColor);
    if (alpha === 1) return rgb;
  }
  return [1, 1, 1];
};
const poor = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
  if (["SCRIPT", "STYLE", "OPTION", "NOSCRIPT"].includes(element.tagName)) continue;
  const style = getComputedStyle(element);
  const color = element instanceof SVGElement ? style.fill : style.color;
  const [a, b] = [luminance(parse(color).rgb), luminance(behind(element))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) poor.push([walker.currentNode.data, color, Math.round(ratio * 100) / 100]);
}
return poor;
"""


def test_the_reader_chooses_the_theme(opened: Callable[..., Any], simple: str) -> None:
    from harness.reporting.figures.theme import DARK, LIGHT

    background = """const v = getComputedStyle(document.documentElement);
        return v.getPropertyValue("--background").trim();"""
    shown = opened(simple, scheme="dark")
    assert shown.js(background) == DARK.background
    seen = []
    for _ in range(3):
        shown.click("#theme")
        seen.append((shown.texts("#theme")[0], shown.js(background)))
    assert seen == [
        ("Theme: light", LIGHT.background),
        ("Theme: dark", DARK.background),
        ("Theme: system", DARK.background),
    ]


def test_nothing_moves_for_those_who_asked_for_that(
    opened: Callable[..., Any], simple: str
) -> None:
    moving = """return [...document.querySelectorAll("*")].filter((e) =>
        getComputedStyle(e).transitionDuration !== "0s" ||
        getComputedStyle(e).animationName !== "none").length"""
    shown = opened(simple, motion="reduce")
    shown.click(NAMES)
    assert shown.js(moving) == 0
    shown = opened(simple)
    shown.click(NAMES)
    assert shown.js(moving) > 0


WALK = """
const seen = [];
const look = () => {
  const said = ["main", "dialog"].map((part) => document.querySelector(part).innerText).join(" ");
  const odd = said.match(/undefined|NaN|Infinity|.object |\\bnull\\b/);
  if (odd) seen.push(said.slice(Math.max(0, odd.index - 60), odd.index + 60));
};
document.querySelectorAll("details").forEach((each) => { each.open = true; });
for (const place of [".toolbar", ".figure-box"]) {
  for (let i = 0; i < document.querySelectorAll(`${place} select`).length; i += 1) {
    for (let k = 0; k < document.querySelectorAll(`${place} select`)[i]?.options.length; k += 1) {
      const control = document.querySelectorAll(`${place} select`)[i];
      control.selectedIndex = k;
      control.dispatchEvent(new Event("change"));
      look();
    }
  }
}
for (const button of document.querySelectorAll("thead button, .tile, tbody .name")) {
  button.dispatchEvent(new PointerEvent("pointerenter"));
  button.click();
  look();
}
return seen;
"""


@pytest.mark.parametrize("content", ["records", "failed", "bare", "forecasts"])
def test_every_control_shows_something_sensible(
    opened: Callable[..., Any], tmp_path: Path, content: str
) -> None:
    cells = eight_cells(tmp_path)
    good = [record(cell, 0.5, memory=memory(2**30, 2**29)) for cell in cells[:-1]]
    lost = record(cells[-1], 0.5, outcome="oom", memory=None, main_score=None, message="why")
    bare = renamed(good[0], good[0].path, memory=None, flops=None, time=None, parameters=None,
                   cell={}, main_metric=None, main_score=None, invocation=None)  # fmt: skip
    entries = [
        Forecast(cell="a/b/full/s0", method="full", model="b", task="a", gpu="t4", stage="training",
                 steps=[(8, 9)], peak_allocated=2**30, split={"gradients": 9}, fits="fits",
                 margin=5, modules={"x": 9}),
        Forecast(cell="a/b/frod/s0", method="frod", model="b", task="a", gpu="t4",
                 stage="training", steps=[(8, 9)], error="it cannot be"),
    ]  # fmt: skip
    chapters = {
        "records": Chapter(group([*good, lost])), "failed": Chapter(group([lost])),
        "bare": Chapter(group([bare])), "forecasts": Chapter(entries),
    }  # fmt: skip
    shown = opened(page("a report", [chapters[content]]))
    assert shown.js(WALK) == []
    assert shown.complaints() == []

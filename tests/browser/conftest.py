"""A headless Chromium for the tests of the HTML page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import SCORES, SIZES, group, sized

from harness.reporting.page.chapter import Chapter
from harness.reporting.page.page import page


class Page:
    """One page in the browser, opened from disk."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def js(self, code: str, *arguments: Any) -> Any:
        """Run code in the page; returns what it returns."""
        return self.driver.execute_script(code, *arguments)

    def later(self, code: str) -> Any:
        """Run code that calls `done(result)`."""
        return self.driver.execute_async_script(f"const done = arguments[0]; {code}")

    def all(self, selector: str) -> list[Any]:
        """Return the elements that are there."""
        return list(self.driver.find_elements("css selector", selector))

    def texts(self, selector: str) -> list[str]:
        """Return the text of each element."""
        code = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
        return list(self.js(code, selector))

    def click(self, selector: str, number: int = 0) -> None:
        """Click an element as a person would."""
        element = self.all(selector)[number]
        self.js("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def type(self, selector: str, text: str) -> None:
        """Replace what a field holds."""
        element = self.all(selector)[0]
        element.clear()
        element.send_keys(text)

    def choose(self, label: str, value: str) -> None:
        """Choose in the list with this label."""
        code = """const control = [...document.querySelectorAll("label")].find((label) =>
            label.firstChild.textContent.startsWith(arguments[0])).querySelector("select");
            control.value = arguments[1]; control.dispatchEvent(new Event("change"));"""
        self.js(code, label, value)

    def emulate(self, width: int, scheme: str = "light", motion: str = "no-preference") -> None:
        """Be a screen of some width whose reader has these preferences."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        features = [{"name": "prefers-color-scheme", "value": scheme},
                    {"name": "prefers-reduced-motion", "value": motion}]  # fmt: skip
        command = self.driver.execute_cdp_cmd
        command("Emulation.setDeviceMetricsOverride", size)
        command("Emulation.setEmulatedMedia", {"features": features})

    def complaints(self) -> list[Any]:
        """Return what stands in the console since it was last asked for."""
        return list(self.driver.get_log("browser"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Page]:
    """Debian's chromium and chromium-driver, or what is on the path under these names."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for each in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(each)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(60)
    yield Page(driver)
    driver.quit()


@pytest.fixture
def opened(chromium: Page, tmp_path: Path) -> Callable[..., Page]:
    """Open a document from disk."""

    def open_page(html: str, width: int = 1280, **preferences: str) -> Page:
        file = tmp_path / "page.html"
        file.write_text(html)
        chromium.complaints()  # of the page before
        chromium.emulate(width, **preferences)
        chromium.driver.get(file.as_uri())
        return chromium

    return open_page


@pytest.fixture
def simple(tmp_path: Path) -> str:
    """The page of four methods on one task."""
    return page("a report", [Chapter(group(sized(tmp_path, SIZES, SCORES)))])

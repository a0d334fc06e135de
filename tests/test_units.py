"""Numbers as people read them."""

from __future__ import annotations

import pytest

from harness.units import (
    bytes_of,
    clock,
    duration,
    gib,
    mib,
    millions,
    milliseconds,
    score,
    tera,
    watt_hours,
)


def test_units() -> None:
    assert gib(2**30) == "1.000"
    assert gib(15.79 * 2**30) == "15.79"
    assert mib(3 * 2**20) == "3.0"
    assert score(0.12345) == "12.35"
    assert millions(1_327_104) == "1.327M"
    assert millions(184_423_682) == "184.4M"
    assert tera(1.5e12) == "1.5"
    assert tera(2_117_791e12) == "2,117,791"
    assert clock(3671) == "1:01:11"
    assert {gib(None), score(None), mib(None), tera(None), millions(None)} == {"-"}
    assert [milliseconds(n) for n in (0.0004, 0.018, 0.0999, 0.49951, 12.3)] == [
        "0.40", "18.0", "99.9", "500", "12,300",
    ]  # fmt: skip
    assert [duration(n) for n in (1.25, 119, 121, 7300, 200_000)] == [
        "1.25 s", "119 s", "2.02 min", "2.03 h", "2.31 d",
    ]  # fmt: skip
    assert [watt_hours(n) for n in (3600, 7.2e6)] == ["1 Wh", "2 kWh"]
    assert {milliseconds(None), duration(None), watt_hours(None)} == {"-"}


def test_what_is_no_fraction_is_shown_as_it_is() -> None:
    assert [score(0.5, name) for name in ("accuracy", "mae", "perplexity dev", "ours:gain")] == [
        "50.00", "0.500", "0.500", "0.500",
    ]  # fmt: skip
    assert score(1234.567, "perplexity") == "1234.57"
    assert score(None, "mae") == "-"


def test_sizes_are_read() -> None:
    sizes = {"3.2 GiB": 3_435_973_837, "500MB": 500 * 10**6, "1_024": 1024, "1,000 kB": 10**6,
             "7 B": 7, "2KiB": 2048, 12: 12}  # fmt: skip
    assert {text: bytes_of(text) for text in sizes} == sizes
    for text in ("", "much", "-1 GiB", "1 iB", "1 GiB/s", "nan", 1.5, True, None):
        with pytest.raises(ValueError, match="is no size"):
            bytes_of(text)  # type: ignore[arg-type]

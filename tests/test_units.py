"""Numbers as people read them."""

from __future__ import annotations

from harness.units import clock, gib, mib, millions, score, tera, unit_of


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


def test_a_metric_that_is_no_fraction_is_printed_as_it_is() -> None:
    assert score(0.7157) == score(0.7157, "accuracy") == "71.57"
    assert score(23.456, "perplexity") == score(23.456, "perplexity test") == "23.46"
    assert score(8.85, "nist") == "8.85"
    assert unit_of("cider") == ""
    assert unit_of("bleu") == " (fraction)"

"""The nearest allowed name."""

from __future__ import annotations

import pytest

from methods.wording import nearest


@pytest.mark.parametrize(
    ("given", "allowed", "meant"),
    [
        ("NF4", ["nf4", "fp4", "int8"], "'nf4'?"),
        ("paged_adamw_8bit", ["adamw-8bit", "adamw-paged-8bit", "lion-paged-8bit"],
         "'adamw-paged-8bit'?"),
        ("adamww", ["adamw", "sgd"], "'adamw'?"),
    ],
)  # fmt: skip
def test_the_same_words_are_nearest_whatever_their_order_and_case(
    given: str, allowed: list[str], meant: str
) -> None:
    assert nearest(given, allowed).startswith(f"did you mean {meant} ")


def test_nothing_is_near_what_has_no_words() -> None:
    assert nearest("", ["a", "b"]) == "allowed: a, b"

"""What tests with drawn inputs share: how many there are, and how a file's bytes are changed."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st


def fuzzed(examples: int) -> settings:
    """Return settings with so many examples, the same ones in every run; HEADROOM_FUZZ has more."""
    return settings(
        max_examples=int(os.environ.get("HEADROOM_FUZZ", examples)), deadline=None,
        derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture],
    )  # fmt: skip


def changed_bytes(
    data: st.DataObject,
    whole: bytes,
    most: int = 20,
    new: st.SearchStrategy[bytes] = st.binary(max_size=8),
) -> bytes:
    """Return the bytes with a stretch of at most `most` replaced by new ones."""
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + most)))
    return whole[:start] + data.draw(new) + whole[end:]

"""Generated answers without values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_generation() -> Iterator[None]:
    """Keep transformers from warning of prompts padded on the wrong side: without values all are.

    `answers.py` says when its search goes on: until every answer is as long as it may be.
    """
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)

"""What libraries make of a model's files, which may hold anything: every failure is one error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import UserError
from harness.out_of_memory import is_out_of_memory
from harness.untrusted import said


@contextmanager
def files_read(what: str) -> Iterator[None]:
    """Turn whatever a library raises on a model's files into one error.

    transformers and tokenizers (whose own errors are bare `Exception`s) check little of what they
    read: a wrong type in config.json may end in any exception. That memory is lacking is told as
    it is: it is a result, and no fault of the files.

    Args:
        what: whose files, such as `model mine`.

    Raises:
        UserError: anything else went wrong in the block.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise UserError(f"{what}: its files cannot be used: {said(error)}") from None

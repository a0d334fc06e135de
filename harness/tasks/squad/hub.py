"""SQuAD from the Hugging Face hub."""

from __future__ import annotations

from harness.tasks.base import DataRequest
from harness.tasks.sources.hub import address, advising_local_files, hub_rows
from harness.tasks.squad.rows import Part, from_flat

REPOSITORY = "rajpurkar/squad"
CONFIG = "plain_text"
# Pinned, so that a record says which rows it saw: the parquet files.
REVISION = "7b6d24c440a36b6815f21b70d25016731768db1f"
_SPLITS = {"train": "train", "dev": "validation"}


def read(request: DataRequest) -> tuple[dict[str, Part], str]:
    """Return the parts at the request's revision or the pinned one, and what they come from.

    Raises:
        UserError: the hub cannot be reached, or its data are not as expected.
    """
    revision = request.revision or REVISION
    source = address(REPOSITORY, revision)
    with advising_local_files():
        rows = {part: hub_rows(REPOSITORY, CONFIG, revision, name)
                for part, name in _SPLITS.items()}  # fmt: skip
    return {part: from_flat(rows[part], f"{source} {part}") for part in rows}, source

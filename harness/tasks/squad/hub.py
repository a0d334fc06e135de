"""SQuAD from the Hugging Face hub."""

from __future__ import annotations

from harness import hub as hugging_face
from harness.errors import UserError
from harness.tasks.base import DataRequest
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
    source = f"hub {REPOSITORY}@{revision}"
    trouble = hugging_face.trouble()  # before datasets is imported, which notes it down
    from datasets import load_dataset

    try:
        splits = load_dataset(REPOSITORY, CONFIG, revision=revision)
        chosen = {part: splits[name] for part, name in _SPLITS.items()}
    except (OSError, ValueError, KeyError) as error:
        said = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        reason = f"{trouble}, and it is not in the cache" if trouble else said
        raise UserError(
            f"cannot load {CONFIG} of {REPOSITORY}@{revision} from the hub ({reason}); "
            "without a network, give data_root or folder with local files"
        ) from error
    return {part: from_flat(rows, f"{source} {part}") for part, rows in chosen.items()}, source

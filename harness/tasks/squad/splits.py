"""How SQuAD is split: always between paragraphs, so that none is on both sides."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UserError
from harness.tasks.families.questions import Question

SEED = 42  # of the Compacter/SoRA recipe, as for GLUE's halves


def by_paragraph(rows: Sequence[Question], share: float) -> tuple[list[Question], list[Question]]:
    """Split questions in two: about `share` of them, and the rest; each side in its own order.

    Paragraphs are drawn with a fixed seed until they have that share of all questions.

    Raises:
        UserError: there are too few paragraphs for two sides.
    """
    import torch

    paragraphs = list(dict.fromkeys(row.context for row in rows))
    if len(paragraphs) < 2:
        raise UserError(f"{len(paragraphs)} paragraph cannot be split in two")
    counts = dict.fromkeys(paragraphs, 0)
    for row in rows:
        counts[row.context] += 1
    generator = torch.Generator().manual_seed(SEED)
    drawn: set[str] = set()
    questions = 0
    for index in torch.randperm(len(paragraphs), generator=generator).tolist()[:-1]:
        if drawn and questions >= share * len(rows):
            break
        drawn.add(paragraphs[index])
        questions += counts[paragraphs[index]]
    chosen = [row for row in rows if row.context in drawn]
    return chosen, [row for row in rows if row.context not in drawn]

"""Scores of generated texts against references, by name.

| name | definition | range |
| --- | --- | --- |
| bleu, nist | MT-Eval's mteval-v13a, as in e2e-metrics (`mteval.py`) | 0 to 1; from 0 |
| meteor | METEOR 1.5 for English, corpus score (`meteor.py`) | 0 to 1 |
| rouge_l, cider | COCO's caption evaluation (`coco.py`) | 0 to 1; 0 to 10 |
| rouge1, rouge2, rougeL, rougeLsum | F-measure of rouge-score, stemmed (`rouge.py`) | 0 to 1 |
| exact_match | the same but for white space at the ends | 0 to 1 |
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

from harness.errors import UserError
from methods.wording import nearest

# Name -> the module that has `score(names, predictions, references)`.
METRICS = {
    **dict.fromkeys(("bleu", "nist"), "mteval"),
    "meteor": "meteor",
    **dict.fromkeys(("rouge_l", "cider"), "coco"),
    **dict.fromkeys(("rouge1", "rouge2", "rougeL", "rougeLsum"), "rouge"),
    "exact_match": "exact",
}
# What a metric imports, and the extra of this package that brings it.
_LIBRARIES = {
    "bleu": ("sacrebleu", "text"),
    "meteor": ("pycocoevalcap", "meteor"),
    **dict.fromkeys(("rouge1", "rouge2", "rougeL", "rougeLsum"), ("rouge_score", "text")),
}


def score_text(
    names: Sequence[str], predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Return the named scores of a corpus.

    Args:
        names: keys of `METRICS`.
        predictions: a text for each input.
        references: one or more texts for each input; how many may differ.

    Raises:
        UserError: an unknown metric, or one whose library is not installed.
        ValueError: no predictions, or not as many inputs on both sides, or one without references.
    """
    require(names)
    if not predictions or len(predictions) != len(references) or not all(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    scores: dict[str, float] = {}
    for module in dict.fromkeys(METRICS[name] for name in names):
        chosen = [name for name in names if METRICS[name] == module]
        scorer = import_module(f"{__name__}.{module}")
        scores |= scorer.score(chosen, predictions, references)
    return {name: scores[name] for name in names}


def require(names: Sequence[str]) -> None:
    """See that the named metrics can be computed here.

    Raises:
        UserError: an unknown metric, or one whose library (or METEOR's Java) is not installed.
    """
    for name in names:
        if name not in METRICS:
            raise UserError(f"unknown metric {name!r}; {nearest(name, METRICS)}")
        library, extra = _LIBRARIES.get(name, (None, None))
        if library is not None and find_spec(library) is None:
            raise UserError(
                f"metric {name} needs {library}, which is not installed: pip install "
                f"'headroom-bench[{extra}]' (in a checkout: pip install -e '.[{extra}]')"
            )
    if "meteor" in names:
        from harness.tasks.text_metrics.meteor import find_java

        find_java()

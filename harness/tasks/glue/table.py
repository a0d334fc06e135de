"""The nine GLUE tasks as data: classes, metrics, columns, folders, sizes."""

from __future__ import annotations

from dataclasses import dataclass

from harness.tasks.glue.splits import Rule


@dataclass(frozen=True)
class GlueSpec:
    """One task.

    `labels` are the class names in the order of nyu-mll/glue (none: a regression from 0 to 5). The
    columns list the header names known for each role: those of the original files, then the hub's.
    `rows` are the official numbers of training and (matched) development rows.
    """

    name: str
    description: str
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    text: tuple[str, ...]
    pair: tuple[str, ...]
    label: tuple[str, ...]
    folder: str
    rule: Rule
    rows: tuple[int, int]


_TABLE = (
    GlueSpec(
        name="cola",
        description="CoLA: is a sentence acceptable English",
        labels=("unacceptable", "acceptable"),
        metrics=("matthews", "accuracy"),
        text=("sentence",),
        pair=(),
        label=("label", "is_acceptable"),
        folder="CoLA",
        rule="halves",
        rows=(8551, 1043),
    ),
    GlueSpec(
        name="sst2",
        description="SST-2: sentiment of a film review",
        labels=("negative", "positive"),
        metrics=("accuracy",),
        text=("sentence",),
        pair=(),
        label=("label",),
        folder="SST-2",
        rule="held-out",
        rows=(67349, 872),
    ),
    GlueSpec(
        name="mrpc",
        description="MRPC: do two sentences say the same",
        labels=("not_equivalent", "equivalent"),
        metrics=("accuracy", "f1"),
        text=("#1 String", "sentence1"),
        pair=("#2 String", "sentence2"),
        label=("Quality", "label"),
        folder="MRPC",
        rule="halves",
        rows=(3668, 408),
    ),
    GlueSpec(
        name="qqp",
        description="QQP: do two questions ask the same",
        labels=("not_duplicate", "duplicate"),
        metrics=("accuracy", "f1"),
        text=("question1",),
        pair=("question2",),
        label=("is_duplicate", "label"),
        folder="QQP",
        rule="held-out",
        rows=(363846, 40430),
    ),
    GlueSpec(
        name="stsb",
        description="STS-B: similarity of two sentences from 0 to 5",
        labels=(),
        metrics=("pearson", "spearman"),
        text=("sentence1",),
        pair=("sentence2",),
        label=("score", "label"),
        folder="STS-B",
        rule="halves",
        rows=(5749, 1500),
    ),
    GlueSpec(
        name="mnli",
        description="MNLI: entailment, neutral or contradiction",
        labels=("entailment", "neutral", "contradiction"),
        metrics=("accuracy",),
        text=("sentence1", "premise"),
        pair=("sentence2", "hypothesis"),
        label=("gold_label", "label"),
        folder="MNLI",
        rule="mismatched",
        rows=(392702, 9815),
    ),
    GlueSpec(
        name="qnli",
        description="QNLI: does a sentence answer a question",
        labels=("entailment", "not_entailment"),
        metrics=("accuracy",),
        text=("question",),
        pair=("sentence",),
        label=("label",),
        folder="QNLI",
        rule="held-out",
        rows=(104743, 5463),
    ),
    GlueSpec(
        name="rte",
        description="RTE: does one sentence follow from another",
        labels=("entailment", "not_entailment"),
        metrics=("accuracy",),
        text=("sentence1",),
        pair=("sentence2",),
        label=("label",),
        folder="RTE",
        rule="halves",
        rows=(2490, 277),
    ),
    GlueSpec(
        name="wnli",
        description="WNLI: does a resolved pronoun follow",
        labels=("not_entailment", "entailment"),
        metrics=("accuracy",),
        text=("sentence1",),
        pair=("sentence2",),
        label=("label",),
        folder="WNLI",
        rule="halves",
        rows=(635, 71),
    ),
)
GLUE = {spec.name: spec for spec in _TABLE}

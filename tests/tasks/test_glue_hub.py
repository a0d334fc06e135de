"""The hub path, against a local folder in the layout of nyu-mll/glue (parquet, one config each)."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from harness.tasks import get_task
from harness.tasks.base import DataRequest, Example
from harness.tasks.glue import hub as glue_hub

COLUMNS = {
    "cola": ("sentence",),
    "mnli": ("premise", "hypothesis"),
    "qqp": ("question1", "question2"),
    "stsb": ("sentence1", "sentence2"),
}
CLASSES = {
    "cola": ["unacceptable", "acceptable"],
    "mnli": ["entailment", "neutral", "contradiction"],
    "qqp": ["not_duplicate", "duplicate"],
}


def write_config(root: Path, config: str, labels: dict[str, list[float]]) -> None:
    """Write one config: its parquet files, and its lines of the repository's card."""
    from datasets import ClassLabel, Dataset, Features, Value

    names = CLASSES.get(config)
    label = Value("float32") if names is None else ClassLabel(names=names)
    features = Features({**dict.fromkeys(COLUMNS[config], Value("string")), "label": label})
    card = [f"- config_name: {config}", "  data_files:"]
    for part, values in labels.items():
        rows = {
            column: [f"{column} {part} {index}" for index in range(len(values))]
            for column in COLUMNS[config]
        }
        path = root / config / f"{part}-00000-of-00001.parquet"
        path.parent.mkdir(exist_ok=True)
        Dataset.from_dict({**rows, "label": values}, features=features).to_parquet(path)
        card += [f"  - split: {part}", f"    path: {config}/{part}-*"]
    readme = root / "README.md"
    start = readme.read_text().removesuffix("---\n") if readme.exists() else "---\nconfigs:\n"
    readme.write_text(start + "\n".join(card) + "\n---\n")


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    import datasets

    root = tmp_path / "glue"
    root.mkdir()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(glue_hub, "REPOSITORY", str(root))
    datasets.disable_progress_bars()
    write_config(root, "cola", {"train": [1, 0, 1], "validation": [0, 1], "test": [-1]})
    write_config(root, "stsb", {"train": [0.5, 4.2], "validation": [5.0]})
    write_config(root, "qqp", {"train": [0, 1], "validation": [-1]})
    parts = {"train": [0, 1, 2], "validation_matched": [2], "validation_mismatched": [1, 0]}
    write_config(root, "mnli", parts)
    return root


def test_each_kind_of_task(repository):
    cola = get_task("cola").load(DataRequest(train_rows=2, revision="abc"))
    assert cola.source == f"hub {repository}@abc"
    assert len(cola.train) == 2
    assert cola.evaluations["validation"][1] == Example("sentence validation 1", None, 1)
    stsb = get_task("stsb").load(DataRequest())
    assert stsb.source.endswith(f"@{glue_hub.REVISION}")
    assert [row.label for row in stsb.train] == pytest.approx([0.5, 4.2])
    mnli = get_task("mnli").load(DataRequest(protocol="safe"))
    assert mnli.train[2] == Example("premise train 2", "hypothesis train 2", 2)
    assert [len(mnli.evaluations[name]) for name in ("validation", "test")] == [2, 1]


def test_what_the_hub_has_not(repository):
    with pytest.raises(UserError, match=r"cannot load rte of .*data_root or folder"):
        get_task("rte").load(DataRequest())
    with pytest.raises(UserError, match="label_column 'gold' is not in the header"):
        get_task("cola").load(DataRequest(label_column="gold"))
    with pytest.raises(UserError, match="unknown label '-1'"):
        get_task("qqp").load(DataRequest())


def test_classes_in_another_order_are_refused(repository, monkeypatch):
    monkeypatch.setitem(CLASSES, "cola", ["acceptable", "unacceptable"])
    write_config(repository, "cola", {"train": [1], "validation": [0]})
    with pytest.raises(UserError, match=r"classes \['acceptable', 'unacceptable'\], expected"):
        get_task("cola").load(DataRequest())

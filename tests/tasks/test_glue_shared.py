"""The real files, where they are at hand: sizes and metrics of both published protocols."""

from __future__ import annotations

import pytest

from harness.errors import UserError
from harness.tasks import get_task
from harness.tasks.base import DataRequest


# Sizes printed by SAFE: train, validation, test.
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("cola", (8551, 521, 522)),
        ("rte", (2490, 138, 139)),
        ("mrpc", (3668, 204, 204)),
        ("stsb", (5749, 750, 750)),
        ("sst2", (66349, 1000, 872)),
    ],
)
def test_safe_sizes(name, sizes, shared_data):
    data = get_task(name).load(DataRequest(protocol="safe", data_root=shared_data))
    parts = data.evaluations
    assert (len(data.train), len(parts["validation"]), len(parts["test"])) == sizes
    assert (data.select_on, data.report_on) == ("validation", ("test",))
    assert data.notes == (data.notes[0],)
    assert data.notes[0].startswith("files ")


def test_roles_of_the_metrics_depend_on_the_protocol(shared_data):
    def roles(name: str, protocol: str) -> tuple[str, str, tuple[str, ...]]:
        request = DataRequest(protocol=protocol, data_root=shared_data)  # type: ignore[arg-type]
        data = get_task(name).load(request)
        return data.select_metric, data.main_metric, data.averaged

    assert roles("mrpc", "aflora") == ("f1", "accuracy", ("accuracy",))
    assert roles("mrpc", "safe") == ("f1", "f1", ("f1",))
    assert roles("mrpc", "plain") == ("accuracy", "accuracy", ("accuracy",))
    assert roles("qqp", "aflora") == ("accuracy", "accuracy", ("accuracy", "f1"))
    assert roles("stsb", "safe") == ("pearson", "pearson", ("pearson",))
    assert roles("cola", "aflora") == ("matthews", "matthews", ("matthews",))


def test_subset_is_the_same_for_every_cell(shared_data):
    request = DataRequest(data_root=shared_data, train_rows=500, evaluation_rows=100)
    first, second = (get_task("rte").load(request) for _ in range(2))
    assert (len(first.train), len(first.evaluations["validation"])) == (500, 100)
    assert first.fingerprint == second.fingerprint
    assert {row.label for row in first.train} == {0, 1}


def test_sample_without_training_rows_says_what_is_there(shared_data):
    with pytest.raises(UserError, match=r"no train\.tsv.*dev_matched_1000\.tsv"):
        get_task("mnli").load(DataRequest(data_root=shared_data))

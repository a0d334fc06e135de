"""Whatever a task's local files hold: rows with labels that the task has, or one clean error."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import get_args

from bounds import bounded
from fuzz import changed_bytes, fuzzed
from hypothesis import event, given
from hypothesis import strategies as st
from test_glue_files import ORIGINAL

from harness.errors import UserError
from harness.tasks import get_task
from harness.tasks.base import DataRequest, Protocol, TaskData

MNLI = ("MNLI", "index\tsentence1\tsentence2\tgold_label", ["0\tA.\tB.\tneutral"])
LAYOUTS = {**ORIGINAL, "mnli": MNLI}
PARTS = {"mnli": ("train", "dev_matched", "dev_mismatched")}
ODD = [b"\t", b"\n", b"\r", b'"', b'""', b"\0", b"nan", b"inf", b"9", b"-1", b"\xef\xbb\xbf",
       b"0_1", "١".encode(), b"\xed\xa0\x80"]  # fmt: skip
NEW = st.one_of(st.binary(max_size=8), st.sampled_from(ODD))


def written(data: st.DataObject, name: str) -> bytes:
    """Return a file of the task as it comes, or with some bytes changed."""
    _, header, rows = LAYOUTS[name]
    lines = data.draw(st.lists(st.sampled_from(rows), min_size=1, max_size=4))
    lines = lines * data.draw(st.sampled_from([1, 1, 400]))
    newline = data.draw(st.sampled_from(["\n", "\r\n"]))
    text = "".join(f"{line}{newline}" for line in ([header] if header else []) + lines).encode()
    for _ in range(data.draw(st.sampled_from([0, 0, 1, 2]))):
        text = changed_bytes(data, text, 20, NEW)
    return text


def hold_to_types(name: str, data: TaskData) -> None:
    """A label is a class of the task or a score, a text is text; every metric can be had."""
    task = get_task(name)
    for rows in (data.train, *data.evaluations.values()):
        assert rows
        for row in rows:
            row.text.encode()
            assert row.label in (range(task.num_labels) if task.label_names else [row.label])
            assert task.label_names or 0 <= row.label <= 5
            assert row.pair is None or isinstance(row.pair, str)
    assert {*data.report_on, data.select_on} <= {*data.evaluations}


@fuzzed(150)
@given(data=st.data())
def test_any_bytes_in_a_tasks_files(tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(LAYOUTS)))
    for file in tmp_path.iterdir():
        file.unlink()
    for part in PARTS.get(name, ("train", "dev")):
        text, packed = written(data, name), data.draw(st.booleans())
        if packed:
            text = gzip.compress(text, mtime=0)
            if data.draw(st.sampled_from([False, False, True])):
                text = changed_bytes(data, text)
        (tmp_path / f"{part}.tsv{'.gz' if packed else ''}").write_bytes(text)
    columns = st.sampled_from([*20 * [None], "label", "sentence1", "", "\0"])
    given = DataRequest(
        folder=tmp_path, protocol=data.draw(st.sampled_from(get_args(Protocol))),
        train_rows=data.draw(st.sampled_from([None, 1, 3, 10**12])),
        text_column=data.draw(columns), pair_column=data.draw(columns),
        label_column=data.draw(columns),
    )  # fmt: skip
    try:
        with bounded():
            hold_to_types(name, get_task(name).load(given))
            event("rows")
    except UserError as error:
        event("refused")
        told = str(error)
    else:
        told = "rows"
    assert 0 < len(told) < 2_000

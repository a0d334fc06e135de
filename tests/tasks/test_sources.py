"""Rows of local files of every kind: a cell is read as it is, a mistake has its place."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fuzz import changed_bytes, fuzzed
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.tasks.sources import find_parts, read_rows, read_table

# What people's files hold and readers change: missing values, numbers, spaces, quotes, breaks.
CELLS = [
    "NA", "", "null", "007", "1e5", "True", " padded ", "Ünïcode 😀 ﬁ", 'say "no"', '"all"', "a,b",
    "two\nlines", "-", "#", "'s", "\\t", "ends\\",
]  # fmt: skip
ROWS = [{"text": cell, "label": "NA"} for cell in CELLS]


def csv_bytes(delimiter: str = ",", ends: str = "\r\n", **options: Any) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["text", "label"], delimiter=delimiter, lineterminator=ends,
                            **options)  # fmt: skip
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode()


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("mark", [b"", "\ufeff".encode()], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_cells_are_read_as_what_they_are(
    kind: str, mark: bytes, quoting: Any, ends: str, tmp_path: Path
) -> None:
    path = tmp_path / f"train.{kind}"
    delimiter = "," if kind == "csv" else "\t"
    path.write_bytes(mark + csv_bytes(delimiter, ends, quoting=quoting))
    assert read_rows(path) == ROWS
    assert any("fields in quotes" in note for note in read_table(path).notes)


def test_a_tsv_that_is_not_quoted_keeps_its_quotation_marks(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_bytes(b'text\tlabel\r\n"open\tNA\n5" disk\t"\n"a" b\rc  \t\n\nclosed"\t0\n')
    assert read_rows(path) == [
        {"text": '"open', "label": "NA"},
        {"text": '5" disk', "label": '"'},
        {"text": '"a" b\rc  ', "label": ""},
        {"text": 'closed"', "label": "0"},
    ]
    assert [read_table(path).place(index)[-6:] for index in range(4)] == [
        "line 2", "line 3", "line 4", "line 6",
    ]  # fmt: skip


def test_lines_are_those_of_the_file_also_below_a_text_with_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text('text,label\n"one\ntwo\nthree",a\nnext,b\n')
    table = read_table(path)
    assert [table.place(index) for index in range(2)] == [f"{path}, line 2", f"{path}, line 5"]


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.csv", 'text,label\n5" disk,x\n', [{"text": '5" disk', "label": "x"}]),
        ("a.csv", "text,label\nx,", [{"text": "x", "label": ""}]),
        ("a.csv", "text,label\n,", [{"text": "", "label": ""}]),
        ("a.txt", "\ufeffNA\r\n\n a,b\t\n", [{"text": "NA"}, {"text": " a,b\t"}]),
        ("a.json", '[{"a": null, "b": [1]}, {"a": true}]', [{"a": None, "b": [1]}, {"a": True}]),
        ("a.json", '{"version": 1, "data": [{"a": 1.5}]}', [{"a": 1.5}]),
        ("a.jsonl", '{"a": "\\u00e9"}\r\n\n{"a": 2}\n', [{"a": "é"}, {"a": 2}]),
    ],
)
def test_small_files(name: str, content: str, rows: list[Any], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content.encode())
    assert read_rows(tmp_path / name) == rows


def test_parquet(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    rows = {"text": ["NA", "é"], "n": [1, None], "picture": [b"\xff\x00", b""], "c": [1, 0]}
    kinds = {"text": Value("string"), "n": Value("int64"), "picture": Value("binary"),
             "c": ClassLabel(names=["x", "y"])}  # fmt: skip
    path = tmp_path / "rows.parquet"
    Dataset.from_dict(rows, features=Features(kinds)).to_parquet(path)
    assert read_rows(path, columns=["c", "text"]) == [{"c": 1, "text": "NA"}, {"c": 0, "text": "é"}]
    assert read_rows(path)[0] == {"text": "NA", "n": 1, "picture": b"\xff\x00", "c": 1}
    assert read_table(path).place(1) == f"{path}, row 2"


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_every_kind_is_read_packed_too(kind: str, tmp_path: Path) -> None:
    from datasets import Dataset

    rows = [{"text": "one"}, {"text": "two"}]
    plain = tmp_path / f"train.{kind}"
    if kind == "parquet":
        Dataset.from_list(rows).to_parquet(plain)
    else:
        content = {"json": json.dumps(rows), "jsonl": "\n".join(map(json.dumps, rows))}
        plain.write_text(content.get(kind, "text\none\ntwo\n"))
    assert read_rows(plain) == rows
    packed = tmp_path / f"packed.{kind}.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_rows(packed) == rows
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.write(plain, f"folder/train.{kind}")
        opened.write(packed, f"folder/dev.{kind}.gz")
        opened.writestr("__MACOSX/folder/._train.csv", "rubbish")
        opened.writestr("README.md", "not rows")
    assert read_rows(archive / "folder" / f"train.{kind}") == rows
    assert read_rows(archive / "folder" / f"dev.{kind}.gz") == rows
    parts = find_parts(archive)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (1, 1, 0)
    with pytest.raises(UserError, match=r"archive\.zip: which one, .*train"):
        read_rows(archive)
    with zipfile.ZipFile(archive, "w") as opened:
        opened.write(plain, f"rows.{kind}")
        opened.writestr("README.txt", "no rows")
    assert read_rows(archive) == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "a.csv: empty file"),
        ("a.csv", b"text,label\nx\n", "a.csv, line 2: 1 fields where the header has 2"),
        ("a.csv", b'text,label\n"a\nb",x\nx,y,z\n', "line 4: 3 fields where the header has 2"),
        ("a.csv", b'text,label\nx,"y\n', "line 2: a quotation mark opens a field and none ends it"),
        ("a.csv", b'text,label\n"x" y,z\n', "line 2: ' y,z.n' after the quotation mark"),
        ("a.csv", b"text,text\nx,y\n", "line 1: two columns are called 'text'"),
        ("a.csv", b"text\n\xff\n", "a.csv: cannot be read as UTF-8 text: not UTF-8 .byte 5"),
        ("a.tsv", b"text\tlabel\na\tb\tc\n", "line 2: 3 fields where the header has 2"),
        ("a.tsv", b'text\tlabel\n"a\tb\tc\n', "line 2: 3 fields where the header has 2"),
        ("a.txt", b"\n \n", "a.txt: empty file"),
        ("a.json", b"[1]", "a.json, row 1: no object, but int"),
        ("a.json", b'{"rows": []}', "neither a list of objects nor an object with one as 'data'"),
        ("a.json", b"[]", "a.json: empty file"),
        ("a.json", b'[{"a": NaN}]', "a.json: NaN is no JSON"),
        ("a.json", b"[" * 100_000, "a.json: not JSON"),
        ("a.jsonl", b'{"a": 1}\n\n{"a": }\n', "a.jsonl, line 3: not JSON: Expecting value"),
        ("a.jsonl", b'{"a": 1}\n[]\n', "a.jsonl, line 2: no object, but list"),
        ("a.parquet", b"PAR1", "a.parquet: not Parquet that can be read"),
        ("a.csv.gz", b"text", "a.csv.gz: cannot be read"),
        ("a.zip", b"PK", "a.zip: cannot be read"),
        ("a.xls", b"", "'a.xls' ends in none of .tsv, .csv, .json, .jsonl, .txt, .parquet"),
    ],
)
def test_what_is_wrong_has_its_place(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_rows(tmp_path / name)


def test_what_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("text,label\nx,y\n")
    with pytest.raises(UserError, match=r"trian\.csv: no such file; did you mean 'train\.csv'"):
        read_rows(tmp_path / "trian.csv")
    with pytest.raises(UserError, match=r"no such folder: .*nowhere"):
        read_rows(tmp_path / "nowhere" / "train.csv")
    with pytest.raises(UserError, match=r"train\.csv: .*no column 'txt'; did you mean 'text'"):
        read_rows(path, columns=["label", "txt"])
    jsonl = tmp_path / "train.jsonl"
    jsonl.write_text('{"text": "x"}\n{"label": "y"}\n')
    with pytest.raises(UserError, match=r"train\.jsonl, line 2: has no 'text'"):
        read_rows(jsonl, columns=["text"])
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as opened:
        opened.writestr("README.md", "")
    with pytest.raises(UserError, match=r"all\.zip: holds none of \.tsv, \.csv"):
        read_rows(tmp_path / "all.zip")
    with pytest.raises(UserError, match=r"train\.csv: not in the archive"):
        read_rows(tmp_path / "all.zip" / "train.csv")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["train.csv", "dev.csv", "test.csv", "notes.md"], (["train.csv"], ["dev.csv"], 1)),
        (["train.jsonl.gz", "valid.tsv", "labels.csv"], (["train.jsonl.gz"], ["valid.tsv"], 0)),
        (
            ["train-00001-of-00002.parquet", "train-00000-of-00002.parquet"],
            (["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"], [], 0),
        ),
    ],
)
def test_the_files_of_a_folder(names: list[str], found: Any, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()
    parts = find_parts(tmp_path)
    assert [path.name for path in parts.train] == found[0]
    assert [path.name for path in parts.validation] == found[1]
    assert len(parts.test) == found[2]


def test_folders_that_do_not_say_which(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file of training rows.*\(there: no files\)"):
        find_parts(tmp_path)
    for name in ("train.csv", "train.tsv"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"which one, .*train\.csv or .*train\.tsv\?"):
        find_parts(tmp_path)


def packed_csv() -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("train.csv", csv_bytes())
    return memory.getvalue()


def parquet_bytes() -> bytes:
    from datasets import Dataset

    memory = io.BytesIO()
    Dataset.from_list(ROWS).to_parquet(memory)
    return memory.getvalue()


WHOLE = {
    "a.csv": csv_bytes(),
    "a.tsv": csv_bytes("\t"),
    "a.json": json.dumps(ROWS).encode(),
    "a.jsonl": "\n".join(map(json.dumps, ROWS)).encode(),
    "a.csv.gz": gzip.compress(csv_bytes()),
    "a.zip": packed_csv(),
    "a.parquet": parquet_bytes(),
}


@fuzzed(150)
@given(data=st.data(), name=st.sampled_from(sorted(WHOLE)))
def test_changed_bytes_are_rows_or_one_error(
    data: st.DataObject, name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(changed_bytes(data, WHOLE[name]))
    said = ""
    try:
        read_rows(path)
    except UserError as error:
        said = str(error)
    assert not said or said.startswith(str(tmp_path))

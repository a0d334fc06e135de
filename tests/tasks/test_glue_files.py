"""Local GLUE files: the original layouts are read, every mistake is one clear message."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.tasks import get_task
from harness.tasks.base import DataRequest, Example

# Header and two rows of each task as in the original files.
ORIGINAL = {
    "cola": ("CoLA", None, ["gj04\t1\t\tIt rained.", "gj04\t0\t*\tRained it."]),
    "sst2": ("SST-2", "sentence\tlabel", ["a joy \t1", 'no " fun \t0']),
    "mrpc": (
        "MRPC",
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        ["1\t7\t8\tOne .\tUno .", '0\t7\t9\t" One .\tTwo .'],
    ),
    "qqp": (
        "QQP",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        ["1\t2\t3\tWhy?\tHow?\t0", "1\t2\t3\tWhy?\tWhy so?\t1"],
    ),
    "stsb": (
        "STS-B",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
        ["0\tg\tf\t2012\t1\tn\tn\tA cat.\tA dog.\t1.250", "1\tg\tf\t2012\t2\tn\tn\tA.\tA.\t5.000"],
    ),
    "qnli": (
        "QNLI",
        "index\tquestion\tsentence\tlabel",
        ["0\tWho?\tBob.\tentailment", "1\tWho?\tIt.\tnot_entailment"],
    ),
    "rte": (
        "RTE",
        "index\tsentence1\tsentence2\tlabel",
        ["0\tIt rains.\tIt is wet.\tentailment", "1\tIt rains.\tIt snows.\tnot_entailment"],
    ),
    "wnli": (
        "WNLI",
        "index\tsentence1\tsentence2\tlabel",
        ["0\tIt fell.\tThe cup fell.\t1", "1\tIt fell.\tThe cat fell.\t0"],
    ),
}
LABELS = {"cola": [1, 0], "stsb": [1.25, 5.0], "qqp": [0, 1], "qnli": [0, 1], "rte": [0, 1]}


def write(folder: Path, name: str, lines: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode())
    return path


def write_rte(folder: Path, lines: list[str]) -> Path:
    write(folder, "dev.tsv", ["sentence1\tsentence2\tlabel", "a\tb\tentailment"])
    return write(folder, "train.tsv", lines)


@pytest.mark.parametrize("name", ORIGINAL)
def test_original_layout(name, tmp_path):
    folder, header, rows = ORIGINAL[name]
    lines = rows if header is None else [header, *rows]
    for part in ("train", "dev"):
        write(tmp_path / folder, f"{part}.tsv", lines)
    data = get_task(name).load(DataRequest(data_root=tmp_path))
    assert [row.label for row in data.train] == LABELS.get(name, [1, 0])
    assert data.evaluations["validation"] == data.train
    assert data.source == f"local {tmp_path / folder}"
    if name == "mrpc":
        assert data.train[1] == Example('" One .', "Two .", 0)
    if name == "cola":
        assert data.train[0] == Example("It rained.", None, 1)
    if name == "qnli":
        assert data.train[0] == Example("Who?", "Bob.", 0)


def test_mnli_layout_gzip_and_samples(tmp_path):
    header, rows = "index\tsentence1\tsentence2\tlabel1\tgold_label", ["0\ta\tb\tx\tneutral"]
    (tmp_path / "MNLI").mkdir()
    packed = gzip.compress("\n".join([header, *rows, "1\tc\td\tx\tcontradiction"]).encode())
    (tmp_path / "MNLI" / "train.tsv.gz").write_bytes(packed)
    for part in ("matched_1000", "mismatched_1000"):
        write(tmp_path / "MNLI", f"dev_{part}.tsv", [header, *rows])
    data = get_task("mnli").load(DataRequest(data_root=tmp_path, protocol="aflora"))
    assert [row.label for row in data.train] == [1, 2]
    assert data.report_on == ("validation", "validation_mismatched")
    assert data.notes[0] == "files train.tsv.gz, dev_matched_1000.tsv, dev_mismatched_1000.tsv"
    assert data.notes[1] == "train has 2 rows, official GLUE has 392,702"


def test_texts_keep_quotes_carriage_returns_and_spaces(tmp_path):
    write(tmp_path, "dev.tsv", ["sentence\tlabel", "fine\t1"])
    (tmp_path / "train.tsv").write_bytes(b'sentence\tlabel\n"a" b\rc  \t1\n"open\t0\n')
    train = get_task("sst2").load(DataRequest(folder=tmp_path)).train
    assert [row.text for row in train] == ['"a" b\rc  ', '"open']


def test_incomplete_rows_are_dropped_from_qqp_alone(tmp_path):
    _, header, rows = ORIGINAL["qqp"]
    for part in ("train", "dev"):
        write(tmp_path, f"{part}.tsv", [header, *rows, "9\t1\t2\tcut off"])
    data = get_task("qqp").load(DataRequest(folder=tmp_path))
    assert len(data.train) == 2
    assert "train.tsv: 1 incomplete rows dropped" in data.notes
    path = write_rte(tmp_path, ["sentence1\tsentence2\tlabel", "only one"])
    with pytest.raises(UserError, match=f"{path}, line 2: 1 columns where the header has 3"):
        get_task("rte").load(DataRequest(folder=tmp_path))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a\tb c\tentailment\tx", "line 2: 4 columns where the header has 3: a tab in a text"),
        ("a\tb\tc\tentailment", "line 2: 4 columns where the header has 3: a tab in a text"),
        ("a\tb", "line 2: 2 columns where the header has 3: a line break in a text"),
        ('"a\tb\tentailment', None),
    ],
)
def test_no_field_is_dropped_and_no_text_is_cut(row, message, tmp_path):
    path = write_rte(tmp_path, ["sentence1\tsentence2\tlabel", row])
    if message is None:
        assert get_task("rte").load(DataRequest(folder=tmp_path)).train[0].text == '"a'
        return
    with pytest.raises(UserError, match=f"{path}, {message}"):
        get_task("rte").load(DataRequest(folder=tmp_path))


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_a_file_of_a_csv_writer_is_read_as_a_csv_reader_does(quoting, tmp_path):
    rows = [['say "no" again', "yes"], ["plain", 'a ""b""'], ['"all of it"', "x, y"]]
    write_rte(tmp_path, [])
    with (tmp_path / "train.tsv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=quoting)
        writer.writerows([["sentence1", "sentence2", "label"], *([*r, "entailment"] for r in rows)])
    data = get_task("rte").load(DataRequest(folder=tmp_path))
    assert [[row.text, row.pair] for row in data.train] == rows
    assert any("fields in quotes, read as CSV" in note for note in data.notes)


def test_quotes_that_no_csv_writer_makes_are_text(tmp_path):
    texts = ['"whole"', 'he said "no"', "plain"]
    lines = [f"{text}\tb\tentailment" for text in texts]
    write_rte(tmp_path, ["sentence1\tsentence2\tlabel", *lines])
    data = get_task("rte").load(DataRequest(folder=tmp_path))
    assert [row.text for row in data.train] == texts


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["sentence1\tsentence2\tgold", "a\tb\tx"], r"line 1: no column 'label' \(there are: sent"),
        (
            ["sentence1\tsentence2\tlabel", "a\tb\tentailment", "a\tb\tentailed"],
            "line 3, column 'label': unknown label 'entailed': did you mean 'entailment'",
        ),
        (["sentence1\tsentence2\tlabel", "a\tb\t2"], "unknown label '2'"),
        (["sentence1\tsentence2\tlabel"], "train.tsv: no rows"),
        ([], "train.tsv: empty file"),
    ],
)
def test_wrong_contents(lines, message, tmp_path):
    path = write_rte(tmp_path, lines)
    with pytest.raises(UserError, match=message) as caught:
        get_task("rte").load(DataRequest(folder=tmp_path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("score", ["5.5", "nan", "-", "-1", "0_1", "١", "1e999", ""])
def test_wrong_score(score, tmp_path):
    header = "sentence1\tsentence2\tscore"
    for part in ("train", "dev"):
        write(tmp_path, f"{part}.tsv", [header, f"a\tb\t{score}"])
    with pytest.raises(UserError, match=f"line 2, column 'score': '{score}' is not a score"):
        get_task("stsb").load(DataRequest(folder=tmp_path))


def test_columns_can_be_named(tmp_path):
    lines = ["premise\tclaim\tverdict", "a\tb\tentailment"]
    for part in ("train", "dev"):
        write(tmp_path, f"{part}.tsv", lines)

    def load(**columns: str) -> Example:
        request = DataRequest(folder=tmp_path, **columns)  # type: ignore[arg-type]
        return get_task("rte").load(request).train[0]

    named = {"text_column": "premise", "pair_column": "claim", "label_column": "verdict"}
    assert load(**named) == Example("a", "b", 0)
    with pytest.raises(UserError, match="label_column 'verdicts' is not in the header: did you"):
        load(**{**named, "label_column": "verdicts"})
    with pytest.raises(UserError, match="task sst2 has no second text"):
        get_task("sst2").load(DataRequest(folder=tmp_path, **named))  # type: ignore[arg-type]


def test_wrong_folders_and_files(tmp_path):
    task = get_task("rte")
    with pytest.raises(UserError, match=r"task rte: folder .*nowhere does not exist"):
        task.load(DataRequest(folder=tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"data_root .*nowhere is no folder"):
        task.load(DataRequest(data_root=tmp_path / "nowhere"))
    (tmp_path / "MRPC").mkdir()
    with pytest.raises(UserError, match=r"no folder RTE, .*glue-rte.*\(there are: MRPC\)"):
        task.load(DataRequest(data_root=tmp_path))
    (tmp_path / "RTE").mkdir()
    with pytest.raises(UserError, match=r"no train\.tsv, .*\(there are: no files\)"):
        task.load(DataRequest(data_root=tmp_path))
    (tmp_path / "glue-rte").mkdir()
    with pytest.raises(UserError, match="has RTE, glue-rte; name the one with folder"):
        task.load(DataRequest(data_root=tmp_path))
    for name in ("train_1.tsv", "train_2.tsv"):
        write(tmp_path / "RTE", name, [])
    with pytest.raises(UserError, match=r"which one, train_1\.tsv or train_2\.tsv\?"):
        task.load(DataRequest(folder=tmp_path / "RTE"))


def test_files_that_are_no_text(tmp_path):
    path = write_rte(tmp_path, [])
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"train\.tsv: cannot be read as UTF-8 text"):
        get_task("rte").load(DataRequest(folder=tmp_path))
    path.rename(tmp_path / "train.tsv.gz")
    with pytest.raises(UserError, match=r"train\.tsv\.gz: cannot be read"):
        get_task("rte").load(DataRequest(folder=tmp_path))


def test_a_damaged_gzip_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"sentence\tlabel\n" + b"a good film\t1\n" * 1000)
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\na\t1\n")
    for place in (0, 12, 20, len(whole) - 6):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        (tmp_path / "train.tsv.gz").write_bytes(damaged)
        with pytest.raises(UserError, match=r"train\.tsv\.gz: cannot be read"):
            get_task("sst2").load(DataRequest(folder=tmp_path))

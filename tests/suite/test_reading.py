"""What a suite's words mean, and that no text keeps its reader busy or ends in a traceback."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.suite.load import load_suite
from harness.suite.reading import NoSuiteText, parse

GOOD = """\
name: small
model: {config: tiny-bert}
tasks: [acceptability]
methods: [lora]
train: {lr: 0.1}
"""


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("8", 8), ("-3", -3), ("0", 0), ("1.0e-3", 1e-3), ("5.0e-3", 5e-3), ("1e-3", 1e-3),
        (".5", 0.5), ("3.", 3.0), ("yes", "yes"), ("off", "off"), ("010", "010"),
        ("1:30", "1:30"), ("0x10", "0x10"), ("1_000", "1_000"), (".inf", ".inf"), (".nan", ".nan"),
        ("2024-99-99", "2024-99-99"), ("'8'", "8"), ("[a, {5: b}]", ["a", {"5": "b"}]),
        ("{<<: {a: 1, b: 2}, b: 3}", {"a": 1, "b": 3}),
        ("[&x {a: 1}, *x]", [{"a": 1}, {"a": 1}]),
    ],
)  # fmt: skip
def test_a_word_has_one_meaning(word: str, value: Any) -> None:
    given = parse(word)[0]
    assert given == value
    assert type(given) is type(value)


@pytest.mark.parametrize("word", ["yes", "true", "010", "1:30", "'0.1'", ".inf", "nan", "1e999",
                                  "0x10", "1_000"])  # fmt: skip
@pytest.mark.parametrize(
    ("place", "said"),
    [("train.lr", "train.lr"), ("train.batch_size", "train.batch_size"), ("seeds", "seeds"),
     ("methods", "lora.alpha"), ("methods", "lora.r"), ("grid", "grid.lr"),
     ("train.betas", "train.betas")],
)  # fmt: skip
def test_no_number_is_made_of_what_is_none(
    tmp_path: Path, place: str, said: str, word: str
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(GOOD)
    key = said.removeprefix("lora.")
    value = {"seeds": f"[{word}]", "methods": f"[{{lora: {{{key}: {word}}}}}]",
             "grid": f"{{lr: [{word}]}}", "train.betas": f"[{word}, 0.9]",
             }.get(place, word)  # fmt: skip
    with pytest.raises(UserError) as error:
        load_suite(file, [f"{place}={value}"])
    if word == "1e999":
        assert f"override '{place}=" in str(error.value)
        said = "1e999: not a finite number"
    else:
        assert f"override {place}" in str(error.value)
    assert said in str(error.value)


LAUGHS = ["a0: &a0 [" + ", ".join(["x"] * 10) + "]"] + [
    f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 10) + "]" for i in range(1, 10)
]
UNREADABLE = {
    "not UTF-8": (b"name: \xff\xfe", "not UTF-8 text"),
    "NUL": (b"name: a\0b", "not valid YAML"),
    "escaped NUL": (b'name: "a\\0b"', "yaml:1: text with the character U+0000"),
    "half a character": (b'name: "a\\ud800b"', "yaml:1: text with the character U+D800"),
    "no character": (b'name: "\\UFFFFFFFF"', "not valid YAML"),
    "alias of itself": (b"name: x\ntasks: &t [*t]", "yaml:2: an alias of what it stands in"),
    "deep list": (b"tasks: " + b"[" * 5000, "levels deep"),
    "deep enough": (b"tasks: " + b"[" * 60 + b"]" * 60, "more than 50 levels deep"),
    "tag": (b"name: x\nseeds: [!!int x]", "yaml:2: the tag tag:yaml.org,2002:int"),
    "python tag": (b"name: !!python/object/apply:os.system [ls]", "yaml:1: the tag"),
    "list as key": (b"name: x\n? [a]\n: 1", "yaml:2: a key is a word"),
    "long number": (b"seeds: [" + b"9" * 5000 + b"]", "more than 64 bits"),
    "infinite": (b"name: x\ntrain: {lr: 1e999}", "yaml:2: 1e999: not a finite number"),
    "bomb": ("\n".join(LAUGHS).encode(), "more than 100,000 values"),
    "bomb of text": (b"a: &a " + b"x" * 10_000 + b"\nb: [" + b"*a, " * 10_000 + b"]",
                     "more than 4,194,304 characters"),
    "large": (b"# " + b"x" * 2**20, "a suite has at most"),
    "two documents": (b"name: x\n---\nname: y", "not valid YAML"),
    "wrong merge": (b"name: x\n<<: 3", "yaml:2: << takes mappings"),
    "many mistakes": (GOOD.encode() + b"rules: [" + b"x, " * 50_000 + b"]", "and 49980 more"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_suite_is_said_at_once(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_bytes(content)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(UserError) as error:
        load_suite(file)
    assert said in str(error.value)
    assert len(str(error.value)) < 10_000
    assert time.process_time() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000, "KiB"


WRONG = [
    ("methods=[{lora: {}, 5: 1}]", "found lora, 5"),
    ("methods=[{lora: no}]", "methods.0.options: input should be a mapping"),
    ("methods=[{lora: {}, train: null}]", "methods.0.train"),
    ("tasks=[{name: acceptability, lr: 0.1, train: null}]", "tasks.0.train"),
    ("tasks=[{name: acceptability, lr: 0.1, train: [1]}]", "tasks.0.train"),
    ("train=null", "override train"),
    ("seeds=[100000000000000000]", "override seeds: seeds.0: input should be less than 4294967296"),
    ("seeds=[" + "0, " * 100_000 + "]", "values, aliases followed"),
    ("name=\0", "override 'name=\\x00': not valid YAML"),
    ("name=\udcff", "override 'name=\\udcff': not valid YAML"),
    ("train.lr=[", "not valid YAML"),
    ("train.batch_size=yes", "train.batch_size"),
]


@pytest.mark.parametrize(("override", "said"), WRONG, ids=range(len(WRONG)))
def test_what_has_the_wrong_shape_is_named(tmp_path: Path, override: str, said: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(GOOD)
    with pytest.raises(UserError) as error:
        load_suite(file, [override])
    assert said in str(error.value)


def test_an_override_survives_any_entry_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(GOOD.replace("[acceptability]", "[{name: [a]}]") + "grid: 7\n")
    with pytest.raises(UserError) as error:
        load_suite(file, ["tasks=[acceptability]", "train.lr=0.2"])
    assert "yaml:6: grid" in str(error.value)


def test_a_grid_that_no_one_could_run_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    many = ", ".join(map(str, range(1, 1001)))
    file.write_text(GOOD + f"grid: {{epochs: [{many}], batch_size: [{many}]}}\n")
    with pytest.raises(UserError, match="1,000,000 cells; at most 100,000"):
        load_suite(file).cells()


def test_the_reader_says_the_line() -> None:
    with pytest.raises(NoSuiteText, match="key 'a' is already given on line 1") as error:
        parse("a: 1\nb: 2\na: 3\n")
    assert error.value.line == 3

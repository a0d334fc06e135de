"""Scores of generated texts, held to values derived by hand."""

from __future__ import annotations

import math
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.tasks import text_metrics
from harness.tasks.text_metrics import METRICS, meteor, mteval, require, score_text

SAID = ["The cat sat on the mat", "dogs bark", "no match here"]
RIGHT = [
    ["the cat sat on a mat", "a cat is on the mat"],
    ["dogs bark loudly"],
    ["something else entirely", "nothing else"],
]


def one(name: str, said: list[str], right: list[list[str]]) -> float:
    return score_text([name], said, right)[name]


def needs(library: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(library) is None, reason=f"{library} is not installed")


@needs("sacrebleu")
def test_bleu_by_hand():
    # Of 11 words 7 are right: "the" once only, as in each reference. Of 8 bigrams 5 + 1 (on the and
    # the mat: of the second reference), of 5 trigrams 3 (not: sat on the), of 3 4-grams 1. The
    # closest references have 6 + 3 + 3 = 12 words (for three words, 3 is closer than 2).
    precisions = 7 / 11 * 6 / 8 * 3 / 5 * 1 / 3
    assert one("bleu", SAID, RIGHT) == pytest.approx(math.exp(1 - 12 / 11) * precisions**0.25)


@needs("sacrebleu")
def test_bleu_of_no_4_gram_is_smoothed_as_by_mteval():
    # 4 of 4 words, 2 of 3 bigrams, 0 of 2 trigrams: 1/2 for 0; 0 of 1 4-grams: 1/4 for 0.
    precisions = 4 / 4 * 2 / 3 * (1 / 2) / 2 * (1 / 4) / 1
    assert one("bleu", ["a b c d"], [["c d a b"]]) == pytest.approx(precisions**0.25)
    # As close as 3 words are 5: the shorter reference counts, and there is no penalty.
    assert one("bleu", ["a b c d"], [["a b c d e", "x y z"]]) == pytest.approx(1.0)
    assert one("bleu", ["x"], [["y"]]) == 0.0


def test_nist_by_hand():
    # The references have 20 words: the, cat, on, a, mat and else twice, eight others once. The
    # information of a word is log2(20 / count): of the 11 predicted, the (once), cat, on and mat
    # have log2 10; sat, dogs and bark log2 20.
    words = (4 * math.log2(10) + 3 * math.log2(20)) / 11
    # A bigram's is log2(count of its first word / count). the cat, cat sat, on the and the mat have
    # 1 bit; sat on and dogs bark 0. Longer ones that match add nothing: no other begins as they do.
    bigrams = 4 / 8
    # 11 words are not fewer than 20 / 2, the script's mean length for up to two references.
    assert one("nist", SAID, RIGHT) == pytest.approx(words + bigrams)


def test_nist_is_halved_at_two_thirds_of_the_references_length():
    # Six words, each once: log2 6. Their bigrams: 0. Four of six words.
    said, right = ["a b c d"], [["a b c d e f"]]
    assert one("nist", said, right) == pytest.approx(math.log2(6) / 2)
    # Two inputs with 1 and 3 references: 6 + 18 words over 3, and not 12.
    many = [["a b c d e f"], ["g h i j k l", "m n o p q r", "s t u v w x"]]
    ratio = 7 / (24 / 3)
    penalty = math.exp(-math.log(2) / math.log(1.5) ** 2 * math.log(ratio) ** 2)
    assert one("nist", ["a b c d", "g h i"], many) == pytest.approx(math.log2(24) * penalty)
    assert one("nist", ["", ""], many) == 0.0


def test_rouge_l_by_hand():
    # "the cat sat on mat" is in common with the first reference: 5/6 and 5/6. "dogs bark":
    # precision 1, recall 2/3, F = (1 + 1.44) P R / (R + 1.44 P).
    second = 2.44 * (2 / 3) / (2 / 3 + 1.44)
    assert one("rouge_l", SAID, RIGHT) == pytest.approx((5 / 6 + second + 0) / 3)


def test_rouge_l_takes_precision_and_recall_from_different_references():
    # "b c" is all of the first one (recall 1), "b c d" of the second one (precision 3/4).
    right = [["b c", "b c d x y z"]]
    expected = 2.44 * 0.75 * 1 / (1 + 1.44 * 0.75)
    assert one("rouge_l", ["b c d e"], right) == pytest.approx(expected)
    assert one("rouge_l", ["..."], right) == 0.0  # no word at all


def test_cider_by_hand():
    said = ["red fish", "blue fish", "green tea"]
    right = [["red fish"], ["blue bird"], ["cold fish"]]
    # fish is in the references of two inputs of three: it weighs log 1.5; all else log 3.
    # First: the same text: cosines 1, 1, 0, 0 of 1- to 4-grams; mean 1/2.
    # Second: words (blue, fish) and (blue, bird): log3^2 / (sqrt(log3^2 + log1.5^2) sqrt(2) log3).
    cosine = math.log(3) / math.hypot(math.log(3), math.log(1.5)) / math.sqrt(2)
    assert one("cider", said, right) == pytest.approx(10 * (1 / 2 + cosine / 4 + 0) / 3)


def test_cider_of_another_length_and_of_repetitions():
    padding = ["x1 x2", "y1 y2"], [["z1 z2"], ["w1 w2"]]
    # red, fish against red, fish, swims: 2 / sqrt(2 * 3); one bigram of two: 1 / sqrt 2. One bigram
    # more or less: exp(-1 / (2 * 6^2)).
    cosines = (2 / math.sqrt(6) + 1 / math.sqrt(2)) / 4
    found = one("cider", ["red fish", *padding[0]], [["red fish swims"], *padding[1]])
    assert found == pytest.approx(10 * cosines * math.exp(-1 / 72) / 3)
    # fish twice against once: min(2, 1) * 1 / (2 * 1).
    found = one("cider", ["fish fish", *padding[0]], [["fish"], *padding[1]])
    assert found == pytest.approx(10 * (1 / 2) / 4 * math.exp(-1 / 72) / 3)
    # The mean over references: one as it is, one without a word in common.
    found = one("cider", ["red fish", *padding[0]], [["red fish", "one two"], *padding[1]])
    assert found == pytest.approx(10 * (1 / 2 + 0) / 2 / 3)


@needs("rouge_score")
def test_rouge_by_hand():
    names = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    # Stemmed: cat run fast / a cat run. Words 2 of 3 and 2 of 3; bigrams 1 of 2 and 1 of 2; L 2.
    scores = score_text(names[:3], ["Cats running fast"], [["a cat runs", "dogs"]])
    assert scores == {"rouge1": pytest.approx(2 / 3), "rouge2": 0.5, "rougeL": pytest.approx(2 / 3)}
    # Lines are sentences to rougeLsum: all five words; the longest subsequence has three.
    scores = score_text(names[2:], ["d e\na b c"], [["a b c\nd e"]])
    assert scores == {"rougeL": pytest.approx(3 / 5), "rougeLsum": 1.0}


def test_exact_match_is_that_of_one_reference():
    assert one("exact_match", ["42 ", "a", "A"], [["41", "42"], ["a"], ["a"]]) == 2 / 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's £20-25, isn't it?", ["it's", "£20", "-", "25", ",", "isn't", "it", "?"]),
        (
            "5.5 of 1,000; no.5 (a/b).",
            ["5.5", "of", "1,000", ";", "no", ".", "5", "(", "a", "/", "b", ")", "."],
        ),
        ("Café &amp; &quot;Bar&quot;\nTop-\nclass", ["café", "&", '"', "bar", '"', "topclass"]),
        ("family-friendly ÉTÉ", ["family-friendly", "ÉtÉ"]),
    ],
)
def test_words_of_mteval(text, words):
    assert mteval.words(text) == words


def test_what_cannot_be_computed_is_named(monkeypatch):
    with pytest.raises(UserError, match="unknown metric 'rougel'; did you mean 'rouge"):
        score_text(["rougel"], ["a"], [["a"]])
    for said, right in (([], []), (["a"], []), (["a"], [[]])):
        with pytest.raises(ValueError, match="predictions for"):
            score_text(["nist"], said, right)
    monkeypatch.setattr(text_metrics, "find_spec", lambda name: None)
    for name, library, extra in (("bleu", "sacrebleu", "text"), ("rougeL", "rouge_score", "text"),
                                 ("meteor", "pycocoevalcap", "meteor")):  # fmt: skip
        with pytest.raises(UserError, match=rf"metric {name} needs {library}.*-bench\[{extra}\]"):
            require([name])
    require([name for name in METRICS if name in {"nist", "rouge_l", "cider", "exact_match"}])


SCORER = f"""#!{sys.executable}
import sys
print(" ".join(sys.argv[1:]), file=open(sys.argv[0] + ".log", "w"))
log = open(sys.argv[0] + ".log", "a")
for line in sys.stdin:
    print(line.strip(), file=log, flush=True)
    parts = line.rstrip("\\n").split(" ||| ")
    if "fail" in line:
        sys.exit("java.lang.OutOfMemoryError")
    scores = ["0.1"] * len(parts[1:]) + ["0.25"]
    print(len(parts) if parts[0] == "SCORE" else "\\n".join(scores), flush=True)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch) -> Path:
    """Return the log of a program in the place of Java, beside a package with METEOR's jar."""
    java = tmp_path / "java"
    java.write_text(SCORER)
    java.chmod(0o755)
    folder = tmp_path / "packages" / "pycocoevalcap"
    (folder / "meteor").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "meteor" / "meteor-1.5.jar").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.syspath_prepend(folder.parent)
    return tmp_path / "java.log"


def test_meteor_asks_its_scorer_for_each_input_and_for_the_corpus(stand_in):
    assert one("meteor", ["It's good.", ""], [["A café!", "x"], ["good"]]) == 0.25
    command, *lines = stand_in.read_text().splitlines()
    assert command.endswith("meteor-1.5.jar - - -stdio -l en -norm")
    assert lines == [
        "SCORE ||| a café ||| x ||| it 's good", "SCORE ||| good |||", "EVAL ||| 4 ||| 3",
    ]  # fmt: skip


def test_meteor_without_java_or_with_one_that_fails(stand_in, monkeypatch):
    with pytest.raises(UserError, match=r"METEOR ended early: java\.lang\.OutOfMemoryError"):
        one("meteor", ["fail"], [["x"]])
    monkeypatch.setenv("JAVA_HOME", str(stand_in.parent / "home"))
    monkeypatch.setenv("PATH", "")
    (stand_in.parent / "home" / "bin").mkdir(parents=True)
    (stand_in.parent / "java").rename(stand_in.parent / "home" / "bin" / "java")
    assert meteor.find_java() == stand_in.parent / "home" / "bin" / "java"
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setattr(meteor, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="metric meteor needs a Java runtime"):
        meteor.find_java()


@needs("pycocoevalcap")
def test_meteor_itself():
    """The value of pycocoevalcap 1.2's own wrapper, on the same words."""
    try:
        meteor.find_java()
    except UserError as error:
        pytest.skip(str(error))
    said = ["A café in the city centre .", "the cat sat"]
    right = [["In the city center there is a café."], ["a cat was sitting", "the dog"]]
    assert one("meteor", said, right) == pytest.approx(0.39783478609252226)

"""Words of COCO's metrics: each line was given to Stanford's PTBTokenizer (CoreNLP 3.4.1), too."""

from __future__ import annotations

import pytest

from harness.tasks.text_metrics.ptb import words

LINES = {
    "It's good, isn't it? I can't go; we cannot stay.":
        "it 's good is n't it i ca n't go we can not stay",
    "They'd've said \"yes\" and 'no'.": "they 'd 've said yes and no",
    "in the £20-25 price range.": "in the # 20-25 price range",
    "between £20 - £25, or £20-£25": "between # 20 # 25 or # 20 # 25",
    "a 5-star family-friendly place, 3out of 5.": "a 5-star family-friendly place 3out of 5",
    "in the city center., near Burger King.": "in the city center. near burger king",
    "The U.S. market, e.g. Apple Inc. fell 3.5% vs. last year's.":
        "the u.s. market e.g. apple inc. fell 3.5 % vs. last year 's",
    "Wow!!! What?! Really?... End…": "wow !!! what ?! really end",
    "(brackets) [more] {yet} <b> AT&T R&D #5 50%": "-lrb- brackets -rrb- -lsb- more -rsb- -lcb- yet"
        " -rcb- <b> at&t r&d # 5 50 %",
    "dogs' tails, rock 'n' roll, O'Reilly, o'clock, Cocum's.":
        "dogs tails rock 'n' roll o'reilly o'clock cocum 's",
    "“curly” ‘quotes’ – en — em it’s": "curly quotes en em it 's",
    "a coffee shop.It has food.The rating,low": "a coffee shop.it has food.the rating low",
    "Then 5.It 1,000,000 at 10:30, 1/2 or and/or": "then 5 it 1,000,000 at 10:30 1/2 or and/or",
    "No. 5 and no. Then J. Smith at 3 p.m. St. John":
        "no. 5 and no then j. smith at 3 p.m. st. john",
    "I'm gonna wanna 'twas 100,000-a-week @home **": "i 'm gon na wan na 't was 100,000-a-week"
        " @home **",
    "http://a.b/c?d=e or me@x.org": "http://a.b/c?d=e or me@x.org",
    "Café é £30": "café é # 30",
    "": "",
}  # fmt: skip


@pytest.mark.parametrize("text", LINES)
def test_words_are_those_of_the_stanford_tokenizer(text):
    assert words(text) == LINES[text].split()

"""Words as in the Penn Treebank: what COCO's caption metrics count.

They run Stanford's PTBTokenizer (CoreNLP 3.4.1, `-preserveLines -lowerCase`) and drop its
punctuation marks. This is a tokenizer of our own for the same words, made by comparing outputs; how
far the two agree is said in docs/text_metrics.md.
"""

from __future__ import annotations

import re

# Spelled out by that tokenizer. Brackets stay: COCO drops them in capitals only.
_SPELLED = {
    "(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-",
    "£": "#", "€": "$", "¢": "cents", "½": "1/2", "¼": "1/4", "¾": "3/4",
}  # fmt: skip
# Keep their period; so does a single letter, a chain of letters, and any word before a comma.
_ABBREVIATED = (
    "adm al apr aug ave bldg blvd brig bros ca capt cmdr co col comdr corp cos cpl ct dec det dr "
    "est etc feb fri ft gen gov hon inc jan jr lt ltd maj mar messrs mon mr mrs ms mt mssrs nov "
    "oct op pfc ph.d prof pvt rd rep reps rev sat sen sens sep sept sgt sr st supt thu tue vs wed"
)
_CLITIC = r"n't\b|'(?:s|m|d|re|ve|ll)\b"
_LETTER = r"[^\W\d_]"
_WORD = re.compile(
    rf"""
      (?:https?://|www\.)\S*\w/? | [\w.+-]+@[\w-]+(?:\.\w+)+   # addresses
    | </?[a-z]\w*/?>                                           # tags
    | (?<!\w)(?:{_LETTER}\.)+{_LETTER}\b\.? | (?<![\w']){_LETTER}\.   # U.S. a.m. J.
    | \b(?:{"|".join(_ABBREVIATED.split())})\. | \bnos?\.(?=\s\d) | \w+\.(?=,)
    | (?:can(?=not\b) | gon(?=na\b) | wan(?=na\b) | got(?=ta\b) | gim(?=me\b) | lem(?=me\b))
    | '(?:t(?=(?:is|was)\b) | \d\ds\b | n'(?!\w))
    | {_CLITIC}
    | [+-]?\d+(?:[.,:/-]\d+)+(?:-\w+)* | [+-]\d+\b | \.\d+     # numbers
    | \w (?: (?!{_CLITIC}) (?: \w | [-'/&](?=\w) | (?<={_LETTER})[.!?](?={_LETTER}) ) )*
    | @\w+ | \*{{2,}} | [!?]{{2,}}
    | [^\s\w.,:;!?'"`“”‘–—…-]                                  # symbols
    """,
    re.VERBOSE,
)


def words(text: str) -> list[str]:
    """Return the words of a text: lower-cased, contractions taken apart, no punctuation marks."""
    found = _WORD.findall(text.replace("’", "'").lower())
    return [_SPELLED.get(word, word) for word in found]

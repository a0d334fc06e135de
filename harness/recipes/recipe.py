"""A trainer's file while it is read: its keys, and what each of them came to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.suite.document import read_yaml
from harness.suite.reading import Path_
from methods.wording import nearest, shortened, spelled

# Words that YAML 1.1, which the trainers read, takes for true and false, and suites do not.
YES = {"yes", "on", "true", "y"}
NO = {"no", "off", "false", "n"}


class Recipe:
    """The file's keys; nested ones are dotted (`gradient_checkpointing_kwargs.use_reentrant`).

    Attributes:
        source: the file.
        has_bf16: whether the cards compute in bf16; None: some of them do.
        assumed: what the file does not say, and the forecast takes.
        differs: what the file says, and the forecast does not have.
    """

    def __init__(
        self,
        source: str,
        data: Mapping[str, Any],
        lines: Mapping[Path_, int] | None = None,
        has_bf16: bool | None = True,
    ) -> None:
        self.source = source
        self.has_bf16 = has_bf16
        self.assumed: list[str] = []
        self.differs: list[str] = []
        self._refused: dict[str, int] = {}
        self._data = data
        self._lines = lines or {}
        self._asked: set[str] = set()

    def value(self, key: str, default: Any = None) -> Any:
        """Return what stands at the key, `default` where nothing or null does."""
        self._asked.add(key)
        found = self._at(key)
        return default if found is None else found

    def has(self, key: str) -> bool:
        """Tell whether the file says anything but null at the key."""
        return self.value(key) is not None

    def flag(self, key: str, default: bool = False) -> bool:
        """Return true or false.

        Raises:
            UserError: it is neither.
        """
        found = self.value(key, default)
        word = str(found).lower()
        if isinstance(found, bool) or word in YES | NO:
            return found if isinstance(found, bool) else word in YES
        raise self.wrong(key, "true or false")

    def whole(self, key: str, default: int | None = None) -> int | None:
        """Return a whole number.

        Raises:
            UserError: it is none.
        """
        number = self.real(key, default)
        if number is None or number == int(number):
            return None if number is None else int(number)
        raise self.wrong(key, "a whole number")

    def count(self, key: str, default: int) -> int:
        """Return a whole number from 1 on.

        Raises:
            UserError: it is none.
        """
        number = self.whole(key, default)
        if number is None or number < 1:
            raise self.wrong(key, "a whole number from 1 on")
        return number

    def real(self, key: str, default: float | None = None) -> float | None:
        """Return a number, also where it is written as text.

        Raises:
            UserError: it is none.
        """
        found = self.value(key, default)
        if found is None:
            return None
        try:
            number = float(found)
        except (TypeError, ValueError):
            raise self.wrong(key, "a number") from None
        if isinstance(found, bool) or not isfinite(number):
            raise self.wrong(key, "a number")
        return number

    def word(self, key: str, default: str | None = None) -> str | None:
        """Return a word.

        Raises:
            UserError: it is a list or a mapping.
        """
        found = self.value(key, default)
        if isinstance(found, (list, dict)):
            raise self.wrong(key, "one word")
        return None if found is None else spelled(found)

    def one_of(self, key: str, meanings: Mapping[str, Any], default: str) -> Any:
        """Return the meaning of a word.

        Raises:
            UserError: it has none.
        """
        word = self.word(key, default) or default
        if word not in meanings:
            raise UserError(f"{self.where(key)}: {self.said(key)}; {nearest(word, meanings)}")
        return meanings[word]

    def names(self, key: str) -> list[str]:
        """Return a list of words, which may be written as one with commas.

        Raises:
            UserError: it is something else.
        """
        found = self.value(key, [])
        if isinstance(found, str):
            found = [part.strip() for part in found.split(",") if part.strip()]
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise self.wrong(key, "a list of names")
        return found

    def bf16_by_card(self, key: str) -> bool:
        """Tell whether the trainer takes bf16 by itself, and note it as assumed.

        Raises:
            UserError: it does on some of the cards.
        """
        if self.has_bf16 is None:
            raise UserError(
                f"{self.where(key)}: {self.said(key)} is bf16 on some of the cards and not on "
                "others; ask for them one after the other"
            )
        taken = "bf16" if self.has_bf16 else "no bf16"
        self.assume(f"{self.said(key)} is {taken} on the card")
        return self.has_bf16

    def assume(self, text: str) -> None:
        """Note what the file does not say."""
        self.assumed.append(text)

    def differ(self, text: str) -> None:
        """Note what the file says and the forecast does not have."""
        self.differs.append(text)

    def refuse(self, key: str, reason: str) -> None:
        """Note why there is no forecast; all such notes are told together in the end."""
        self._refused[f"{self.where(key)}: {self.said(key)}: {reason}"] = self._line(key) or 0

    @property
    def refused(self) -> list[str]:
        """Why there is no forecast, in the order of the file."""
        return sorted(self._refused, key=lambda text: self._refused[text])

    def wrong(self, key: str, wanted: str) -> UserError:
        """Return the error of a value that is something else than what is wanted."""
        return UserError(f"{self.where(key)}: {self.said(key)}: {wanted} is wanted")

    def said(self, key: str) -> str:
        """Return a key with its value, as it is written."""
        found = self._at(key)
        shown = shortened(found, 80) if isinstance(found, (list, dict)) else spelled(found)
        return f"{key}: {shown}"

    def where(self, key: str) -> str:
        """Return the file, with the line of the key where it is there."""
        line = self._line(key)
        return f"{self.source}:{line}" if line else self.source

    def place(self, key: str) -> str:
        """Return the line of the key in words."""
        return f"line {self._line(key) or '?'}"

    def _line(self, key: str) -> int | None:
        path: Path_ = tuple(key.split("."))
        return self._lines.get(path) or self._lines.get(path[:1])

    def leaves(self, known: Collection[str]) -> Iterator[tuple[str, Any]]:
        """Yield keys and values; a mapping is taken apart if any key inside of it is known."""
        yield from _leaves(self._data, known, "")

    @property
    def asked(self) -> frozenset[str]:
        """The keys that were read, whether or not they are there."""
        return frozenset(self._asked)

    def _at(self, key: str) -> Any:
        found: Any = self._data
        for part in key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found


def _leaves(
    data: Mapping[str, Any], known: Collection[str], above: str
) -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        key = f"{above}{name}"
        if isinstance(value, dict) and any(each.startswith(f"{key}.") for each in known):
            yield from _leaves(value, known, f"{key}.")
        else:
            yield key, value


def read_recipe(path: Path, has_bf16: bool | None = True) -> Recipe:
    """Read the file, YAML or JSON.

    Raises:
        UserError: it cannot be read, or is no mapping of keys to values.
    """
    document = read_yaml(path, "config")
    return Recipe(str(path), document.data, document.lines, has_bf16)

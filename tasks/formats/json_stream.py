"""JSON item by item: of lists that hold millions, one item is in memory at a time.

The standard decoder, as NaN is no JSON to the libraries that stream, and Python writes it.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

_SPACE = re.compile(r"[ \t\n\r]*")
_decode = json.JSONDecoder().raw_decode


def read_members(text: str, take: Callable[[str, int, Any], None]) -> set[str]:
    """Read an object, and return its keys; none if the text is something else.

    Hands each of its values on with its key and where it begins; of a list, each item by itself. Raises ValueError if
    the text is not sound.
    """
    reader = _Reader(text)
    keys = set[str]()
    if reader.next_sign() != "{":
        return keys
    for _ in reader.items("{", "}"):
        key = reader.key()
        keys.add(key)
        places = reader.items("[", "]") if reader.next_sign() == "[" else [reader.place]
        for place in places:
            take(key, place, reader.value())
    if reader.next_sign():
        raise json.JSONDecodeError("Extra data", text, reader.place)
    return keys


def value_at(text: str, place: int) -> Any:
    """Decode the JSON value that begins at a place."""
    return _decode(text, place)[0]


class _Reader:
    """A place in a JSON text, moved on by what is read."""

    def __init__(self, text: str) -> None:
        self.place = 0
        self._text = text

    def next_sign(self) -> str:
        """The next character but spaces, to which it goes; empty at the end."""
        found = _SPACE.match(self._text, self.place)
        assert found is not None
        self.place = found.end()
        return self._text[self.place : self.place + 1]

    def pass_by(self, sign: str) -> None:
        """Go past a sign that must come."""
        if self.next_sign() != sign:
            raise json.JSONDecodeError(f"Expecting {sign!r}", self._text, self.place)
        self.place += 1

    def key(self) -> str:
        """Read a member's name and move behind its colon."""
        key = self.value()
        if not isinstance(key, str):
            raise json.JSONDecodeError("Expecting a name in quotes", self._text, self.place)
        self.pass_by(":")
        return key

    def value(self) -> Any:
        """Decode the value that comes next and move behind it."""
        self.next_sign()
        value, self.place = _decode(self._text, self.place)
        return value

    def items(self, opening: str, closing: str) -> Iterator[int]:
        """Where each item begins; the caller goes past it."""
        self.pass_by(opening)
        if self.next_sign() == closing:
            self.place += 1
            return
        while True:
            self.next_sign()
            yield self.place
            if self.next_sign() == closing:
                self.place += 1
                return
            self.pass_by(",")

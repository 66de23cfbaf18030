"""TOML into structs: every mistake in one line, with the file and the line number."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from proxy.settings import did_you_mean

Place = tuple[str | int, ...]
"""Where a value is: ("requests", "login", "path"). Numbers are positions in an array."""

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_TOKEN = re.compile(
    r"""
    (?P<text>\"""(?:\\.|[^\\])*?\"""\"{0,2} | \'\'\'.*?\'\'\'\'{0,2} | "(?:\\.|[^"\\])*" | '[^']*')
    | (?P<bare>[^\s"'#\[\]{}=,.]+) | (?P<sign>[\[\]{}=,.\n]) | \#[^\n]* | [^\S\n]+
    """,
    re.DOTALL | re.VERBOSE,
)
_MOST_DIGITS = 4300
"""Of a number: Python converts no longer ones."""
_LARGEST = 2**63 - 1
_AT_LINE = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", re.DOTALL)
_TYPES = {
    inspect.StrType: "a text",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.BoolType: "true or false",
    inspect.ListType: "an array",
    inspect.VarTupleType: "an array",
    inspect.DictType: "a table",
    inspect.StructType: "a table",
}


class DescriptionError(Exception):
    """A file that does not describe a target; the message has one line for each mistake."""


class Lines:
    """Where the keys of a TOML text are, which tomllib has accepted."""

    def __init__(self, text: str) -> None:
        self._numbers: dict[Place, int] = {}
        self._tokens = _split(text)
        self._number = 1  # the line of the last token
        self._next = next(self._tokens)
        table: Place = ()
        counts: dict[Place, int] = {}
        while self._next[0]:
            if self._next[0] == "[":
                table = self._take_header(counts)
            elif self._next[0] == "\n":
                self._take()
            else:
                self._take_pair(table)

    def of(self, place: Place) -> int:
        """Return the line of a value, or of the nearest table around it."""
        while place and place not in self._numbers:
            place = place[:-1]
        return self._numbers.get(place, 1)

    def _take(self) -> str:
        """Return the next token; "" at the end."""
        token, self._number = self._next
        self._next = next(self._tokens, ("", self._number))
        return token

    def _take_key(self, end: str) -> Place:
        """Return the parts of a key in front of a sign, and take the sign."""
        parts: list[str] = []
        while (word := self._take()) != end:
            if word != ".":
                parts.append(tomllib.loads(f"key={word}")["key"] if word[0] in "\"'" else word)
        return tuple(parts)

    def _take_header(self, counts: dict[Place, int]) -> Place:
        """Take [a.b] or [[a.b]]; return the place of the table. `counts` are the last positions in arrays of tables."""
        self._take()
        is_array = self._next[0] == "["
        if is_array:
            self._take()
        table = self._take_key("]")
        if is_array:
            self._take()
            counts[table] = counts.get(table, -1) + 1
            table = (*table, counts[table])
        self._add(table)
        return table

    def _take_pair(self, table: Place) -> None:
        place = (*table, *self._take_key("="))
        self._add(place)
        self._take_value(place)

    def _take_value(self, place: Place) -> None:
        """Take a value, with the keys and the elements in it."""
        opened = self._next[0]
        if opened not in {"[", "{"}:
            while self._next[0] not in {",", "]", "}", "\n", ""}:
                self._take()
            return
        self._take()
        count = 0
        while self._next[0] not in {"]", "}"}:
            if self._next[0] in {",", "\n"}:
                self._take()
            elif opened == "{":
                self._take_pair(place)
            else:
                self._numbers.setdefault((*place, count), self._next[1])
                self._take_value((*place, count))
                count += 1
        self._take()

    def _add(self, place: Place) -> None:
        self._numbers.setdefault(place, self._number)


def _split(text: str) -> Iterator[tuple[str, int]]:
    """Yield the tokens of a TOML text without spaces and comments, with their lines; ("", line) at the end."""
    number, at = 1, 0
    for found in _TOKEN.finditer(text):
        number += text.count("\n", at, found.start())
        at = found.start()
        if found.lastgroup:
            yield found[0], number
    yield "", number


class TomlDocument:
    """A TOML file whose values become structs. `complain` collects mistakes, and `check` raises them all at once."""

    def __init__(self, path: Path) -> None:
        self._name = str(path)
        self._mistakes: dict[tuple[int, str], None] = {}
        try:
            text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        except OSError as error:
            raise DescriptionError(f"cannot read {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise DescriptionError(f"{path} is not UTF-8: {error.reason}") from error
        try:
            self.values = tomllib.loads(text)
        except RecursionError as error:
            raise DescriptionError(f"{path} is not TOML: brackets in too many brackets") from error
        except ValueError as error:
            what, number = _explain(error, text)
            raise DescriptionError(f"{path}:{number}: not TOML: {what}") from error
        self.lines = Lines(text)

    def complain(self, place: Place, what: str) -> None:
        """Note a mistake."""
        self._mistakes[self.lines.of(place), what] = None

    def where(self, place: Place) -> str:
        """Return the file and the line of a value: "shop.toml:12"."""
        return f"{self._name}:{self.lines.of(place)}"

    def check(self) -> None:
        """Raise DescriptionError if there were mistakes."""
        if self._mistakes:
            raise DescriptionError("\n".join(f"{self._name}:{line}: {what}" for line, what in sorted(self._mistakes)))

    def convert(self, kind: type[_Struct]) -> _Struct:
        """Return the file as a struct. Raises DescriptionError for unknown keys, missing ones and wrong types."""
        for place, what in _find_mistakes(inspect.type_info(kind), self.values, ()):
            self.complain(place, what)
        self.check()
        return msgspec.convert(self.values, kind)


def _explain(error: ValueError, text: str) -> tuple[str, int]:
    """Return what is wrong with a text that tomllib refuses, and its line."""
    if not isinstance(error, tomllib.TOMLDecodeError):
        long = re.search(rf"[0-9_]{{{_MOST_DIGITS},}}", text)
        return "a number has too many digits", text.count("\n", 0, long.start() if long else 0) + 1
    if (found := _AT_LINE.fullmatch(str(error))) is None:
        return str(error), 1
    return found[1], int(found[2] or text.rstrip("\n").count("\n") + 1)


def _find_mistakes(kind: inspect.Type, value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    """Yield the mistakes of a value that must have this type."""
    if isinstance(kind, inspect.UnionType):
        kind = _choose(kind, value)
    if isinstance(kind, inspect.StructType) and isinstance(value, Mapping):
        fields = {field.encode_name: field for field in kind.fields}
        for key, one in value.items():
            if key in fields:
                yield from _find_mistakes(fields[key].type, one, (*place, key))
            else:
                yield (*place, key), f"unknown key {_name((*place, key))}: {did_you_mean(key, fields)}"
        meant = {did_you_mean(key, fields) for key in value if key not in fields}
        for name, field in fields.items():
            if field.required and name not in value and f"did you mean {name!r}?" not in meant:
                yield place, f"{_name((*place, name))} is missing"
    elif isinstance(kind, inspect.DictType) and isinstance(value, Mapping):
        for key, one in value.items():
            yield from _find_mistakes(kind.value_type, one, (*place, key))
    elif isinstance(kind, inspect.VarTupleType) and isinstance(value, list):
        for at, one in enumerate(value):
            yield from _find_mistakes(kind.item_type, one, (*place, at))
    elif isinstance(kind, inspect.EnumType) and isinstance(value, str):
        names = [str(one.value) for one in kind.cls]
        if value not in names:
            yield place, f"{_name(place)} must not be {value!r}: {did_you_mean(value, names)}"
    elif not isinstance(kind, inspect.AnyType) and not _is_of(kind, value):
        wanted = "one of them" if isinstance(kind, inspect.EnumType) else _TYPES.get(type(kind), "something else")
        yield place, f"{_name(place)} must be {wanted}, not {_describe(value)}"


def _choose(kind: inspect.UnionType, value: Any) -> inspect.Type:
    """Return the type of a union that fits a value best."""
    kinds = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
    return next((one for one in kinds if _is_of(one, value)), kinds[0])


def _is_of(kind: inspect.Type, value: Any) -> bool:
    """Return whether a value has this type, without what is in it."""
    match kind:
        case inspect.StructType() | inspect.DictType():
            return isinstance(value, Mapping)
        case inspect.VarTupleType() | inspect.ListType():
            return isinstance(value, list)
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType():
            return isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST
        case inspect.FloatType():
            return isinstance(value, float) or (_is_of(inspect.IntType(), value))
        case inspect.StrType() | inspect.EnumType():
            return isinstance(value, str)
    return True


def _describe(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, int) and abs(value) > _LARGEST:
        return "one of more than 64 bits"
    return "an array" if isinstance(value, list) else repr(value)


def _name(place: Place) -> str:
    return ".".join(map(str, place))

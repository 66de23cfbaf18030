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
_HEADER = re.compile(r"\s*\[\[?([^\[\]]+)\]\]?\s*(#.*)?")
_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=(.*)", re.DOTALL)
_QUOTES = re.compile(r'"""|\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*')
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
    """Where the keys of a TOML text are: a scan of its lines, which tomllib has accepted."""

    def __init__(self, text: str) -> None:
        self._numbers: dict[Place, int] = {}
        table: Place = ()
        counts: dict[Place, int] = {}
        depth, quotes = 0, ""  # open brackets of an array or an inline table; the quotes of a text with several lines
        for number, line in enumerate(text.splitlines(), 1):
            if not depth and not quotes:
                if header := _HEADER.fullmatch(line):
                    table = _parts(header[1])
                    if line.lstrip().startswith("[["):
                        counts[table] = counts.get(table, -1) + 1
                        table = (*table, counts[table])
                    self._add(table, number)
                    continue
                if (key := _KEY.match(line)) is None:
                    continue
                place = (*table, *_parts(key[1]))
                self._add(place, number)
                line = key[2]
                self._add_inline(place, line, number)
            depth, quotes = _follow(line, depth, quotes)

    def of(self, place: Place) -> int:
        """Return the line of a value, or of the nearest table around it."""
        while place and place not in self._numbers:
            place = place[:-1]
        return self._numbers.get(place, 1)

    def _add(self, place: Place, number: int) -> None:
        self._numbers.setdefault(place, number)

    def _add_inline(self, place: Place, text: str, number: int) -> None:
        """Note the keys of an inline table: they are in the line of its own key."""
        if text.lstrip().startswith("{"):
            for key in re.findall(rf"({_PART})\s*=", text):
                self._add((*place, *_parts(key)), number)


def _parts(key: str) -> Place:
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in re.findall(_PART, key))


def _follow(line: str, depth: int, quotes: str) -> tuple[int, str]:
    """Return how many brackets and which quotes are open after a line."""
    at = 0
    while at < len(line):
        if quotes:
            end = line.find(quotes, at)
            if end < 0:
                return depth, quotes
            at, quotes = end + 3, ""
        elif (found := _QUOTES.match(line, at)) is not None:
            quotes = found[0] if found[0] in ('"""', "'''") else ""
            at = found.end()
        else:
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(line[at], 0)
            at += 1
    return depth, quotes


class TomlDocument:
    """A TOML file whose values become structs. `complain` collects mistakes, and `check` raises them all at once."""

    def __init__(self, path: Path) -> None:
        self._name = str(path)
        self._mistakes: dict[tuple[int, str], None] = {}
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise DescriptionError(f"cannot read {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise DescriptionError(f"{path} is not UTF-8: {error.reason}") from error
        try:
            self.values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = _AT_LINE.fullmatch(str(error))
            what, number = (found[1], found[2] or len(text.splitlines())) if found else (str(error), 1)
            raise DescriptionError(f"{path}:{number}: not TOML: {what}") from error
        except RecursionError as error:
            raise DescriptionError(f"{path} is not TOML: brackets in too many brackets") from error
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
            return isinstance(value, int) and not isinstance(value, bool)
        case inspect.FloatType():
            return isinstance(value, int | float) and not isinstance(value, bool)
        case inspect.StrType() | inspect.EnumType():
            return isinstance(value, str)
    return True


def _describe(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a table"
    return "an array" if isinstance(value, list) else repr(value)


def _name(place: Place) -> str:
    return ".".join(map(str, place))

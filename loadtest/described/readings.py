"""Values in an answer: by JSON pointer, CSS selector, header and regular expression."""

import codecs
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import Any, Protocol
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, UnsetType

from loadtest.described.schema import ItemsReading, RequestSpec
from loadtest.history import Action, OpOutcome
from loadtest.operations import Answer, Response, printable

_NUMBER = re.compile(r"-?(?:[0-9]{1,3}(?:[.,  '][0-9]{3})+(?![0-9])|[0-9]+)")
_FRACTION = re.compile(r"[.,][0-9]")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_META = re.compile(rb"<meta\b[^>]*?\bcharset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_MOST_BEFORE_META = 1024
_AS_BROWSERS = {
    **dict.fromkeys(("iso-8859-1", "latin1", "us-ascii", "ascii"), "cp1252"),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987", "ksc5601"), "cp949"),
    **dict.fromkeys(("gb2312", "gbk"), "gb18030"),
    "shift_jis": "cp932",
    "iso-8859-9": "cp1254",
}
"""Encodings that browsers take for others, which have more characters."""
_UNDECODABLE = "\ufffd"
_MISSING = object()
_MOST_DIGITS = 15
"""Of a counter or a quantity: what a history can hold, also as a sum."""
_TOO_LARGE = 10**_MOST_DIGITS


class NotShown(Exception):
    """The answer is not what the file says; the message is a clause."""


class Source(Protocol):
    """The keys that say where a value is."""

    @property
    def json(self) -> str | None: ...

    @property
    def css(self) -> str | None: ...

    @property
    def regex(self) -> str | None: ...


class Page:
    """An answer, parsed at most once."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self.charset = self._find_charset()
        self._text: str | None = None
        self._document: Any = _MISSING

    def _find_charset(self) -> str:
        """Return the encoding that the answer names in its header, or in an element of its page; by default UTF-8."""
        for line in self.response.header("Content-Type"):
            if named := _find_charset(line):
                return named
        head = self.response.body[:_MOST_BEFORE_META]
        if b"<" not in head or (meta := _META.search(head)) is None:
            return "utf-8"
        label = meta[1].decode().lower()
        return "utf-8" if label.startswith("utf-16") else label  # in which nobody could have read the element

    @property
    def text(self) -> str:
        """The body as text; bytes that are not of its encoding are U+FFFD, and `require_whole` refuses these."""
        if self._text is None:
            self._text = self._decode()
        return self._text

    def _decode(self) -> str:
        body = self.response.body.removeprefix(codecs.BOM_UTF8)
        try:
            return body.decode(_AS_BROWSERS.get(self.charset, self.charset), "replace")
        except (LookupError, UnicodeError):  # an encoding that nobody knows
            return body.decode("utf-8", "replace")

    def require_whole(self, text: str) -> str:
        """Return a text of the body. Raises NotShown if some of its bytes were not of the encoding."""
        if _UNDECODABLE in text and _UNDECODABLE.encode() not in self.response.body:
            raise NotShown(f"{printable(text[:40])!r} has bytes that are not {self.charset}: name the right charset")
        return text

    @property
    def document(self) -> Any:
        """The JSON in it. Raises NotShown."""
        if self._document is _MISSING:
            self._document = self._parse()
        return self._document

    def _parse(self) -> Any:
        try:
            body = self.response.body.removeprefix(codecs.BOM_UTF8)
            return msgspec.json.decode(body if self.charset == "utf-8" else self.text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NotShown(f"the answer is not JSON: {error}") from error
        except RecursionError as error:
            raise NotShown("the answer is JSON that is nested too deeply") from error

    @cached_property
    def tree(self) -> Any:
        """The HTML in it."""
        from selectolax.lexbor import LexborHTMLParser  # an extra, and only where a file has a selector

        return LexborHTMLParser(self.text)

    def select(self, css: str, attribute: str | None) -> list[str]:
        """Return the texts of all elements, or their attribute."""
        found = self.tree.css(css)
        if attribute is not None:
            return [one.attributes[attribute] or "" for one in found if attribute in one.attributes]
        return [" ".join(one.text().split()) for one in found]


def find_css_mistake(css: str) -> str:
    """Return what is wrong with a CSS selector; empty if nothing is."""
    try:
        from selectolax.lexbor import LexborHTMLParser, SelectolaxError
    except ImportError:
        return "needs selectolax: install it, for example as session-cluster[targets]"
    try:
        LexborHTMLParser("").css(css)
    except SelectolaxError:
        return f"must be a CSS selector, not {css!r}"
    return ""


def find_text(source: Source, page: Page) -> str:
    """Return the value; "" where there is none. Raises NotShown for an answer that is not JSON."""
    texts = _find_texts(source, page)
    return page.require_whole(next(iter(texts), ""))


def read_cookie(source: Source, value: str) -> str:
    """Return the token in a cookie, which scripts of pages percent-decode before they send it; "" for none."""
    with suppress(UnicodeDecodeError):
        decoded = unquote(value, errors="strict")
        value = decoded if decoded.isprintable() else value
    return next(iter(_search(source, [value])), "")


def find_name(source: Source, page: Page) -> str:
    """Return who is logged in; "" for nobody: null, false, "", 0, [], {} and what is absent. Raises NotShown."""
    if source.json is None or source.regex is not None:
        return find_text(source, page)
    value = resolve(page.document, source.json)
    return "" if _is_empty(value) else page.require_whole(_write(value))


def find_number(source: Source, page: Page) -> int | UnsetType:
    """Return the number; UNSET where there is none. Raises NotShown where there is something else."""
    if source.json is not None and source.regex is None:
        value = resolve(page.document, source.json)
        if not isinstance(value, str):
            return UNSET if value is _MISSING or value is None or value is False else _whole(value, "counter")
    text = find_text(source, page)
    if not text:
        return UNSET
    if (found := _NUMBER.search(text)) is None:
        raise NotShown(f"the counter is {text[:40]!r}, and not a number")
    if _FRACTION.match(text, found.end()):
        raise NotShown(f"the counter is {text[:40]!r}, and not a whole number")
    digits = re.sub(r"[^0-9-]", "", found[0])
    if len(digits) > _MOST_DIGITS:
        raise NotShown(f"the counter has {len(digits)} digits: {digits[:40]!r}")
    return int(digits)


def find_items(source: ItemsReading, page: Page) -> dict[str, int] | UnsetType:
    """Return the items with their quantities; UNSET where the JSON has no list. Raises NotShown where there is
    something else."""
    value = resolve(page.document, source.json) if source.json is not None else None
    if isinstance(value, dict):
        return {name: _whole(quantity) for name, quantity in value.items()}
    items: Counter[str] = Counter()
    if source.json is not None:
        if not isinstance(value, list):
            if not _is_empty(value):
                raise NotShown(f"the items are {_write(value)[:40]!r}, and not a list")
            return UNSET if value is _MISSING else {}
        for one in value:
            name = resolve(one, source.item) if source.item is not None else one
            quantity = resolve(one, source.quantity) if source.quantity is not None else 1
            if name is _MISSING or name is None:
                raise NotShown(f"an item has no name at {source.item or 'its place'!r}")
            _add(items, source, _write(name), _whole(quantity))
    elif source.css is None and source.header is None:
        for found in re.finditer(source.regex or "", page.text):
            _add_match(items, found, 1)
    else:
        for text in _raw_texts(source, page):
            _add(items, source, text, 1)
    return {page.require_whole(name): quantity for name, quantity in items.items()}


def read_answer(
    spec: RequestSpec, action: Action, user: str | UnsetType | None, page: Page, *, is_whole: bool = False
) -> Answer:
    """Return the answer to an operation of this user, with counter and list. Raises NotShown.

    A page that shows its user `is_whole`: it has all values, and one that is not there is 0, or an empty list.
    """
    visits: int | UnsetType = UNSET
    cart: Mapping[str, int] | UnsetType = UNSET
    if spec.counter is not None:
        visits = find_number(spec.counter, page)
        if visits is UNSET and action is Action.VISIT:
            raise NotShown("the answer shows no counter")
        visits = 0 if visits is UNSET and is_whole else visits
    if spec.items is not None:
        found = find_items(spec.items, page)
        if found is UNSET and action is Action.ADD and user is not None:
            raise NotShown("the answer shows no items")
        is_empty_list = spec.items.json is not None and found is not UNSET  # of HTML nobody knows
        cart = (found or {}) if found or is_whole or is_empty_list or action is Action.ADD else UNSET
    return Answer(OpOutcome.OK, user, visits, cart)


def matches(source: Source, page: Page) -> bool:
    """Return whether an answer has what a rule about its body names: a value at the JSON pointer that is not empty,
    an element, or a match."""
    if source.json is not None:
        try:
            if not _is_empty(resolve(page.document, source.json)):
                return True
        except NotShown:
            pass
    if source.css is not None and page.tree.css_first(source.css) is not None:
        return True
    return source.regex is not None and re.search(source.regex, page.text) is not None


def resolve(document: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901) names in a document; `_MISSING` for nothing."""
    value = document
    for key in _split(pointer):
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return _MISSING
    return value


@lru_cache(maxsize=256)
def _split(pointer: str) -> tuple[str, ...]:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


@lru_cache(maxsize=64)
def _find_charset(line: str) -> str:
    """Return the encoding that a Content-Type names; "" for none. JSON is UTF-8."""
    found = _CHARSET.search(line)
    if found:
        return found[1].lower()
    return "utf-8" if "json" in line else ""


def _raw_texts(source: Source, page: Page) -> list[str]:
    """Return the texts before the regular expression."""
    if source.json is not None:
        value = resolve(page.document, source.json)
        return [] if value is _MISSING or value is None or value is False else [_write(value)]
    if source.css is not None:
        return page.select(source.css, getattr(source, "attribute", None))
    if (header := getattr(source, "header", None)) is not None:
        return page.response.header(header)
    return [page.text]


def _find_texts(source: Source, page: Page) -> list[str]:
    return _search(source, _raw_texts(source, page))


def _search(source: Source, texts: list[str]) -> list[str]:
    """Return what the regular expression takes from each text; without one the texts."""
    if source.regex is None:
        return texts
    found = [match for text in texts if (match := re.search(source.regex, text)) is not None]
    return [match[1] or "" if match.re.groups else match[0] for match in found]


def _add(items: Counter[str], source: ItemsReading, text: str, quantity: int) -> None:
    if source.regex is None:
        items[text] += quantity
    elif (found := re.search(source.regex, text)) is not None:
        _add_match(items, found, quantity)


def _add_match(items: Counter[str], found: re.Match[str], quantity: int) -> None:
    """Count a match: its groups are the item and the quantity, by name or in this order."""
    names = found.re.groupindex
    others = [group for group in range(1, found.re.groups + 1) if group != names.get("quantity")]
    item = found["item"] if "item" in names else found[others[0] if others else 0]
    if "quantity" in names:
        quantity = _whole(found["quantity"] or 1)
    elif not names and found.re.groups > 1:
        quantity = _whole(found[2])
    items[item or ""] += quantity


def _is_empty(value: Any) -> bool:
    """Return whether a JSON value means "nothing": PHP and MySQL answer with 0 and [] where others have false."""
    return value is _MISSING or not value


def _write(value: Any) -> str:
    """Return a JSON value as text. Raises NotShown."""
    try:
        return str(value)
    except RecursionError as error:
        raise NotShown("a value of the answer is nested too deeply") from error


def _whole(value: Any, what: str = "quantity") -> int:
    """Return a whole number: a JSON number, or a text with one. Raises NotShown."""
    if type(value) is int and -_TOO_LARGE < value < _TOO_LARGE:
        return value
    if value is _MISSING:
        raise NotShown("an item has no quantity")
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise NotShown(f"the {what} is {_write(value)[:40]!r}, and not a number") from error
    if isinstance(value, bool):
        raise NotShown(f"the {what} is {value}, and not a number")
    if number != value and isinstance(value, float):
        raise NotShown(f"the {what} is {value}, and not a whole number")
    if abs(number) >= _TOO_LARGE:
        raise NotShown(f"the {what} has more than {_MOST_DIGITS} digits")
    return number

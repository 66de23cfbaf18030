"""The codec: which values come back, and which are refused. Any bytes: test_fuzz_records.py."""

import collections
import dataclasses
import datetime
import enum
import random
import uuid
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from werkzeug.local import LocalProxy

from nodes.sessions.codec import DecodeError, MsgpackCodec
from nodes.sessions.store import UnsupportedRecordVersion
from nodes.sessions.stores.express.format import JsonCodec
from nodes.sessions.values import MAX_DEPTH

HASHABLE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.binary()
    | st.text().map(Markup)
    | st.uuids()
    | st.datetimes(timezones=st.just(datetime.UTC) | st.timezones())
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
)
VALUES = st.recursive(
    HASHABLE | st.sets(HASHABLE, max_size=5) | st.frozensets(HASHABLE, max_size=5),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text() | st.integers(0, 100), inner, max_size=5)
    ),
    max_leaves=20,
)


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int


class Struct(msgspec.Struct):
    x: int


class Text(str):
    """A str of another type, with another text for its readers."""

    __slots__ = ()

    def __str__(self) -> str:
        return "not the value"


class Level(enum.IntEnum):
    HIGH = 3


class Row(NamedTuple):
    name: str
    amount: int


class Lazy:
    """A lazy string as Flask-Babel and Babel make them: not a str, with the methods of one."""

    def __init__(self, function: Callable[[], str]) -> None:
        self._function = function

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function(), name)

    def __str__(self) -> str:
        return str(self._function())

    def __html__(self) -> str:
        return str(self)


class Html:
    def __html__(self) -> str:
        return "<b>bold</b>"


REFUSED = [
    object(),
    lambda: None,
    {"a": object()},
    [{"a": (1, {2, 3}, Colour.RED)}],
    Colour.RED,
    Point(1),
    Struct(1),
    bytearray(b"a"),
    memoryview(b"a"),
    1j,
    range(3),
    str,
    {uuid.UUID(int=1): 1},
    Ellipsis,
    Exception("x"),
    msgspec.msgpack.Ext(50, b"x"),
    [msgspec.msgpack.Ext(1, b"not a tuple")],
]
STORED_AS = [
    (Text("hello"), "hello"),
    ({Text("key"): [Text("hello")]}, {"key": ["hello"]}),
    (Level.HIGH, 3),
    (Row("a", 1), ("a", 1)),
    (Lazy(lambda: "hello"), "hello"),
    ([("message", Lazy(lambda: "hello"))], [("message", "hello")]),
    (LocalProxy(lambda: "hello"), "hello"),
    (LocalProxy(lambda: Markup("<b>")), Markup("<b>")),
    (Html(), Markup("<b>bold</b>")),
    (collections.OrderedDict(a=1), {"a": 1}),
    (collections.defaultdict(list, a=[(1, 2)]), {"a": [(1, 2)]}),
    ("\ud800", "\ud800"),
]


def typed(value: object) -> object:
    """Return the value with the types of all its parts, so that 1, True and 1.0 differ, and str and Markup."""
    kind = type(value)
    if isinstance(value, dict):
        return kind, [(typed(key), typed(each)) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return kind, [typed(each) for each in value]
    if isinstance(value, set | frozenset):
        return kind, frozenset(typed(each) for each in value)
    return kind, value


@settings(max_examples=50)
@given(VALUES)
def test_every_value_comes_back_as_it_was(value: object) -> None:
    codec = MsgpackCodec()
    data = codec.encode(value)
    assert typed(codec.decode(data)) == typed(value)
    assert codec.encode(codec.decode(data)) == data


def test_deep_nesting_is_refused_both_ways() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(TypeError):
        MsgpackCodec().encode(deep)
    with pytest.raises(DecodeError):
        MsgpackCodec().decode(b"\x91" * 100_000 + b"\xc0")
    while deep:  # taken apart by hand: the interpreter's own recursion would overflow
        deep = deep[0]  # type: ignore[assignment]


@pytest.mark.parametrize("value", REFUSED, ids=lambda each: type(each).__name__)
def test_a_value_that_cannot_be_encoded_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="a session can't hold this value"):
        MsgpackCodec().encode(value)


@pytest.mark.parametrize("hours", [5, -5])
def test_a_datetime_outside_of_the_years_of_utc_is_refused_by_its_type(hours: int) -> None:
    value = (datetime.datetime.min if hours > 0 else datetime.datetime.max).replace(
        tzinfo=datetime.timezone(datetime.timedelta(hours=hours))
    )
    with pytest.raises(TypeError, match="datetime must be in the years 1 to 9999 in UTC"):
        MsgpackCodec().encode([value])


class NoOffset(datetime.tzinfo):
    """A time zone whose offset is not known, as that of a city for a time without a date."""

    def utcoffset(self, when: datetime.datetime | None) -> None:
        return None

    dst = tzname = utcoffset


@pytest.mark.parametrize(
    "value",
    [
        datetime.time(1, 2, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        datetime.time(1, 2, tzinfo=NoOffset()),
        datetime.datetime(2026, 1, 2, tzinfo=NoOffset()),
    ],
)
def test_a_time_zone_that_would_be_lost_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="must be without a time zone"):
        MsgpackCodec().encode({"when": value})


@pytest.mark.parametrize(("value", "stored"), STORED_AS, ids=lambda each: type(each).__name__)
def test_a_subclass_is_stored_as_its_type(value: object, stored: object) -> None:
    codec = MsgpackCodec()
    assert typed(codec.decode(codec.encode(value))) == typed(stored)


def test_equal_sets_have_equal_bytes() -> None:
    words = [f"word {number}" for number in range(50)]
    first = MsgpackCodec().encode(set(words))
    random.shuffle(words)
    assert MsgpackCodec().encode(set(words)) == first


@pytest.mark.parametrize("kind", [list, tuple], ids=["list", "tuple"])
def test_the_deepest_value_can_be_decoded_anywhere(kind: Callable[[Any], Any]) -> None:
    value = kind(())
    for _ in range(MAX_DEPTH):
        value = kind((value,))
    codec = MsgpackCodec()
    data = codec.encode(value)

    def decode(frames: int) -> object:
        return decode(frames - 1) if frames else codec.decode(data)

    assert decode(400) == value
    with pytest.raises(TypeError, match="nested more than"):
        codec.encode(kind((value,)))


def test_a_value_of_a_later_version_is_unknown_and_of_no_version_corrupt() -> None:
    with pytest.raises(UnsupportedRecordVersion):
        MsgpackCodec().decode(msgspec.msgpack.encode([msgspec.msgpack.Ext(31, b"x")]))
    with pytest.raises(DecodeError):
        MsgpackCodec().decode(msgspec.msgpack.encode(msgspec.msgpack.Ext(99, b"x")))


def test_the_version_before_keeps_the_bytes_of_new_values() -> None:
    data = MsgpackCodec().encode({"flashes": [("message", Markup("<b>"))], "total": Decimal("1.10")})
    assert msgspec.msgpack.encode(msgspec.msgpack.decode(data)) == data


def test_values_of_the_version_before_stay_readable() -> None:
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
    written = {"list": [1, [2]], "id": uuid.UUID(int=1), "when": when, "set": {1}, "tuple": (1, 2)}
    read = MsgpackCodec().decode(msgspec.msgpack.encode(written))
    assert read == {"list": [1, [2]], "id": str(uuid.UUID(int=1)), "when": when, "set": [1], "tuple": [1, 2]}


@pytest.mark.parametrize(
    ("value", "stored"),
    [*STORED_AS[:3], (Row("a", 1), ["a", 1]), (Markup("<b>"), "<b>"), (Lazy(lambda: "hello"), "hello"), ((), [])],
    ids=lambda each: type(each).__name__,
)
def test_express_shares_sequences_as_lists_and_text_as_str(value: object, stored: object) -> None:
    codec = JsonCodec()
    assert typed(codec.decode(codec.encode(value))) == typed(stored)


@pytest.mark.parametrize(
    "value",
    [*REFUSED, {1}, b"a", uuid.UUID(int=1), datetime.date(2026, 1, 2), Decimal(1), 2**53, {1: 2}],
    ids=lambda each: type(each).__name__,
)
def test_express_is_not_given_what_it_would_read_as_another_value(value: object) -> None:
    with pytest.raises(TypeError, match="can't hold this value"):
        JsonCodec().encode(value)


def test_a_list_that_contains_itself_twice_is_refused_soon() -> None:
    cycle: list[Any] = []
    cycle += [cycle, cycle]
    with pytest.raises(TypeError, match="nested"):
        MsgpackCodec().encode(cycle)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("\udc00", "a key of a dict must be without lone surrogates, unlike '\\udc00'"),
        (frozenset({1}), "frozenset is not a type of the keys of a dict"),
        (2**64, "an int that is a key of a dict must have at most 64 bits"),
        (uuid.UUID(int=1), "UUID is not a type of the keys of a dict"),
    ],
    ids=repr,
)
def test_a_key_of_a_dict_is_refused_for_its_own_reason(key: Any, reason: str) -> None:
    for value in ({key: 1}, [{"a": {key: 1}}], {(key,): 1}):
        with pytest.raises(TypeError) as refused:
            MsgpackCodec().encode(value)
        assert reason in str(refused.value)


def test_markup_that_is_a_key_of_a_dict_is_stored_as_str() -> None:
    codec = MsgpackCodec()
    (key,) = codec.decode(codec.encode({Markup("<b>"): 1}))
    assert (key, type(key)) == ("<b>", str)

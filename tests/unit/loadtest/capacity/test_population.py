"""Sessions by number, and copies of a dump with another user and the right checksum."""

import pytest

from loadtest.capacity.population import Population, SessionDump, crc64, owner
from nodes.sessions.cookie import SignedCookie


def test_ids_come_from_the_seed_alone_and_are_those_of_cookies() -> None:
    one, again, other = Population("1"), Population("1"), Population("2")
    assert one.session_id(7) == again.session_id(7) != other.session_id(7)
    assert len({one.session_id(number) for number in range(1000)}) == 1000
    assert SignedCookie().verify(one.cookie(7, b"secret"), [b"secret"]) == one.session_id(7)
    assert SignedCookie().to_key(one.session_id(7)) == one.key(7)


def test_the_checksum_is_that_of_redis() -> None:
    assert crc64(b"123456789") == 0xE9C6D914C4B8D9CA


def with_checksum(data: bytes) -> bytes:
    return data + crc64(data).to_bytes(8, "little")


@pytest.mark.parametrize("number", [0, 1, 42, 987_654_321, 9_999_999_999])
def test_a_dump_gets_another_user_and_its_own_checksum(number: int) -> None:
    dump = SessionDump(with_checksum(b"\x10\x20before:" + owner(0).encode() + b"\xffafter \x0b\x00"))
    assert dump.of(number) == with_checksum(b"\x10\x20before:" + owner(number).encode() + b"\xffafter \x0b\x00")


@pytest.mark.parametrize("data", [b"no user", owner(0).encode() * 2])
def test_a_dump_without_the_user_or_with_more_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"must be in the dump once, not [02] times"):
        SessionDump(with_checksum(data))


def test_a_dump_with_another_checksum_is_refused() -> None:
    with pytest.raises(ValueError, match="CRC-64"):
        SessionDump(owner(0).encode() + bytes(8))

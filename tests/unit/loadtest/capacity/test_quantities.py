"""Numbers with suffixes."""

import pytest

from loadtest.capacity.quantities import parse_count, parse_duration, show_count, show_days


@pytest.mark.parametrize(
    ("text", "count"),
    [
        *(("1", 1), ("100M", 100_000_000), ("5k", 5000), ("5K", 5000), ("1.5M", 1_500_000), ("2g", 2_000_000_000)),
        *(("0.5k", 500), (" 7 ", 7), ("1.001k", 1001), ("10G", 10_000_000_000), ("4.35M", 4_350_000)),
    ],
)
def test_a_count_is_read(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize(
    "text", ["", "x", "5kk", "-1", "0", "1.5", "11G", "1e6", "1,000", "nan", "inf", "٣", "M", "5 k", "1_000", "0.0001k"]
)
def test_another_count_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_count(text)
    assert str(refused.value) == f"must be a whole number from 1 to 10G, such as 5k or 1.5M, not {text!r}"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("12h", 43_200), ("30d", 2_592_000), ("1.5h", 5400)]
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text, 1, 1e9) == seconds


@pytest.mark.parametrize("text", ["", "30x", "-1h", "0", "400d"])
def test_another_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be from 60s to 365d, such as 30m, 12h or 30d, not "):
        parse_duration(text, 60, 365 * 86_400)


def test_numbers_are_shown_as_they_are_written() -> None:
    assert [show_count(value) for value in (7, 999, 999.9, 1500, 13_023_000, 1e8, 2e10)] == [
        *("7", "999", "1k", "1.5k", "13M", "100M", "20G")
    ]
    assert [show_days(value) for value in (30 * 86_400, 43_200, 1800, 5)] == ["30d", "12h", "30m", "5s"]

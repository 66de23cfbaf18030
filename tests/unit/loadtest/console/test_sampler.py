"""How often the sampler looks: seldom where a look takes long, and often enough for the page to be live."""

import re

import pytest

from loadtest.console.messages import STATIC
from loadtest.console.sampler import INTERVAL, MOST_PAUSE, make_pause


@pytest.mark.parametrize(
    ("took", "pause"), [(0.001, INTERVAL), (0.05, INTERVAL), (0.3, 1.2), (0.5, MOST_PAUSE), (4.0, MOST_PAUSE)]
)
def test_the_pause_grows_with_the_look_to_two_seconds(took: float, pause: float) -> None:
    assert make_pause(took) == pause


def test_the_page_waits_longer_for_a_snapshot_than_the_sampler() -> None:
    found = re.search(r"STALE_AFTER = (\d+)", (STATIC / "connection.js").read_text())
    assert found is not None
    assert int(found[1]) / 1000 > 2 * MOST_PAUSE

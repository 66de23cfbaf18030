"""How many examples Hypothesis tries."""

from hypothesis import settings


def examples(count: int) -> int:
    """Return the number for this run: all in `make test-nightly`, whose examples are random, and a third otherwise."""
    return count if settings.get_current_profile_name() == "random" else count // 3

"""Which failures prove that nothing was applied, so that even a write may be sent again.

A connection that was refused or could not be made, and a server's own refusal: both prove it. A timeout and a
connection that was lost after sending prove nothing.
"""

from __future__ import annotations

import redis

from ..store import StoreUnavailable

_CODES = ("READONLY", "NOREPLICAS", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN")
_KINDS = (redis.ReadOnlyError, redis.exceptions.ClusterDownError, redis.exceptions.TryAgainError)


class NotApplied(StoreUnavailable):
    """No server has done any of it."""


def is_refusal(answer: object) -> bool:
    """Whether a server says that it does this not now, and another one, or the same a little later, may do it."""
    if not isinstance(answer, redis.ResponseError):
        return False
    return isinstance(answer, _KINDS) or str(answer).startswith(_CODES)


def is_lasting(error: StoreUnavailable) -> bool:
    """Whether waiting helps nothing: who asks is not let in."""
    return isinstance(error.__cause__, redis.AuthenticationError)

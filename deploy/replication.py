"""Who copies whom, as the servers of a store say when the operator asks."""

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from deploy.redis import acl

ONCE = Retry(NoBackoff(), 0)
"""For who asks again, or another: redis-py's own repetitions take 4 s at a server that is dead, 15 at a silent one."""


def operator(port: int, password: str) -> redis.Redis:
    """A client of the operator's at a server, or a Sentinel, of this machine."""
    return redis.Redis(
        host="127.0.0.1",
        port=port,
        username=acl.OPERATOR,
        password=password,
        socket_timeout=1,
        socket_connect_timeout=1,
        retry=ONCE,
        decode_responses=True,
        driver_info=None,
    )


def role_at(port: int, password: str) -> str | None:
    """ "master", or "slave" where it gets all that its primary does; None where it does not, or does not answer."""
    state = _replication(port, password)
    if state is None or state["role"] == "master":
        return None if state is None else "master"
    if state["master_link_status"] != "up":
        return None
    # A replica says so when it has what was. What comes after is not sent before its primary has noticed that too, and
    # in between a primary that dies takes along what it has acknowledged.
    of = _replication(state["master_port"], password)
    if of is None:
        return None
    replicas = [value for name, value in of.items() if name.startswith("slave") and isinstance(value, dict)]
    is_sent_all = any(replica["port"] == port and replica["state"] == "online" for replica in replicas)
    return "slave" if is_sent_all else None


def _replication(port: int, password: str) -> dict[str, Any] | None:
    try:
        with operator(port, password) as client:
            state: dict[str, Any] = client.info("replication")
            return state
    except redis.RedisError:
        return None

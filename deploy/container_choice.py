"""Which store the containers use: choices that no node could start with are refused by setup, once and first."""

from collections.abc import Mapping

from deploy.container_redis import PROFILES, check_subnet
from deploy.errors import ClusterError
from deploy.spec import Database, RedisMode, StoreKind
from nodes.sessions import Durability, Outage
from nodes.settings import Environment

_REPLICAS = {RedisMode.STANDALONE: 0, RedisMode.SENTINEL: 2, RedisMode.CLUSTER: 1}
"""How many a primary has."""


def check_store(environ: Mapping[str, str]) -> None:
    """Raises ClusterError or SettingsError, in one line."""
    store = StoreKind.parse(environ["SESSION_STORE"])
    Database.parse(environ["DATABASE"])
    if store.has_several_servers:
        mode = RedisMode.of(store)
        instead = f"SESSION_STORE=redis REDIS_MODE={mode}, with --profile {PROFILES[mode]}"
        raise ClusterError(f"SESSION_STORE={store} is for local processes: set {instead}")
    mode = RedisMode.parse(environ["REDIS_MODE"])
    if mode is not RedisMode.STANDALONE and store is not StoreKind.REDIS:
        raise ClusterError(f"REDIS_MODE={mode} is for SESSION_STORE=redis, not for {store}: leave it out")
    _check_redis(environ, mode, store in {StoreKind.REDIS, StoreKind.EXPRESS})


def _check_redis(environ: Mapping[str, str], mode: RedisMode, is_used: bool) -> None:
    env = Environment(environ)
    check_subnet(environ["STORE_SUBNET"])
    env.whole("MIN_REPLICAS", 0, 0, 2)
    env.seconds("DOWN_AFTER", 2.0, 0.2, 3600)
    outage = env.choice("STORE_OUTAGE", Outage.FAIL_FAST.value, [each.value for each in Outage])
    if outage == Outage.WAIT.value and not is_used:
        raise ClusterError("STORE_OUTAGE=wait: only a Redis is waited for; use it with SESSION_STORE=redis")
    durability = env.choice("STORE_DURABILITY", Durability.PRIMARY.value, [each.value for each in Durability])
    replicas = env.whole("STORE_REPLICAS", 0, 0, 100)
    if durability == Durability.PRIMARY.value:
        return
    if mode is RedisMode.STANDALONE:
        raise ClusterError(f"STORE_DURABILITY={durability}: a lone Redis has no replicas; set REDIS_MODE=sentinel")
    if not 1 <= replicas <= _REPLICAS[mode]:
        most = " or ".join(str(number) for number in range(1, _REPLICAS[mode] + 1))
        raise ClusterError(f"STORE_REPLICAS={replicas} with STORE_DURABILITY={durability}: set it to {most}")

"""A primary, its replicas and their Sentinels in containers: who is the primary, and how another becomes it."""

from deploy.cluster import MemberState
from deploy.compose.docker import Container, Project
from deploy.container_redis import SENTINELS, STORES
from deploy.container_servers import ContainerServers, name_of, replication
from deploy.errors import ClusterError
from deploy.fault_proxy import FaultProxy
from deploy.local_sentinel import NAME
from deploy.redis import acl
from deploy.spec import ClusterSpec

_NEVER = 100
"""As many replicas as no primary has."""
# The password is that of the configuration which a server began with. Its own copy has whatever was set last.
_JOIN = (
    "sed -n 's/^masterauth //p' /cluster/servers/store-1.conf | tr -d '\\n' |"
    ' REDISCLI_AUTH="$(cat /cluster/servers/password)" redis-cli -e --user "$0" -x CONFIG SET masterauth'
)


class ContainerSentinels(ContainerServers):
    def __init__(self, project: Project, spec: ClusterSpec, proxy: FaultProxy | None) -> None:
        super().__init__(project, spec, proxy, STORES)
        self._replicas_to_write = spec.store_settings.guard(len(STORES) - 1)

    def primary(self) -> str:
        told = [state for state in self._told() if state]
        if not told:
            raise ClusterError("no Sentinel answers")
        return self._latest(told)

    def _latest(self, told: list[dict[str, str]]) -> str:
        return self._name_at(max(told, key=lambda state: int(state["config-epoch"]))["ip"])

    def failover(self) -> None:
        self._wait("the Sentinels do not agree", self._is_settled)
        before = self.primary()
        old = next((one for one in self._running(STORES) if name_of(one) == before), None)
        if old is None:
            raise ClusterError(f"the primary, {before}, does not run: nothing can be handed over")
        # Sentinels of Redis have a replica take over without asking whether it has everything, and the old primary
        # goes on for some seconds. So it refuses writes first, as one does that has lost its replicas. Not by
        # CLIENT PAUSE, which would hold up what the Sentinels send it as well.
        self._guard(old, _NEVER)
        try:
            self._wait(f"no replica has taken over from {before}", lambda: self._has_taken_over(before))
            self._wait(f"{before} does not follow the new primary", self._is_settled)
        finally:
            if self._state(before) is MemberState.RUNNING:
                self._guard(old, self._replicas_to_write)

    def _has_taken_over(self, before: str) -> bool:
        told = self._told()
        if not all(told):
            return False
        if self._latest(told) != before:
            return True
        # Again where it came to nothing: a Sentinel that has just started is not heard yet, and not elected. The same
        # answers say both, or one that has succeeded in between would be followed by another, away from a primary that
        # takes writes.
        if not self._is_in_progress(told) and self._is_copied():
            any(self._ask(one, "SENTINEL", "FAILOVER", NAME) for one in self._running(SENTINELS))
        return False

    def _is_copied(self) -> bool:
        """Whether all replicas that run have as much as the primary."""
        answers = self._ask_all(STORES, "INFO", "replication")
        states = [replication(lines) for _, lines in answers]
        wanted = {state.get("master_repl_offset") for state in states if state.get("role") == "master"}
        return {state.get("slave_repl_offset", state.get("master_repl_offset")) for state in states} == wanted

    def disconnect_replicas(self) -> None:
        """Replicas lose touch with the primary, and find no way back."""
        # With a wrong password: cut off from its network, a server could neither be asked by the Sentinels.
        for one in self._running(STORES):
            self._tell(one, "CONFIG", "SET", "masterauth", "wrong")
        before = self.primary()
        for one in self._running(STORES):
            if name_of(one) == before:
                self._tell(one, "CLIENT", "KILL", "TYPE", "REPLICA")

    def reconnect_replicas(self) -> None:
        """Undoes that."""
        for one in self._running(STORES):
            self._project.docker("exec", one.id, "sh", "-c", _JOIN, acl.OPERATOR)

    def _guard(self, server: Container, replicas: int) -> None:
        self._tell(server, "CONFIG", "SET", "min-replicas-to-write", str(replicas))

    def _tell(self, server: Container, *words: str) -> None:
        if self._ask(server, *words) is None:
            raise ClusterError(f"{name_of(server)} does not do what it is told: {' '.join(words)}")

    def before_restart(self, name: str) -> None:
        if name not in self._names.values() or self.primary() != name:
            return
        others = [one for one in self._running(STORES) if name_of(one) != name]
        if not others or len(self._running(SENTINELS)) <= len(SENTINELS) // 2:
            return
        if self._state(name) is MemberState.RUNNING:
            self.failover()
        else:
            self._wait("the Sentinels have made no other primary", lambda: self.primary() != name)

    def _is_settled(self) -> bool:
        told = self._told()
        known = [state for state in told if state]
        if len(known) < len(told) or self._is_in_progress(known):
            return False
        primaries = {self._name_at(state["ip"]) for state in known}
        return len(primaries) == 1 and self._follow(primaries)

    @staticmethod
    def _is_in_progress(told: list[dict[str, str]]) -> bool:
        return any("failover_in_progress" in state.get("flags", "") for state in told)

    def _told(self) -> list[dict[str, str]]:
        """What each Sentinel that runs knows of the primary; empty of one that does not answer."""
        answers = self._ask_all(SENTINELS, "SENTINEL", "MASTER", NAME)
        return [dict(zip(lines[::2], lines[1::2], strict=False)) if lines else {} for _, lines in answers]

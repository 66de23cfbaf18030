"""Faults that the tests must notice: each is one edit of the product, with the test module that has to fail then.

`python -m tests.planted_faults [NAME ...]` copies the checkout to a temporary folder, plants the faults there one after
the other, and runs the test module of each; without names it plants all of them. It exits with 1 if a fault is not
noticed, or if a module fails without a fault.

Whoever moves or rewrites the code of a fault names its new file and snippet here: tests/unit/test_planted_faults.py
fails until each snippet occurs exactly once. The fault itself stays what its name says.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TIMEOUT = 180.0
"""Seconds for one test module; a module that hangs has noticed the fault."""


@dataclass(frozen=True)
class Fault:
    """Replace the one occurrence of `old` in `file` by `new`; `module` notices it, with the tests that `-k` selects."""

    name: str
    file: str
    old: str
    new: str
    module: str
    select: str = ""

    def apply(self, root: Path) -> str:
        """Plant the fault in the tree at `root`. Return the text of the file as it was."""
        path = root / self.file
        text = path.read_text()
        if text.count(self.old) != 1:
            raise ValueError(
                f"{self.name}: {self.file} must contain the snippet once, not {text.count(self.old)} times"
            )
        path.write_text(text.replace(self.old, self.new))
        return text


_CONTRACT = "tests/integration/sessions/test_store_contract.py"
_SCRIPTS = "nodes/sessions/stores/redis/scripts.py"

FAULTS = (
    # the session
    Fault(
        "idle-timeout-not-refreshed",
        "nodes/sessions/persistence.py",
        "TOUCH_FRACTION = 0.1",
        "TOUCH_FRACTION = 0.99",
        "tests/unit/sessions/test_session.py",
    ),
    Fault(
        "write-revives-session-after-logout",
        "nodes/sessions/persistence.py",
        'raise SessionEnded("the session ended while this request worked with it; nothing was saved")',
        "return self._create_pending()",
        "tests/unit/sessions/test_session.py",
    ),
    Fault(
        "login-leaves-old-id-alive",
        "nodes/sessions/persistence.py",
        "last = store.delete(self.key) if self.record is not None and self.key is not None else None",
        "last = self.record",
        "tests/unit/sessions/test_renewal.py",
    ),
    Fault(
        "renewal-drops-concurrent-write",
        "nodes/sessions/persistence.py",
        "if keep and last is not None and (late :=",
        "if False and last is not None and (late :=",
        "tests/unit/sessions/test_session.py",
    ),
    Fault(
        "mutate-compares-nothing",
        "nodes/sessions/persistence.py",
        "expect={key: before}",
        "expect={}",
        "tests/unit/sessions/test_session.py",
    ),
    Fault(
        "session-limit-ends-newest",
        "nodes/sessions/persistence.py",
        "return keys[:-most]",
        "return keys[most:]",
        "tests/unit/sessions/test_users.py",
    ),
    Fault(
        "end-all-misses-session-that-moves",
        "nodes/sessions/users.py",
        "for _ in range(ROUNDS):",
        "for _ in range(1):",
        "tests/unit/sessions/test_renewal.py",
    ),
    Fault(
        "change-inside-value-not-saved",
        "nodes/sessions/fields.py",
        "self._handed_out.setdefault(key, self.stored[key])",
        "pass",
        "tests/unit/sessions/test_session.py",
    ),
    Fault(
        "application-overwrites-reserved-field",
        "nodes/sessions/fields.py",
        'return f"~{key}" if _is_reserved(key) else key',
        "return key",
        "tests/unit/sessions/test_fields.py",
    ),
    Fault(
        "short-signature-accepted",
        "nodes/sessions/cookie.py",
        "if hmac.compare_digest(_signature(session_id, secret), signature):",
        "if _signature(session_id, secret).startswith(signature[:8]):",
        "tests/unit/sessions/test_cookie.py",
    ),
    Fault(
        "first-of-two-cookies-believed",
        "nodes/sessions/extension.py",
        "if len(values) == 1 else None",
        "if values else None",
        "tests/unit/sessions/test_cookie.py",
    ),
    Fault(
        "answer-with-session-is-cached",
        "nodes/sessions/extension.py",
        '    headers["Cache-Control"] = "no-store"',
        '    headers["Cache-Control"] = "public"',
        "tests/unit/nodes/test_headers.py",
    ),
    # encryption
    Fault(
        "encrypted-value-can-be-moved",
        "nodes/sessions/encryption.py",
        r'return f"{key}\0{name}".encode()',
        "return name.encode()",
        "tests/unit/sessions/test_encryption.py",
    ),
    Fault(
        "encrypted-session-changes-owner",
        "nodes/sessions/encryption.py",
        "if proof != (None if owner is None else _to_bytes(owner)):",
        "if False:",
        "tests/unit/sessions/test_encryption.py",
    ),
    # stores
    Fault(
        "memory-store-revives",
        "nodes/sessions/stores/memory.py",
        "return Outcome.ABSENT",
        "self._entries[key] = _Entry(dict(changes.set), None, self._clock(), self._clock() + lifetime.idle, False)",
        "tests/unit/sessions/test_lifetime.py",
    ),
    Fault(
        "file-store-serves-expired",
        "nodes/sessions/stores/file/store.py",
        "return saved if saved.expires > self._clock() else None",
        "return saved",
        _CONTRACT,
        "file",
    ),
    Fault(
        "redis-store-compares-nothing",
        _SCRIPTS,
        "elseif value ~= ARGV[at + 2] then",
        "elseif false then",
        _CONTRACT,
        "redis",
    ),
    Fault(
        "redis-store-exceeds-absolute-timeout",
        _SCRIPTS,
        "math.min(idle, deadline)",
        "idle",
        _CONTRACT,
        "redis",
    ),
    Fault(
        "redis-write-done-twice",
        _SCRIPTS,
        "local answer = redis.call('HGET', once, 'answer')",
        "local answer = false",
        "tests/integration/sessions/test_redis_outage.py",
    ),
    Fault(
        "redis-user-index-keeps-dead-members",
        "nodes/sessions/stores/redis/user_index.py",
        "dead.append(member)",
        "pass",
        "tests/integration/sessions/test_redis_index.py",
    ),
    Fault(
        "sql-store-lists-expired",
        "nodes/sessions/stores/sql/statements.py",
        '.where(columns.owner == bindparam("_owner"), kept, live)',
        '.where(columns.owner == bindparam("_owner"), kept)',
        _CONTRACT,
        "sqlite",
    ),
    Fault(
        "express-store-overwrites-taken-id",
        "nodes/sessions/stores/express/store.py",
        'document.dump(), "NX", "PX", milliseconds)',
        'document.dump(), "PX", milliseconds)',
        _CONTRACT,
        "express",
    ),
    # the node
    Fault(
        "login-hands-cart-to-other-user",
        "nodes/auth.py",
        "if session.owner not in {None, credentials.user}:",
        "if False:",
        "tests/unit/nodes/test_api.py",
    ),
    Fault(
        "disabled-user-logs-in",
        "nodes/accounts.py",
        "and not hash_.startswith(DISABLED)",
        "",
        "tests/unit/nodes/test_logins_in_flight.py",
    ),
    Fault(
        "sibling-site-may-post",
        "nodes/csrf.py",
        'not in {"same-origin", "none"}',
        'not in {"same-origin", "same-site", "none"}',
        "tests/unit/nodes/test_csrf.py",
    ),
    Fault(
        "each-ipv6-address-is-a-client",
        "nodes/rate_limit.py",
        "{parsed}/64",
        "{parsed}/128",
        "tests/unit/nodes/test_rate_limit.py",
    ),
    Fault(
        "login-does-not-reset-rate-limit",
        "nodes/rate_limit.py",
        "for key in self.keys[:1]:",
        "for key in self.keys[:0]:",
        "tests/unit/nodes/test_rate_limit.py",
    ),
    # the proxy
    Fault(
        "proxy-repeats-posts",
        "proxy/config.py",
        'proxy_next_upstream=["error", "timeout"]',
        'proxy_next_upstream=["error", "timeout", "non_idempotent"]',
        "tests/integration/proxy/test_failures.py",
    ),
    Fault(
        "proxy-believes-forwarded-for",
        "proxy/config.py",
        '"X-Forwarded-For": "$remote_addr"',
        '"X-Forwarded-For": "$proxy_add_x_forwarded_for"',
        "tests/integration/proxy/test_boundary.py",
    ),
    Fault(
        "hash-ignores-host-cookie",
        "proxy/upstream.py",
        "(?:__Host-)?",
        "",
        "tests/integration/proxy/test_balancing.py",
    ),
    # the cluster
    Fault(
        "node-reads-every-key",
        "deploy/redis/acl.py",
        '("session:*",)',
        '("*",)',
        "tests/integration/deploy/test_acl.py",
    ),
    Fault(
        "store-without-password",
        "deploy/redis/acl.py",
        'text = "user default off resetpass',
        'text = "user default on nopass',
        "tests/integration/deploy/test_acl.py",
    ),
    Fault(
        "blackhole-lets-bytes-pass",
        "deploy/tcp_proxy.py",
        "self._passing.clear()",
        "self._passing.set()",
        "tests/integration/deploy/test_fault_proxy.py",
    ),
    # the checker and what is made of it
    Fault(
        "checker-misses-lost-session",
        "loadtest/checker/session.py",
        "if anonymous and login.ended != self._lost:",
        "if False:",
        "tests/unit/loadtest/checker/test_checker.py",
    ),
    Fault(
        "checker-misses-lost-update",
        "loadtest/checker/generation.py",
        "lacking = shown.low - shown.value",
        "lacking = 0",
        "tests/unit/loadtest/checker/test_checker.py",
    ),
    Fault(
        "checker-takes-login-in-flight-for-revival",
        "loadtest/checker/logins.py",
        "if any(one.over > logout.started and one.started < op.ended for one in self.logins):",
        "if False:",
        "tests/unit/loadtest/checker/test_checker.py",
    ),
    Fault(
        "gap-ends-too-early",
        "loadtest/checker/availability.py",
        "self._errors.append(Window(self._failed_since, end))",
        "self._errors.append(Window(self._failed_since, self._failed_since))",
        "tests/unit/loadtest/checker/test_availability.py",
    ),
    Fault(
        "loss-breaks-no-hypothesis",
        "loadtest/claims.py",
        'lost = [f"{count:,} x {kind}" for kind in self.kinds if (count := seen.count(kind))]',
        "lost: list[str] = []",
        "tests/unit/loadtest/test_claims.py",
    ),
    Fault(
        "injected-fault-not-undone",
        "loadtest/runner.py",
        "phase.fault.undo(self._cluster)",
        "pass",
        "tests/cluster/loadtest/test_runner.py",
        "half_way",
    ),
    Fault(
        "cut-history-is-complete",
        "loadtest/history/reader.py",
        "if not gzip.eof or rest:",
        "if False:",
        "tests/unit/loadtest/history/test_history.py",
    ),
)


def main(names: list[str]) -> int:
    """Plant the faults of these names, or all. Print a table; return 0 if each is noticed."""
    known = {fault.name: fault for fault in FAULTS}
    if unknown := set(names) - set(known):
        print(f"unknown fault {', '.join(sorted(unknown))}: choose from {', '.join(known)}", file=sys.stderr)
        return 2
    chosen = [known[name] for name in names] or list(FAULTS)
    missed = 0
    with tempfile.TemporaryDirectory(prefix="planted-faults-") as folder:
        root = Path(folder)
        _copy(root)
        for module in sorted({(fault.module, fault.select) for fault in chosen}):
            failed, shown = _run(root, *module)
            if failed:
                print(f"{module[0]} fails without a fault: {shown}")
                missed += 1
        for fault in chosen:
            begun = time.monotonic()
            text = fault.apply(root)
            failed, shown = _run(root, fault.module, fault.select)
            (root / fault.file).write_text(text)
            missed += not failed
            print(
                f"{'noticed' if failed else 'MISSED':8} {fault.name:42} {time.monotonic() - begun:4.0f} s  {shown}",
                flush=True,
            )
    print(f"{len(chosen)} faults, {missed} problems")
    return 1 if missed else 0


def _copy(root: Path) -> None:
    """Copy what git knows of this checkout, as it is on disk."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)


def _run(root: Path, module: str, select: str) -> tuple[bool, str]:
    """Run a test module up to its first failure. Return whether it fails, and which test does."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", module]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    if select:
        command += ["-k", select]
    try:
        run = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return True, f"{module}: not done after {TIMEOUT:g} s"
    if run.returncode not in {0, 1}:
        raise RuntimeError(f"{module} cannot be run: {run.stdout[-2000:]}{run.stderr[-2000:]}")
    failures = re.findall(r"^(?:FAILED|ERROR) (\S+)", run.stdout, re.MULTILINE)
    return run.returncode == 1, failures[0] if failures else module


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

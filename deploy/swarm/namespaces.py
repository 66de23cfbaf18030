"""The namespaces of Linux that machines are made of: what they need here, and the scripts that start in them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.spec import ClusterError

_PROGRAMS = ("dockerd", "docker", "ip", "iptables-restore", "nsenter", "unshare")
_INIT_FOLDERS = ("/usr/local/libexec/docker", "/usr/libexec/docker", "/usr/local/lib/docker", "/usr/lib/docker")
"""Those in which the engine looks for its programs, before PATH."""
# tini reaps what the engine leaves behind. Its children get no terminal and no signal of this process.
INIT = """
hostname "$1"
ip link set lo up
until ip link show eth0 >/dev/null 2>&1; do sleep 0.05; done
ip address add "$2/24" dev eth0
ip link set eth0 up
ip route add default via "$3"
# It refuses each question at once: the engine asks for a registry before it takes the image that it has.
echo "nameserver $3" > "$4/resolv.conf"
mount --bind "$4/resolv.conf" /etc/resolv.conf
rm -f "$4/pid"
init=$5
shift 5
exec "$init" -- "$@"
"""
SWITCH = """
ip link set lo up
ip link add switch type bridge
ip link set switch up
ip address add "$1/24" dev switch
exec sleep infinity
"""
NAMESPACES = (
    "--net",
    "--pid",
    "--mount",
    "--uts",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation",
    "private",
)


def why_no_machines() -> str | None:
    """Return why no machines can be started here, in one line, or None."""
    if sys.platform != "linux":
        return "machines are network namespaces of Linux"
    if os.geteuid() != 0:
        return "machines need root: each has a network namespace and a Docker engine of its own"
    if missing := [name for name in _PROGRAMS if shutil.which(name) is None]:
        return f"machines need {missing[0]}, which is not in PATH"
    if find_init() is None:
        return f"machines need docker-init, which is neither in PATH nor in {', '.join(_INIT_FOLDERS)}"
    done = subprocess.run(["unshare", *NAMESPACES, "true"], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        return f"machines need namespaces: {done.stderr.strip() or 'unshare failed'}"
    return None


def find_init() -> str | None:
    """Return the path of the engine's init, or None."""
    found = shutil.which("docker-init", path=os.pathsep.join((*_INIT_FOLDERS, os.environ.get("PATH", os.defpath))))
    return found and str(Path(found).absolute())


def require_machines() -> None:
    """Raise ClusterError if no machines can be started here."""
    if reason := why_no_machines():
        raise ClusterError(reason)


def has_network(pid: int) -> bool:
    """Return whether a process has a network namespace of its own."""
    try:
        return Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    except OSError:
        return False


def pid_within(pid: int) -> int | None:
    """Return the id of a process in the outermost namespace below this one."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    numbers = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
    return int(numbers[1]) if len(numbers) > 1 else None

"""Run a program in another network namespace, with a socket of this one.

Run as `python -S -E beside.py PORT NAMESPACE COMMAND...`. It listens on 127.0.0.1:PORT here, and then becomes the
command in the network namespace of that file: its connections go there, and its clients come from here. The command
inherits the socket as descriptor 3, which nginx takes for its `listen 127.0.0.1:PORT`.
"""

import os
import socket
import sys

_DESCRIPTOR = 3
_BACKLOG = 511


def main(port: int, namespace: str, command: list[str]) -> None:
    listening = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
    # nginx leaves an inherited socket as it is. Where two workers wake for one connection, the slower one would wait
    # for the next connection, and all of its requests with it.
    listening.setblocking(False)
    if listening.fileno() == _DESCRIPTOR:
        listening.set_inheritable(True)
    else:
        os.dup2(listening.fileno(), _DESCRIPTOR)
    os.environ["NGINX"] = f"{_DESCRIPTOR};"
    os.execvp("nsenter", ["nsenter", f"--net={namespace}", *command])  # noqa: S606 - it becomes the command


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])

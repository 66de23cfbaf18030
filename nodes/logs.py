"""The log of a node: JSON lines of bounded length, without secrets of clients.

What a client sends is logged nowhere but for method and path, the latter by `loggable_path`. gunicorn's own messages
about requests would quote them, so `JsonLogger` shortens them.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import gunicorn.glogging
import msgspec

# What every LogRecord has; the rest of its attributes are the fields that the call passed as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_MAX_TEXT, _MAX_TRACEBACK, _MAX_PATH = 2000, 16_000, 256
_ID = re.compile(r"[\w%+-]{20,}", re.ASCII)
"""What looks like an id: the shortest in use has 128 bits, in 22 characters."""
_PATH_ENDS = re.compile("[?#;&=%]")
"""What may begin parameters; a % begins what was encoded twice."""
_ABOUT_A_REQUEST = re.compile(r"Error handling request|Invalid request from ip=\S*?(?=: )")


def loggable_path(path: str) -> str:
    """Return the start of a request's decoded path: without parameters, and without what looks like an id."""
    start = _PATH_ENDS.split(path, maxsplit=1)[0]
    masked = _ID.sub("***", start)[:_MAX_PATH]
    return "".join(each if each.isprintable() else "\ufffd" for each in masked)


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "logger", "message", "node", …}`; an exception's traceback becomes the field `exception`."""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        line = _start_line(record.created, record.levelname, record.name, record.getMessage(), self._node)
        line.update((key, value) for key, value in vars(record).items() if key not in _STANDARD)
        line = {key: value[:_MAX_TEXT] if isinstance(value, str) else value for key, value in line.items()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[-_MAX_TRACEBACK:]
        return _encode(line)


def write_request(node: str, level: int, **fields: Any) -> None:
    """Write the line of a request to stderr, past logging, whose record costs more than the line.

    As in logging, a request goes on where its line can not be written.
    """
    line = _start_line(time.time(), logging.getLevelName(level), "nodes.requests", "request", node)
    with suppress(OSError, ValueError):
        sys.stderr.write(_encode(line | fields) + "\n")


def _start_line(created: float, level: str, logger: str, message: str, node: str) -> dict[str, Any]:
    return {
        "time": datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds"),
        "level": level.lower(),
        "logger": logger,
        "message": message,
        "node": node,
        "pid": os.getpid(),
    }


def _encode(line: dict[str, Any]) -> str:
    try:
        return msgspec.json.encode(line, enc_hook=str).decode()
    except UnicodeEncodeError:  # a lone surrogate, out of bytes that a client sent: json writes it as \\udxxx
        return json.dumps(line, default=str)


def configure_logs(node: str, level: str) -> None:
    """Send every log of this process to stderr as JSON; `level` is debug, info, warning or error."""
    root = logging.getLogger()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(node))
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)


class JsonLogger(gunicorn.glogging.Logger):  # type: ignore[misc]
    """gunicorn's own messages as JSON lines. The node logs access itself, because it knows session and route."""

    def setup(self, cfg: Any) -> None:
        """Configure the logs; gunicorn calls this with its configuration."""
        configure_logs(os.environ.get("NODE_NAME", "node"), cfg.loglevel)
        self.error_log.handlers.clear()
        self.error_log.setLevel(cfg.loglevel.upper())
        self.error_log.propagate = True
        self.error_log.addFilter(_shorten)

    def access(self, *_: object) -> None:
        """Do nothing."""


def _shorten(record: logging.LogRecord) -> bool:
    """Name the error in place of the request line or header that a message quotes. Drop what repeats the path."""
    if about := _ABOUT_A_REQUEST.match(str(record.msg)):
        kind = sys.exc_info()[0]
        record.msg, record.args = f"{about[0]}: {kind.__name__}" if kind else about[0], ()
    return record.msg != "%s %s"  # method and path, at the level debug

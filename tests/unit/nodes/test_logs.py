"""The log of a node."""

import io
import json
import logging

import pytest

from nodes.gunicorn_hooks import JsonFormatter


@pytest.fixture
def log() -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("node-7"))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger, stream


@pytest.mark.parametrize("text", ["two\nlines", 'quote " and \\', "\x1b[31mred", "\u2028", "\ud800 alone", "日本"])
def test_whatever_a_client_sends_stays_one_line_of_json(log: tuple[logging.Logger, io.StringIO], text: str) -> None:
    logger, stream = log
    logger.warning("%s", text, extra={"path": text})
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert "\x1b" not in written
    line = json.loads(written)
    assert (line["message"], line["path"], line["node"], line["level"]) == (text, text, "node-7", "warning")


def test_an_exception_is_a_field_of_the_log_line(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    try:
        int("why")
    except ValueError:
        logger.exception("it failed")
    line = json.loads(stream.getvalue())
    assert line["exception"].endswith("'why'")

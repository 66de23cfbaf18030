"""The log of a node."""

import io
import json
import logging

import pytest
from flask.testing import FlaskClient

from nodes.logs import JsonFormatter, loggable_path, write_request


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


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/sessions/0123456789abcdef", "/sessions/0123456789abcdef"),
        ("/me/Q3Vyc2VkLWJlLXRoZS1vbmUtd2hvLXJlYWRz.c2lnbmF0dXJl/a", "/me/***.c2lnbmF0dXJl/a"),
        ("/login?password=secret", "/login"),
        ("/login;password=secret", "/login"),
        ("/login#secret", "/login"),
        ("/login&password=secret", "/login"),
        ("/password=secret", "/password"),
        ("/login%3Fpassword=secret", "/login"),
        ("/login%253Fsecret", "/login"),
        ("/日本/\x9b31m\u202e", "/日本/\ufffd31m\ufffd"),
        ("/" + "ab/" * 1000, ("/" + "ab/" * 1000)[:256]),
    ],
)
def test_a_path_is_logged_without_ids_parameters_and_control_characters(path: str, logged: str) -> None:
    assert loggable_path(path) == logged


def test_long_texts_and_tracebacks_are_cut(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    try:
        raise ValueError("x" * 1_000_000)  # noqa: TRY301 - for its traceback
    except ValueError:
        logger.exception("y" * 1_000_000)
    assert len(stream.getvalue()) < 20_000
    assert json.loads(stream.getvalue())["exception"].endswith("x")


def test_an_error_in_a_view_is_logged_without_its_path(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    def fail(word: str) -> str:
        raise RuntimeError("a fault")

    client.application.add_url_rule("/fail/<word>", view_func=fail)
    client.application.testing = client.application.config["PROPAGATE_EXCEPTIONS"] = False
    assert client.get("/fail/Q3Vyc2VkLWJlLXRoZS1vbmUtd2hvLXJlYWRz").status_code == 500
    assert "a fault" in caplog.text
    assert "Q3Vyc2Vk" not in caplog.text


def test_the_line_of_a_request_has_the_form_of_every_line(
    log: tuple[logging.Logger, io.StringIO], capsys: pytest.CaptureFixture[str]
) -> None:
    logger, stream = log
    logger.info("request", extra={"path": "/\ud800", "status": 200})
    write_request("node-7", logging.INFO, path="/\ud800", status=200)
    ours, other = json.loads(capsys.readouterr().err), json.loads(stream.getvalue())
    assert list(ours) == list(other)
    assert ours | {"time": 0, "logger": ""} == other | {"time": 0, "logger": ""}


def test_a_log_that_can_not_be_written_fails_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    write_request("node-7", logging.INFO, path="/")

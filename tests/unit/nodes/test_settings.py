from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodes import Settings, SettingsError
from nodes.settings import documentation, list_unknown
from nodes.store_kinds import SessionStoreKind
from nodes.stores import create_schema, make_stores
from tests.support.node import ROOT, SECRET

KEY = "5e" * 32
KINDS = ", ".join(sorted(kind.value for kind in SessionStoreKind))
EXPRESS = {"SESSION_STORE": "express", "REDIS_URL": "redis://store"}


def environ(users_file: Path, **variables: str) -> dict[str, str]:
    return {"NODE_NAME": "node-1", "SESSION_SECRETS": SECRET, "USERS_FILE": str(users_file)} | variables


def complaint(values: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ(values)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_only_the_secrets_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodes.settings.default_name", lambda: "host-7")
    settings = Settings.from_environ({"SESSION_SECRETS": SECRET})
    assert settings == Settings(node_name="host-7", secrets=(SECRET,))


def test_a_given_name_is_not_looked_up(users_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodes.settings.default_name", lambda: pytest.fail("asks a DNS, for half a second"))
    assert Settings.from_environ(environ(users_file)).node_name == "node-1"


GIVEN: dict[str, tuple[str, str, Any]] = {
    "NODE_BIND": ("[::1]:0", "bind", "[::1]:0"),
    "NODE_WORKERS": ("3", "workers", 3),
    "SESSION_STORE": ("Redis", "store", SessionStoreKind.REDIS),
    "REDIS_URL": ("redis://nodes:word@store:6379/0", "redis_url", "redis://nodes:word@store:6379/0"),
    "SESSION_NAME": ("sid", "session_name", "sid"),
    "SESSION_IDLE_TIMEOUT": ("60", "idle_timeout", 60.0),
    "SESSION_ABSOLUTE_TIMEOUT": ("120.5", "absolute_timeout", 120.5),
    "SESSION_SECURE": ("on", "secure", "on"),
    "SESSION_HTTP_ONLY": ("off", "http_only", False),
    "SESSION_SAME_SITE": ("Auto", "same_site", "auto"),
    "SESSION_MAX_AGE": ("600", "max_age", 600),
    "SESSION_MAX_PER_USER": ("5", "max_sessions", 5),
    "SESSION_LIMIT": ("refuse", "session_limit", "refuse"),
    "SESSION_ENCRYPTION_KEYS": (f"{KEY}, {'0A' * 32}", "encryption_keys", (bytes.fromhex(KEY), b"\x0a" * 32)),
    "SESSION_ENCRYPTION": ("Write", "encryption", "write"),
    "STORE_DURABILITY": ("revocations", "durability", "revocations"),
    "STORE_REPLICAS": ("2", "replicas", 2),
    "STORE_NAMESPACE": ("shop_2", "namespace", "shop_2"),
    "SESSION_ROLLING": ("on", "rolling", True),
    "SESSION_RESAVE": ("true", "resave", True),
    "SESSION_SAVE_UNINITIALIZED": ("1", "save_uninitialized", True),
    "SESSION_MAX_BYTES": ("2048", "max_bytes", 2048),
    "LOGIN_ATTEMPTS": ("3", "login_attempts", 3),
    "LOGIN_WINDOW": ("60", "login_window", 60.0),
    "STORE_CONNECT_TIMEOUT": ("0.5", "connect_timeout", 0.5),
    "STORE_READ_TIMEOUT": ("0.75", "read_timeout", 0.75),
    "STORE_RETRIES": ("0", "retries", 0),
    "STORE_DEADLINE": ("2", "deadline", 2.0),
    "TRUSTED_PROXIES": ("0", "trusted_proxies", 0),
    "LOG_LEVEL": ("debug", "log_level", "debug"),
}


def test_every_variable_sets_its_field(users_file: Path) -> None:
    given = {variable: text for variable, (text, _, _) in GIVEN.items()}
    expected = {field: value for _, field, value in GIVEN.values()}
    common = Settings(node_name="node-1", secrets=(SECRET,), users_file=users_file)
    assert Settings.from_environ(environ(users_file, **given)) == replace(common, **expected)


@pytest.mark.parametrize(
    ("variables", "parts"),
    [
        ({"STORE_NAMESPACE": "Shop"}, ["STORE_NAMESPACE must be 1 to 31 lower-case letters", "not 'Shop'"]),
        ({"STORE_NAMESPACE": "2nd"}, ["STORE_NAMESPACE must be 1 to 31 lower-case letters"]),
        ({"STORE_NAMESPACE": "a:b"}, ["STORE_NAMESPACE must be 1 to 31 lower-case letters"]),
        ({"STORE_NAMESPACE": "a" * 32}, ["STORE_NAMESPACE must be 1 to 31 lower-case letters"]),
        (
            {"STORE_NAMESPACE": "shop", "SESSION_STORE": "file", "SESSION_FOLDER": "/tmp/x"},
            ["STORE_NAMESPACE=shop: files have none"],
        ),
        ({"SESSION_STORE": "reddis"}, ["SESSION_STORE must be", "not reddis; did you mean redis?"]),
        (
            {"SESSION_STORE": "??"},
            [f"SESSION_STORE must be one of {KINDS}, not ??"],
        ),
        ({"SESSION_SECURE": "outo"}, ["not outo; did you mean auto?"]),
        ({"SESSION_STORE": "redis"}, ["REDIS_URL is not set", "redis://"]),
        ({"SESSION_STORE": "redis", "REDIS_URL": "http://store"}, ["REDIS_URL=http://store", "use redis://"]),
        ({"SESSION_STORE": "redis", "REDIS_URL": "redsi://n:s3cret?@store"}, ["REDIS_URL=***: use redis://"]),
        ({"SESSION_STORE": "redis", "REDIS_URL": "http://h"}, ["redis+sentinel://", "redis+cluster://"]),
        ({"SESSION_STORE": "redis", "REDIS_URL": "redis://"}, ["REDIS_URL=redis://"]),
        ({"SESSION_STORE": "redis", "REDIS_URL": "redis+sentinel://n:s3cret@h1"}, ["REDIS_URL=***@h1: use redis://"]),
        (
            {"SESSION_STORE": "redis", "REDIS_URL": "redis+sentinel://h1?sentinel_password=s3cret"},
            ["REDIS_URL=redis+sentinel://h1: use redis://"],
        ),
        ({"NODE_WORKERS": "0"}, ["NODE_WORKERS must be a whole number from 1 to 64, not 0"]),
        ({"NODE_WORKERS": "two"}, ["NODE_WORKERS must be a whole number from 1 to 64, not two"]),
        ({"NODE_BIND": "8000"}, ["NODE_BIND must be host:port", "not 8000"]),
        ({"NODE_BIND": "127.0.0.1:99999"}, ["NODE_BIND", "65535", "not 127.0.0.1:99999"]),
        ({"NODE_BIND": "a:b:80"}, ["NODE_BIND", "not a:b:80"]),
        ({"NODE_NAME": "node 1\r\nX-Evil: 1"}, ["NODE_NAME must be 1 to 63 letters", "not 'node 1\\r\\nX-Evil: 1'"]),
        ({"SESSION_NAME": "se;ssion"}, ["SESSION_NAME must be", "not 'se;ssion'"]),
        ({"SESSION_NAME": "__Host-session"}, ["SESSION_NAME=__Host-session", "leave the prefix out"]),
        ({"SESSION_IDLE_TIMEOUT": "nan"}, ["SESSION_IDLE_TIMEOUT must be a number of seconds", "not nan"]),
        ({"SESSION_IDLE_TIMEOUT": "100", "SESSION_ABSOLUTE_TIMEOUT": "50"}, ["SESSION_ABSOLUTE_TIMEOUT, 50, not 100"]),
        ({"SESSION_ROLLING": "maybe"}, ["SESSION_ROLLING must be on or off, not maybe"]),
        ({"STORE_READ_TIMEOUT": "inf"}, ["STORE_READ_TIMEOUT", "not inf"]),
        ({"STORE_RETRIES": "1.5"}, ["STORE_RETRIES", "not 1.5"]),
        ({"STORE_OUTAGE": "wait"}, ["STORE_OUTAGE=wait: only Redis is waited for"]),
        ({"STORE_WAIT_SECONDS": "26"}, ["STORE_WAIT_SECONDS must be a number of seconds from 0.1 to 25, not 26"]),
        ({"USERS_FILE": "/nowhere/users.json"}, ["USERS_FILE=/nowhere/users.json", "no such file"]),
        ({"USERS_FILE": "/dev/urandom"}, ["USERS_FILE=/dev/urandom: it is not a regular file"]),
        ({"USERS_FILE": f"/{'x' * 300}"}, ["cannot read USERS_FILE=", "File name too long"]),
        ({"SESSION_SECRETS": "", "SESSION_SECRETS_FILE": "/dev/null"}, ["SESSION_SECRETS_FILE=/dev/null: it is not"]),
        ({"SESSION_STORE": "redis", "REDIS_URL_FILE": "/tmp"}, ["REDIS_URL_FILE=/tmp: it is not a regular file"]),
        ({"SESSION_SECRETS": ""}, ["SESSION_SECRETS is not set", "openssl rand"]),
        ({"SESSION_SECRETS": " , "}, ["SESSION_SECRETS is empty"]),
        ({"SESSION_SECRETS": f"{SECRET},short-key"}, ["secret 2 must have at least 32 bytes, not 9"]),
        ({"SESSION_STORE": "redis", "REDIS_URL": "redsi://n:s3cret@store:1"}, ["@store"]),
        ({"SESSION_STORE": "redis", "REDIS_URL": "n:s3cret@store:6379"}, ["@store"]),
        ({"SESSION_STORE": "file"}, ["SESSION_FOLDER is not set"]),
        ({"SESSION_STORE": "sql"}, ["DATABASE_URL is not set", "postgresql://"]),
        ({"SESSION_STORE": "sql", "DATABASE_URL": "oracle://db"}, ["mysql://", "not oracle://db"]),
        ({"SESSION_STORE": "sql", "DATABASE_URL": "sqlite:x.db"}, ["not sqlite:x.db"]),
        ({"SESSION_STORE": "express"}, ["REDIS_URL is not set"]),
        ({**EXPRESS, "SESSION_MAX_PER_USER": "3"}, ["SESSION_MAX_PER_USER is set", "Node application"]),
        ({**EXPRESS, "SESSION_ENCRYPTION_KEYS": KEY}, ["SESSION_ENCRYPTION_KEYS is set"]),
        ({"SESSION_ENCRYPTION_KEYS": f"{KEY},short-key"}, ["SESSION_ENCRYPTION_KEYS: key 2", "openssl rand -hex 32"]),
        ({"SESSION_ENCRYPTION_KEYS": " , "}, ["SESSION_ENCRYPTION_KEYS is empty"]),
        ({"SESSION_ENCRYPTION": "read"}, ["SESSION_ENCRYPTION=read", "SESSION_ENCRYPTION_KEYS"]),
        (
            {"SESSION_ENCRYPTION_KEYS": KEY, "SESSION_ENCRYPTION": "on"},
            ["SESSION_ENCRYPTION must be one of read, require, write, not on"],
        ),
        ({"SESSION_SAME_SITE": "none", "SESSION_SECURE": "off"}, ["SESSION_SAME_SITE=none", "SESSION_SECURE=off"]),
        ({"SESSION_LIMIT": "oldest"}, ["not oldest; did you mean end_oldest?"]),
        ({"STORE_DURABILITY": "every_write"}, ["STORE_DURABILITY=every_write", "STORE_REPLICAS"]),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_repeats_no_secret(
    users_file: Path, variables: dict[str, str], parts: list[str]
) -> None:
    message = complaint(environ(users_file, **variables))
    assert all(part in message for part in parts), message
    assert not any(secret in message for secret in (KEY, SECRET, "short-key", "s3cret"))


def test_with_express_the_cookie_has_the_default_name_of_express(users_file: Path) -> None:
    assert Settings.from_environ(environ(users_file, **EXPRESS)).session_name == "connect.sid"
    assert Settings.from_environ(environ(users_file, **EXPRESS, SESSION_NAME="sid")).session_name == "sid"


def test_the_repr_of_settings_has_no_secret_and_no_password(users_file: Path) -> None:
    values = environ(users_file, SESSION_STORE="redis", REDIS_URL="redis://nodes:word-of-pass@store:6379/0")
    shown = repr(Settings.from_environ(values))
    assert SECRET not in shown
    assert "word-of-pass" not in shown


def test_secrets_and_the_address_of_the_store_come_from_files(users_file: Path, tmp_path: Path) -> None:
    secrets, url = tmp_path / "secrets", tmp_path / "url"
    secrets.write_text(f"{SECRET}\n\n{SECRET}, the second\n")
    url.write_text("redis://nodes:word@store:6379/0\n")
    files = {"SESSION_SECRETS": "", "SESSION_SECRETS_FILE": str(secrets), "REDIS_URL_FILE": str(url)}
    settings = Settings.from_environ(environ(users_file, SESSION_STORE="redis", **files))
    assert settings.secrets == (SECRET, f"{SECRET}, the second")
    assert settings.redis_url == "redis://nodes:word@store:6379/0"


def test_a_secret_given_twice_or_in_a_file_that_is_not_text_is_refused(users_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.write_bytes(b"\xff" * 40)
    assert "both set" in complaint(environ(users_file, SESSION_SECRETS_FILE=str(path)))
    values = environ(users_file, SESSION_SECRETS="", SESSION_SECRETS_FILE=str(path))
    assert complaint(values) == f"cannot read SESSION_SECRETS_FILE={path}: it is not UTF-8 text"


@pytest.mark.parametrize("name", ["SESSION_SECRETS", "REDIS_URL", "SESSION_ENCRYPTION_KEYS"])
def test_an_empty_file_of_a_secret_is_refused(users_file: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "empty"
    path.write_text("\n")
    values = environ(users_file, SESSION_STORE="redis", REDIS_URL="redis://store") | {
        name: "",
        f"{name}_FILE": str(path),
    }
    assert f"{name}_FILE={path}: the file is empty" in complaint(values)


def test_variables_that_look_like_settings_are_named_with_the_nearest_one() -> None:
    fine = ("SESSION_SECRETS_FILE", "SESSION_MANAGER", "NODE_ENV", "REDIS_PORT", "LOAD_WORKERS", "DATABASE", "PATH")
    wrong = ("SESSION_IDEL_TIMEOUT", "STORE_COLOUR", "SESION_STORE", "NODE_WORKRES")
    assert list(list_unknown(dict.fromkeys(fine + wrong, "5"))) == [
        "NODE_WORKRES is not a setting, and has no effect; did you mean NODE_WORKERS?",
        "SESION_STORE is not a setting, and has no effect; did you mean SESSION_STORE?",
        "SESSION_IDEL_TIMEOUT is not a setting, and has no effect; did you mean SESSION_IDLE_TIMEOUT?",
        "STORE_COLOUR is not a setting, and has no effect",
    ]


SENTINEL_URL = "redis+sentinel://node:word@h1:26379,h2,h3/sessions?sentinel_username=node&sentinel_password=secret"


@pytest.mark.parametrize("url", [SENTINEL_URL, "rediss+cluster://node:word@h1:6379,[::1]:7000"])
def test_a_url_of_several_servers_and_an_outage_policy_are_read(users_file: Path, url: str) -> None:
    given = {"STORE_OUTAGE": "Wait", "STORE_WAIT_SECONDS": "2.5", "STORE_WAITING": "7"}
    settings = Settings.from_environ(environ(users_file, SESSION_STORE="redis", REDIS_URL=url, **given))
    assert (settings.redis_url, settings.outage, settings.wait_seconds, settings.waiting) == (url, "wait", 2.5, 7)
    assert settings.budgets() | {"outage": "wait", "wait_seconds": 2.5, "waiting": 7} == settings.budgets()
    store = make_stores(settings).sessions
    store.close()


OPTIONS = "unknown option: 'foo'"
BUDGET = "must not have the option '[a-z_]+', which the store's budgets set"
TWICE = "has the option 'db' twice"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://n:s3cret@127.0.0.1:1/0?foo=bar", OPTIONS),
        ("rediss://n:s3cret@h?foo=", OPTIONS),
        ("unix:///tmp/redis?foo=bar", OPTIONS),
        ("redis+sentinel://n:s3cret@h1/sessions?foo=bar", OPTIONS),
        ("redis+cluster://n:s3cret@h1?foo=bar", OPTIONS),
        ("redis://n:s3cret@h?decode_responses=1", "unknown option: 'decode_responses'"),
        ("redis://n:s3cret@h?ssl_ca_certs=/ca", "unknown option: 'ssl_ca_certs'"),
        ("rediss://n:s3cret@h?ssl_ca_certs=/no/such/file", "'ssl_ca_certs' must be the path of a file"),
        ("rediss://n:s3cret@h?ssl_cert_reqs=some", "'ssl_cert_reqs' must be required or optional or none"),
        ("rediss://n:s3cret@h?ssl_check_hostname=maybe", "'ssl_check_hostname' must be true or false"),
        ("redis://n:s3cret@h?socket_timeout=4", BUDGET),
        ("redis://n:s3cret@h?socket_timeout=", BUDGET),
        ("unix:///tmp/redis?socket_connect_timeout=4", BUDGET),
        ("redis+sentinel://n:s3cret@h1/sessions?socket_timeout=4", BUDGET),
        ("redis+cluster://n:s3cret@h1?max_connections=5", BUDGET),
        ("redis://n:s3cret@h?retry_on_timeout=yes", BUDGET),
        ("redis://n:s3cret@h?encoding=latin1", "unknown option: 'encoding'"),
        ("redis://n:s3cret@h?protocol=9", "'protocol' must be 2 or 3"),
        ("redis://n:s3cret@h?client_name=a%20b", "'client_name' must be"),
        ("redis://n:s3cret@h/sessions", "number of a database"),
        ("redis://n:s3cret@h/1.5", "number of a database"),
        ("redis://n:s3cret@h/-1", "number of a database"),
        ("redis://n:s3cret@h?db=-1", "number of a database"),
        ("redis://n:s3cret@h?db=", "number of a database"),
        ("redis://n:s3cret@h/1?db=2", TWICE),
        ("redis+sentinel://n:s3cret@h1/sessions?db=1&db=2", TWICE),
        ("redis+sentinel://n:s3cret@h1/sessions/1", "must be without '/'"),
        ("redis+sentinel://h1/sessions?password=s3cret", "unknown option: 'password'"),
        ("redis+cluster://n:s3cret@h1?sentinel_username=node", "unknown option: 'sentinel_username'"),
        ("redis://n:s3cret@h/0#1", "must be without '#'"),
        ("redis://n:s3cret@store:port", "must name its server as host or host:port"),
        ("redis://store:0", "must name its server as host or host:port"),
        ("redis://n:s3cret/x@store", "write '/' in a password as %2F"),
        ("unix://", "must name a socket"),
        ("unix://tmp/redis", "must name a socket"),
        ("redis+sentinel://n:s3cret@h1/sessions?db=x", "number of a database"),
        ("redis+sentinel://n:s3cret@h1:x/sessions", "must be host:port, not 'h1:x'"),
        ("redis+sentinel://n:s3cret@h1:70000/sessions", "must be host:port, not 'h1:70000'"),
        ("redis+cluster://n:s3cret@h1/3", "a cluster has database 0 alone"),
        ("redis+cluster://n:s3cret@h1,", "must be host:port, not ''"),
    ],
)
def test_an_invalid_url_is_refused_before_anything_connects(users_file: Path, url: str, said: str) -> None:
    settings = Settings.from_environ(environ(users_file, SESSION_STORE="redis", REDIS_URL=url))
    with pytest.raises(SettingsError, match=f"^REDIS_URL: .*{said}") as refused:
        make_stores(settings)
    assert "s3cret" not in str(refused.value)


PORT = "the URL must be KIND://user:password@host:port/database, with a port from 1 to 65535"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:p@h:abc/x", PORT),
        ("postgresql://u:p@[::1/x", PORT),
        ("mysql://u:p@s3cret:w@h/x", PORT),
        ("mysql://u:p@h:70000/x", PORT),
        ("postgresql://u:p@h/x?foo=bar", OPTIONS),
        ("mysql://u:p@h/x?foo=bar", OPTIONS),
        ("mariadb://u:p@h/x?connect_timeout=30", BUDGET),
        ("mysql://u:p@h/x?read_timeout=30&read_timeout=40", BUDGET),
        ("postgresql://u:p@h/x?connect_timeout=30", BUDGET),
        ("sqlite:////nowhere/x.db?timeout=30", BUDGET),
        ("sqlite:////nowhere/x.db?foo=bar", OPTIONS),
        ("sqlite://h/x.db", "names no file"),
        ("sqlite://", "names no file"),
        ("postgresql://u:p@h/x?plugin=foo", "unknown option: 'plugin'"),
        ("postgresql://u:p@h/x?autocommit=0", "unknown option: 'autocommit'"),
        ("postgresql://u:p@h/x?sslmode=some", "'sslmode' must be disable or"),
        ("postgresql://u:p@h/x?sslmode=require&sslmode=prefer", "'sslmode' twice"),
        ("postgresql://u:p@h/x?port=abc", "wrong option: .*port"),
        ("mysql://u:p@h/x?charset=latin1", "'charset' must be utf8mb4"),
        ("mysql://u:p@h/x?ssl_disabled=no", "'ssl_disabled' must be 1 or true"),
        ("mysql://u:p@h/x?ssl_ca=/no/such/file", "'ssl_ca' must be the path of a file"),
        ("postgresql://u:p@h", "names no database"),
        ("mysql://u:p@h/", "names no database"),
    ],
)
def test_an_invalid_address_of_a_database_is_refused_before_anything_connects(
    users_file: Path, url: str, said: str
) -> None:
    settings = Settings.from_environ(environ(users_file, SESSION_STORE="sql", DATABASE_URL=url))
    for make in (make_stores, create_schema):
        with pytest.raises(SettingsError, match=f"^DATABASE_URL: .*{said}") as refused:
            make(settings)
        assert "s3cret" not in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@h/x?sslmode=verify-full&sslrootcert=FILE",
        "postgresql://u:p@/x?host=h1:5432&host=h2:5432&target_session_attrs=primary",
        "mysql://u:p@h/x?charset=utf8mb4&ssl_ca=FILE",
        "rediss://u:p@h/1?ssl_ca_certs=FILE&ssl_check_hostname=false",
        "unix:///run/redis.sock?db=2&password=p",
        "rediss+sentinel://u:p@h1,h2/sessions?db=1&ssl_ca_certs=FILE",
        "redis+cluster://u:p@h1,h2?socket_keepalive=yes",
    ],
)
def test_known_options_of_urls_are_accepted(users_file: Path, url: str) -> None:
    url = url.replace("FILE", str(users_file))
    is_sql = url.startswith(("postgresql", "mysql"))
    given = {"SESSION_STORE": "sql", "DATABASE_URL": url} if is_sql else {"SESSION_STORE": "redis", "REDIS_URL": url}
    make_stores(Settings.from_environ(environ(users_file, **given)))


def test_the_express_store_cannot_use_a_redis_cluster(users_file: Path) -> None:
    variables = EXPRESS | {"REDIS_URL": "redis+cluster://h1"}
    with pytest.raises(SettingsError, match="a Redis Cluster can't hold Express's sessions"):
        make_stores(Settings.from_environ(environ(users_file, **variables)))


def test_the_table_in_the_documentation_is_the_one_that_settings_print() -> None:
    assert documentation() in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")

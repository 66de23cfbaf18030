"""A target's file from a compose file: it parses, roles and cookie are guessed, and guesses are marked."""

from pathlib import Path

import pytest

from loadtest.described.description import TargetDescription, read_description
from loadtest.described.init import describe_compose
from loadtest.described.toml import DescriptionError
from tests.support.lacks import import_package

import_package("yaml")

NODES_BEHIND_NGINX = """
services:
  redis:
    image: redislabs/redismod
    command: [redis-server]
  web1: {build: ./web, hostname: web1}
  web2: {build: ./web, hostname: web2}
  nginx:
    build: ./nginx
    ports: ["80:80"]
    depends_on: [web1, web2]
"""
DJANGO = """
name: shop
services:
  proxy:
    image: docker.io/library/nginx:1.27-alpine
    ports: ["${HTTP_PORT:-8080}:80", "127.0.0.1:8443:443"]
  web:
    build: {context: app}
    command: gunicorn shop.wsgi --bind 0.0.0.0:8000
    environment: [DJANGO_SETTINGS_MODULE=shop.settings, SESSION_ENGINE=django.contrib.sessions.backends.db]
    depends_on:
      migrate: {condition: service_completed_successfully}
  migrate: {build: app, command: python manage.py migrate}
  worker: {build: app, command: celery -A shop worker}
  redis: {image: "redis:8"}
  db: {image: "postgres:17"}
  adminer: {image: adminer, ports: ["8081:8080"]}
"""
LARAVEL = """
services:
  app: {image: "bitnami/laravel:11", environment: {SESSION_DRIVER: redis, APP_KEY: x}}
  web: {image: "caddy:2", ports: [{target: 80, published: "8088", host_ip: 127.0.0.1}]}
  mysql: {image: "mysql:9"}
  redis: {image: "valkey/valkey:8", expose: [6379]}
  queue: {image: "bitnami/laravel:11", command: php artisan queue:work}
"""
SENTINELS = """
x-sentinel: &sentinel
  image: redis:8
  command: redis-server /sentinel.conf --sentinel
services:
  traefik: {image: "traefik:v3", ports: ["8080:8080", "9000:80"]}
  api:
    image: registry.example.com:5000/team/api@sha256:0123
    environment: {SPRING_PROFILES_ACTIVE: prod}
    deploy: {replicas: 3}
  redis-primary: {image: "redis:8"}
  redis-replica: {image: "redis:8", command: redis-server --replicaof redis-primary 6379}
  sentinel-1: *sentinel
  sentinel-2: *sentinel
  metrics: {image: "prom/prometheus:v3", profiles: [monitoring]}
"""
ALONE = """
services:
  web:
    image: node:22
    command: node server.js
    ports: ["3000-3002:3000", "9229:9229"]
    labels: !override [a]
"""


def init(folder: Path, text: str) -> tuple[TargetDescription, str]:
    compose, file = folder / "compose.yaml", folder / "shop.toml"
    compose.write_text(text)
    file.write_text(describe_compose(compose, file))
    return read_description(file), file.read_text()


Guessed = tuple[str, str, list[str], list[str], list[str], list[str]]
"""The address, the cookie, and the members of each role."""


@pytest.mark.parametrize(
    ("text", "guessed"),
    [
        (NODES_BEHIND_NGINX, ("http://127.0.0.1:80", "connect.sid", ["nginx"], ["web1", "web2"], ["redis"], [])),
        (DJANGO, ("http://127.0.0.1:8080", "sessionid", ["proxy"], ["web"], ["db"], [])),
        (LARAVEL, ("http://127.0.0.1:8088", "laravel_session", ["web"], ["app"], ["redis"], [])),
        (
            SENTINELS,
            (
                *("http://127.0.0.1:9000", "JSESSIONID", ["traefik"], ["api"]),
                *(["redis-primary", "redis-replica"], ["sentinel-1", "sentinel-2"]),
            ),
        ),
        (ALONE, ("http://127.0.0.1:3000", "connect.sid", [], ["web"], [], [])),
    ],
)
def test_roles_address_and_cookie_are_guessed(tmp_path: Path, text: str, guessed: Guessed) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "package.json").write_text('{"dependencies": {"express": "5", "express-session": "1"}}')
    file = init(tmp_path, text)[0].file
    assert file.runtime is not None
    roles = file.runtime.roles
    members = [list(one) for one in (roles.proxy, roles.node, roles.store, roles.sentinel)]
    assert (file.url, file.cookie, *members) == guessed


def test_every_guess_is_marked(tmp_path: Path) -> None:
    text = init(tmp_path, DJANGO)[1]
    for key in ("url =", "cookie =", "passwords =", "path =", "proxy =", "node =", "store ="):
        lines = [line for line in text.splitlines() if line.startswith(key)]
        assert lines, key
        assert all("# guess" in line for line in lines), lines


def test_requests_in_comments_are_right_once_they_are_none(tmp_path: Path) -> None:
    text = init(tmp_path, NODES_BEHIND_NGINX)[1]
    keys = ("[requests.", "method = ", "path = ", "form = ", "counter = ", "items = ", "redirect = ")
    begin = text.index("# [requests.count]")
    lines = [line.removeprefix("# ") if line.startswith(tuple(f"# {key}" for key in keys)) else line
             for line in text[begin:].splitlines()]  # fmt: skip
    (tmp_path / "whole.toml").write_text(text[:begin] + "\n".join(lines))
    names = {name for name, _ in read_description(tmp_path / "whole.toml").file.requests.named()}
    assert names == {"look", "login", "logout", "count", "add", "account", "sessions", "end_others", "password"}


def test_a_form_for_the_login_says_where_a_good_one_leads(tmp_path: Path) -> None:
    login = init(tmp_path, DJANGO)[0].file.requests.login
    assert login.redirect == "/", "a refused one is answered with 200 and the form"


@pytest.mark.parametrize(("text", "is_said"), [(ALONE, True), (SENTINELS, False), (NODES_BEHIND_NGINX, False)])
def test_one_node_is_said_to_be_too_few_to_kill_one(tmp_path: Path, text: str, is_said: bool) -> None:
    lines = init(tmp_path, text)[1].splitlines()
    said = "# One node: to kill one takes two, as with `deploy: {replicas: 2}` of web."
    assert (said in lines) == is_said


def test_what_has_no_role_is_named_with_the_reason(tmp_path: Path) -> None:
    text = init(tmp_path, DJANGO)[1]
    for line in (
        "#   migrate: it runs once",
        "#   worker: it works off jobs and answers no requests",
        "#   redis: a store, too: its role is store if sessions are in it",
        "#   adminer: image adminer",
    ):
        assert line in text.splitlines()
    assert "#   metrics: it starts with the profile monitoring only" in init(tmp_path, SENTINELS)[1]


def roles_of(folder: Path, services: str) -> dict[str, str]:
    """Return the role of each service; "" for none."""
    runtime = init(folder, f"services: {services}")[0].file.runtime
    assert runtime is not None
    return {name: role.value for name, role in runtime.roles.members.items()}


@pytest.mark.parametrize(
    ("service", "role"),
    [
        ("a: {image: myorg/server}", "node"),
        ("a: {image: 'mcr.microsoft.com/mssql/server:2022-latest'}", "store"),
        ("a: {image: 'registry.local:5000/mssql/server@sha256:0123'}", "store"),
        ("a: {image: portainer/portainer-ce}", ""),
        ("setup-wizard: {build: ., ports: ['9000:9000']}", "node"),
        ("worker-node: {build: ., ports: ['82:80']}", "node"),
        ("test: {build: ., ports: ['81:80']}", "node"),
        ("db-api: {build: ., ports: ['83:80']}", "node"),
        ("worker-node: {build: .}", ""),
        ("worker: {build: ., ports: ['9229:9229']}", ""),
        ("test: {build: .}", ""),
        ("db: {build: ., ports: ['5555:5555']}", "store"),
        ("web-2: {build: ., command: celery worker, ports: ['80:80']}", ""),
        ("a: {build: {context: nowhere, dockerfile_inline: 'FROM redis:8'}}", "store"),
    ],
)
def test_a_published_port_of_browsers_counts_more_than_a_name(tmp_path: Path, service: str, role: str) -> None:
    found = roles_of(tmp_path, f"{{{service}, front: {{build: .}}}}")
    assert found.pop("front") == "node"
    assert "".join(found.values()) == role


@pytest.mark.parametrize(
    ("port", "address"),
    [
        ('"[::1]:9000:80"', "[::1]:9000"),
        ('"::1:9000:80"', "[::1]:9000"),
        ('"192.168.7.1:9000:80/tcp"', "192.168.7.1:9000"),
        ('"0.0.0.0:9000:80"', "127.0.0.1:9000"),
        ('"[::]:9000:80"', "127.0.0.1:9000"),
        ('{target: 80, published: "9000", host_ip: "::1"}', "[::1]:9000"),
        ('"${NOWHERE_SET}:9000:80"', "127.0.0.1:9000"),
    ],
)
def test_the_address_is_the_one_that_the_port_is_published_at(tmp_path: Path, port: str, address: str) -> None:
    file = init(tmp_path, f"services: {{web: {{build: ., ports: [{port}]}}}}")[0].file
    assert file.url == f"http://{address}"


def test_the_store_is_the_one_that_the_engine_of_django_names_among_other_settings(tmp_path: Path) -> None:
    environment = "{SESSION_ENGINE: django.contrib.sessions.backends.db, SESSION_COOKIE_AGE: 600}"
    services = f"{{web: {{build: ., environment: {environment}}}, redis: {{image: redis}}, sql: {{image: postgres}}}}"
    assert roles_of(tmp_path, services) == {"web": "node", "sql": "store"}


def test_redis_beside_memcached_is_preferred_to_databases_only(tmp_path: Path) -> None:
    both = "services: {web: {build: .}, a: {image: redis}, b: {image: memcached}"
    assert 'store = ["a", "b"]  # guess: image redis; image memcached' in init(tmp_path, both + "}")[1]
    text = init(tmp_path, both + ", c: {image: mysql}}")[1]
    assert 'store = ["a", "b"]  # guess: image redis, before databases; image memcached, before databases' in text


def test_what_comes_from_other_files_is_named_as_not_followed(tmp_path: Path) -> None:
    text = "include: [{path: [db.yaml, x.yaml]}, c.yaml]\nservices: {web: {extends: {file: a.yaml, service: b}}}"
    lines = init(tmp_path, text)[1].splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("# Not followed"))
    names = ("include of db.yaml", "include of x.yaml", "include of c.yaml", "extends of web")
    assert lines[at + 1 : at + 5] == [f'#   "{name}"' for name in names]


@pytest.mark.parametrize(
    ("beside", "files"),
    [
        (["compose.override.yaml", "docker-compose.override.yml"], ("compose.yaml", "compose.override.yaml")),
        (["docker-compose.override.yml"], ("compose.yaml", "docker-compose.override.yml")),
        (["compose.prod.yaml"], "compose.yaml"),
    ],
)
def test_the_override_of_a_compose_file_is_named_after_it(
    tmp_path: Path, beside: list[str], files: str | tuple[str, ...]
) -> None:
    for name in beside:
        (tmp_path / name).touch()
    described, text = init(tmp_path, "services: {web: {build: .}}")
    assert described.file.runtime is not None
    assert described.file.runtime.file == files
    assert ("settings of " in text) is isinstance(files, tuple)


def test_variables_of_a_service_also_come_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("DJANGO_SETTINGS_MODULE=x\nSESSION_COOKIE=a\n")
    (tmp_path / "b.env").write_text("SESSION_COOKIE='shop.sid'\n")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "settings.py").write_text("SESSION_COOKIE_NAME = os.environ['SESSION_COOKIE']")
    for files in ("[a.env, {path: b.env, required: false}, none.env]", "a.env"):
        file = init(tmp_path, f"services: {{web: {{build: web, env_file: {files}}}}}")[0].file
        assert file.cookie == ("shop.sid" if files.startswith("[") else "a")


def test_variables_come_from_the_environment_and_from_the_file_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("HTTP_PORT=8123\n")
    assert init(tmp_path, DJANGO)[0].file.url == "http://127.0.0.1:8123"
    monkeypatch.setenv("HTTP_PORT", "8124")
    assert init(tmp_path, DJANGO)[0].file.url == "http://127.0.0.1:8124"


@pytest.mark.parametrize(
    "line", ["WEB_PORT=8125", "WEB_PORT = 8125  # of the page", 'export WEB_PORT="8125" # x', "WEB_PORT='8125'#x"]
)
def test_variables_of_an_env_file_have_no_comments_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.delenv("WEB_PORT", raising=False)
    (tmp_path / ".env").write_text(f"# WEB_PORT=1\n{line}\nEMPTY=\n")
    file = init(tmp_path, 'services: {web: {image: app, ports: ["${WEB_PORT}:80"]}}')[0].file
    assert file.url == "http://127.0.0.1:8125"


def test_a_port_that_only_an_unset_variable_has_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEB_PORT", raising=False)
    monkeypatch.delenv("NAME", raising=False)
    text = """\
name: $NAME
services:
  web: {image: app, ports: ["${WEB_PORT}:80", "$$:1"], deploy: {replicas: "${COUNT}"}}
  cache: {image: "${REGISTRY}/redis:${VERSION:?set it}"}
"""
    described, lines = init(tmp_path, text)
    assert 'url = "http://127.0.0.1:8080"  # guess: web publishes a port by WEB_PORT, which is not set' in lines
    assert described.file.runtime is not None
    assert described.file.runtime.roles.store == ("cache",)
    assert described.file.runtime.project is None
    monkeypatch.setenv("WEB_PORT", "8125")
    assert init(tmp_path, text)[0].file.url == "http://127.0.0.1:8125"


def test_the_path_of_the_compose_file_is_relative_to_the_new_file(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    compose, file = tmp_path / "deploy" / "compose.yaml", tmp_path / "shop.toml"
    compose.write_text(DJANGO)
    file.write_text(describe_compose(compose, file))
    runtime = read_description(file).file.runtime
    assert runtime is not None
    assert runtime.file == "deploy/compose.yaml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("services: [", "compose.yaml:1: not YAML: expected the node content, but found '<stream end>'"),
        ("a: 1\nb: *x\n", "compose.yaml:2: not YAML: found undefined alias 'x'"),
        ("version: '3'", "compose.yaml is not a compose file: it has no services"),
        ("services: {a: {image: grafana/grafana}}", "compose.yaml has no service that users reach: a (image grafana)"),
        (
            "include: [a.yaml]",
            "compose.yaml has only include, which is not followed: "
            "give one of its files, or what `docker compose config` prints",
        ),
        ("- a", "compose.yaml is not a compose file: it has no services"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DescriptionError) as error:
        init(tmp_path, text)
    assert str(error.value) == f"{tmp_path}/{message}"


@pytest.mark.parametrize(
    ("web", "node", "url"),
    [
        ("deploy: abc", "web", "http://127.0.0.1:8080"),
        ("deploy: [1]", "web", "http://127.0.0.1:8080"),
        ("ports: 8080", "web", "http://127.0.0.1:8080"),
        ('ports: "8080:80"', "web", "http://127.0.0.1:8080"),
        ("ports: {a: b}", "web", "http://127.0.0.1:8080"),
        ("ports: [99999:80, 0:80, 8081:80]", "web", "http://127.0.0.1:8081"),
        ("ports: [2222:22]", "web", "http://127.0.0.1:2222"),
        ("ports: [1:30.5, 8080:59]", "web", "http://127.0.0.1:8080"),
        ("expose: 80", "web", "http://127.0.0.1:8080"),
        ("expose: [99999999, a/b, 80/tcp]", "web", "http://127.0.0.1:8080"),
        ("scale: 3/2", "web", "http://127.0.0.1:8080"),
        ("scale: on", "web", "http://127.0.0.1:8080"),
        ("deploy: {replicas: 1/2}", "web", "http://127.0.0.1:8080"),
        ("image: 2024-99-99", "web", "http://127.0.0.1:8080"),
        ("image: 2024-01-01", "web", "http://127.0.0.1:8080"),
        ("image: [a]", "web", "http://127.0.0.1:8080"),
        ("image: x", "on", "http://127.0.0.1:8080"),
    ],
)
def test_an_odd_value_of_a_service_is_read_as_compose_would_or_left_out(
    tmp_path: Path, web: str, node: str, url: str
) -> None:
    file = init(tmp_path, f"services:\n  {node}:\n    {web}\n")[0].file
    assert file.runtime is not None
    assert (file.url, file.runtime.roles.node) == (url, (node,))


@pytest.mark.parametrize("value", ["!!int abc", "!!bool abc", "!!timestamp abc", "0x_", "!!float x", "9" * 5000])
def test_a_value_that_is_none_of_its_type_is_one_line(tmp_path: Path, value: str) -> None:
    with pytest.raises(DescriptionError, match=r"^.*compose.yaml: not YAML: .*$"):
        init(tmp_path, f"services: {{web: {{image: {value}}}}}")


def test_the_compose_files_of_the_project_are_understood() -> None:
    root = Path(__file__).parents[4]
    text = describe_compose(root / "compose.yaml", root / "shop.toml")
    assert 'node = ["node"]' in text
    for name in ("django", "php"):
        compose = root / "loadtest" / "targets" / name / "compose.yaml"
        text = describe_compose(compose, compose.parent / "shop.toml")
        assert 'node = ["node-1", "node-2", "node-3"]' in text
        assert f'cookie = "{"sessionid" if name == "django" else "PHPSESSID"}"' in text


PACKAGE = '{"dependencies": {"express-session": "1"}}'
APPLICATIONS = {
    "express": ("package.json", PACKAGE, "server.js", "app.use(session({\n  secret: 'x', name: 'shop.sid',\n}))"),
    "express, nested": (
        *("package.json", PACKAGE, "src/app.ts"),
        "import Session from 'express-session'\n"
        "const options: SessionOptions = {\n"
        "  // name: 'old.sid',\n"
        "  cookie: { name: 'none', secure: true }, genid: () => makeId({ name: 'none' }),\n"
        '  "name": process.env.COOKIE || "shop.sid",\n'
        "}\n"
        "app.use(Session(options))",
    ),
    "express, variable": ("package.json", PACKAGE, "a.js", "app.use(session({ name: process.env.COOKIE_NAME }))"),
    "koa": (
        "package.json",
        '{"dependencies": {"koa-session": "7"}}',
        "a.js",
        "app.use(session({key: 'shop.sid'}, app))",
    ),
    "flask": (
        "requirements.txt",
        "flask\n",
        "app.py",
        '# SESSION_COOKIE_NAME="a"\napp.config["SESSION_COOKIE_NAME"] = "shop.sid"',
    ),
    "django": (
        *("requirements.txt", "Django==5", "shop/settings.py"),
        'SESSION_COOKIE_NAME = os.environ.get("NAME_OF_COOKIE", "shop.sid")',
    ),
    "starlette": (
        "requirements.txt",
        "starlette",
        "a.py",
        "app.add_middleware(SessionMiddleware, session_cookie='shop.sid')",
    ),
    "spring": (
        "pom.xml",
        "spring-boot",
        "src/main/resources/application.yml",
        "server:\n  servlet:\n    session:\n      timeout: 5m\n      cookie:\n        name: shop.sid\n",
    ),
    "rails": (
        "Gemfile",
        "gem 'rails'",
        "config/s.rb",
        "Rails.application.config.session_store :redis_store, key: 'shop.sid'",
    ),
    "rails, two lines": (
        "Gemfile",
        "gem 'rails'",
        "config/s.rb",
        "Rails.application.config.session_store :cookie_store,\n  secure: true,\n  key: 'shop.sid'",
    ),
    "rails, old hash": ("Gemfile", "gem 'rails'", "config/s.rb", "config.session_store :x, :key => 'shop.sid'"),
    "django-environ": ("requirements.txt", "django", "s.py", "SESSION_COOKIE_NAME = env('CN', default='shop.sid')"),
    "decouple": ("requirements.txt", "django", "s.py", "SESSION_COOKIE_NAME: str = config('CN', default='shop.sid')"),
    "environ, set": ("requirements.txt", "django", "s.py", "SESSION_COOKIE_NAME = env.str('COOKIE_NAME', 'x')"),
    "php, options": ("index.php", "<?php session_start(['cookie_secure' => 1, 'name' => 'shop.sid']);", "b.php", ""),
    "php": ("index.php", "<?php session_name('shop.sid'); session_start();", "b.php", ""),
}


@pytest.mark.parametrize("files", APPLICATIONS.values(), ids=APPLICATIONS)
def test_the_name_of_the_cookie_is_that_of_the_sources(tmp_path: Path, files: tuple[str, str, str, str]) -> None:
    dependencies, text, source, code = files
    for name, content in ((dependencies, text), (source, code), ("node_modules/x/a.js", "session({name: 'other'})")):
        (tmp_path / "web" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "web" / name).write_text(content)
    file, printed = init(tmp_path, "services: {web: {build: web, environment: {COOKIE_NAME: shop.sid}}}")
    assert file.file.cookie == "shop.sid"
    place = (source if code else dependencies) + ":"
    assert any(line.startswith(f'cookie = "shop.sid"  # guess: so in {place}') for line in printed.splitlines())


@pytest.mark.parametrize(
    "code",
    [
        "app.use(session({ name: cookieName, secret: 'x' }))",
        "app.use(session({ name: `${shop}.sid` }))",
        "session(",
        "",
    ],
)
def test_a_name_that_is_not_in_the_sources_is_the_one_of_the_framework(tmp_path: Path, code: str) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "package.json").write_text(PACKAGE)
    (tmp_path / "web" / "server.js").write_text(code)
    file, text = init(tmp_path, "services: {web: {build: web}}")
    assert file.file.cookie == "connect.sid"
    told = "  # guess: the default; server.js:1 of web sets it in a way that was not read"
    assert (f'cookie = "connect.sid"{told}' in text.splitlines()) is ("name:" in code)


@pytest.mark.parametrize(
    ("package", "code", "place"),
    [
        (PACKAGE, "app.set('view engine', 'ejs')", "app.js:1"),
        (PACKAGE, "app.use(express.json())\napp.get('/', (q, res) => res.render('home'))", "app.js:2"),
        (PACKAGE, "app.use(express.urlencoded({ extended: false }))", "app.js:1"),
        (PACKAGE, "app.use(express.json())\napp.use(express.urlencoded())", ""),
        (PACKAGE, "// app.set('view engine', 'ejs')\nroot.render(page)", ""),
        ('{"dependencies": {"koa-session": "7"}}', "await ctx.render('home')", "app.js:1"),
        ('{"dependencies": {"@fastify/session": "11"}}', "reply.view('home.eta')", "app.js:1"),
    ],
)
def test_a_login_is_a_form_where_the_sources_show_forms(tmp_path: Path, package: str, code: str, place: str) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "package.json").write_text(package)
    (tmp_path / "web" / "app.js").write_text(code)
    file, text = init(tmp_path, "services: {web: {build: web}}")
    login = file.file.requests.login
    assert (login.form is not None, login.json is not None) == (bool(place), not place)
    told = f"{place} of web has forms" if place else "JSON; where a page has the form, form = { … } in its place"
    assert f"# guess: {told}" in text


def test_an_application_of_starlette_may_have_forms(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("fastapi\n")
    (tmp_path / "main.py").write_text("@app.post('/login')\ndef login(user: str = Form(...)): ...\n")
    text = init(tmp_path, "services: {web: {build: .}}")[1]
    assert 'form = { username = "{user}", password = "{password}" }  # guess: main.py:2 of web has forms' in text


@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ("", True),
        ("Rails.application.config.session_store :cookie_store, key: '_shop'", True),
        ("config.session_store :redis_session_store, key: '_shop'", False),
        ("config.session_store(:active_record_store)", False),
        ("config.session_store ActionDispatch::Session::CacheStore", False),
        ("config.session_store = :cache_store", False),
        ("# config.session_store :cache_store", True),
    ],
)
def test_the_cookie_of_rails_changes_unless_sources_name_another_store(
    tmp_path: Path, setting: str, changes: bool
) -> None:
    (tmp_path / "web" / "config").mkdir(parents=True)
    (tmp_path / "web" / "Gemfile").write_text("gem 'rails'")
    (tmp_path / "web" / "config" / "s.rb").write_text(setting)
    file = init(tmp_path, "services: {web: {build: web}}")[0].file
    assert file.cookie_changes is changes


@pytest.mark.parametrize(
    "dockerfile",
    [
        "FROM php:8.4-fpm\n",
        "# php\nfrom --platform=linux/amd64 docker.io/library/php:8.4-fpm AS web\n",
        "FROM node:22 AS assets\nRUN make\nFROM php:8.4-fpm as base\nFROM base\nCOPY --from=assets /a /a\n",
    ],
)
def test_an_image_that_is_built_is_what_its_dockerfile_begins_with(tmp_path: Path, dockerfile: str) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "Dockerfile.web").write_text(dockerfile)
    file, _ = init(tmp_path, "services: {web: {build: {context: web, dockerfile: Dockerfile.web}, ports: [8080:80]}}")
    assert file.file.cookie == "PHPSESSID"

"""Web frameworks as `target init` recognizes them: the session's cookie, and how their forms usually look."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from loadtest.described.compose_file import ComposeService
from loadtest.described.sources import find_cookie_name, find_forms, find_server_store

_MOST_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Framework:
    """A framework: signs by which it is known, and what its applications have unless they change it.

    `packages` are names in the files of dependencies of a build's folder, `words` are in the image, the command or the
    names of environment variables. `login_fields` are those of the name and the password. `has_forms` is where sources
    show forms, though its applications mostly speak JSON. The token of forms is the
    field `csrf_field` or the header `csrf_header`; it is read from the cookie `csrf_cookie`, or else from the page of
    the login with `csrf_css`.
    """

    name: str
    cookie: str
    packages: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    look: str = "/"
    login: str = "/login"
    logout: str = "/logout"
    logout_method: str = "POST"
    logout_override: str = ""
    login_fields: tuple[str, str] = ("username", "password")
    is_json: bool = False
    has_forms: str = ""
    cookie_changes: bool = False
    csrf_field: str = ""
    csrf_css: str = ""
    csrf_attribute: str = "value"
    csrf_cookie: str = ""
    csrf_header: str = ""
    files: tuple[str, ...] = field(default=())

    def csrf_lines(self) -> Iterator[str]:
        """Yield the table [csrf]; as a comment if the framework has no token of its own."""
        if self.csrf_cookie:
            yield f"[csrf]  # guess: {self.name}'s token against forged requests"
            yield f'page = "{self.login}"  # guess'
            yield f'cookie = "{self.csrf_cookie}"  # guess'
        elif self.csrf_css:
            yield f"[csrf]  # guess: {self.name}'s token against forged requests"
            yield f'page = "{self.login}"  # guess'
            yield f"css = {json.dumps(self.csrf_css)}  # guess"
            if self.csrf_attribute != "value":
                yield f'attribute = "{self.csrf_attribute}"  # guess'
        else:
            yield '# Where forms have a hidden token, which each form below then sends: token = "{csrf}".'
            yield "# [csrf]"
            yield f'# page = "{self.login}"'
            yield '# css = "input[name=\'csrf_token\']"  # or cookie = "csrftoken", or header = "X-CSRF-Token"'
        yield ""

    def header_lines(self) -> Iterator[str]:
        """Yield the headers of requests that change something."""
        if self.csrf_header:
            yield f'headers = {{ {self.csrf_header} = "{{csrf}}" }}  # guess'


UNKNOWN = Framework(name="unknown", cookie="session")
"""A framework that is not in the table."""

FRAMEWORKS = (
    Framework(
        name="Laravel",
        cookie="laravel_session",
        packages=("laravel/framework",),
        words=("laravel", "artisan"),
        cookie_changes=True,
        login_fields=("email", "password"),
        csrf_field="_token",
        csrf_css="input[name='_token']",
    ),
    Framework(
        name="Symfony",
        cookie="PHPSESSID",
        packages=("symfony/framework-bundle",),
        login_fields=("_username", "_password"),
        logout_method="GET",
        csrf_field="_csrf_token",
        csrf_css="input[name='_csrf_token']",
    ),
    Framework(
        name="WordPress",
        cookie="wordpress_logged_in",
        words=("wordpress",),
        login="/wp-login.php",
        login_fields=("log", "pwd"),
        logout="/wp-login.php?action=logout",
        logout_method="GET",
        look="/wp-admin/profile.php",
    ),
    Framework(
        name="Django",
        cookie="sessionid",
        packages=("django",),
        words=("DJANGO_SETTINGS_MODULE", "manage.py", "django"),
        login="/accounts/login/",
        logout="/accounts/logout/",
        csrf_cookie="csrftoken",
        csrf_header="X-CSRFToken",
    ),
    Framework(
        name="Rails",
        cookie="_app_session",
        packages=("rails",),
        words=("RAILS_ENV", "RAILS_MASTER_KEY", "rails", "puma"),
        cookie_changes=True,
        login="/users/sign_in",
        logout="/users/sign_out",
        logout_override="delete",
        login_fields=("user[email]", "user[password]"),
        csrf_field="authenticity_token",
        csrf_css="meta[name='csrf-token']",
        csrf_attribute="content",
    ),
    Framework(
        name="Spring Session",
        cookie="SESSION",
        packages=("spring-session",),
        csrf_field="_csrf",
        csrf_css="input[name='_csrf']",
    ),
    Framework(
        name="Spring",
        cookie="JSESSIONID",
        packages=("spring-boot", "springframework"),
        words=("SPRING_PROFILES_ACTIVE", "SPRING_DATASOURCE_URL", "SPRING_REDIS_HOST", "SPRING_DATA_REDIS_HOST"),
        csrf_field="_csrf",
        csrf_css="input[name='_csrf']",
    ),
    Framework(
        name="a servlet container",
        cookie="JSESSIONID",
        words=("tomcat", "jetty", "wildfly", "payara"),
    ),
    Framework(
        name="ASP.NET Core",
        cookie=".AspNetCore.Session",
        packages=("microsoft.net.sdk.web", "microsoft.aspnetcore"),
        words=("ASPNETCORE_ENVIRONMENT", "ASPNETCORE_URLS", "aspnet"),
        login="/Account/Login",
        logout="/Account/Logout",
        csrf_field="__RequestVerificationToken",
        csrf_css="input[name='__RequestVerificationToken']",
    ),
    Framework(
        name="Phoenix",
        cookie="_app_key",
        packages=(":phoenix",),
        words=("PHX_HOST", "mix"),
        cookie_changes=True,
        csrf_field="_csrf_token",
        csrf_css="input[name='_csrf_token']",
    ),
    Framework(
        name="express-session",
        cookie="connect.sid",
        packages=("express-session",),
        is_json=True,
    ),
    Framework(
        name="koa-session",
        cookie="koa.sess",
        packages=("koa-session",),
        is_json=True,
    ),
    Framework(
        name="@fastify/session",
        cookie="sessionId",
        packages=("@fastify/session", "fastify-session"),
        is_json=True,
    ),
    Framework(
        name="scs",
        cookie="session",
        packages=("alexedwards/scs",),
    ),
    Framework(
        name="Starlette",
        cookie="session",
        packages=("starlette", "fastapi", "starsessions"),
        words=("uvicorn",),
        is_json=True,
    ),
    Framework(
        name="Flask",
        cookie="session",
        packages=("flask",),
        words=("FLASK_APP", "FLASK_ENV", "flask"),
    ),
    Framework(
        name="PHP",
        cookie="PHPSESSID",
        words=("php", "php-fpm", "apache-php"),
        files=("index.php",),
    ),
    Framework(
        name="Express",
        cookie="connect.sid",
        packages=("express",),
        words=("node",),
        is_json=True,
    ),
)
"""The more special ones first: a Laravel application is a PHP application, too."""

_DEPENDENCIES = (
    *("package.json", "requirements.txt", "requirements.in", "pyproject.toml", "Pipfile", "setup.py", "Gemfile"),
    *("composer.json", "pom.xml", "build.gradle", "build.gradle.kts", "go.mod", "mix.exs", "Dockerfile"),
)


def find_framework(nodes: Sequence[ComposeService]) -> tuple[Framework, str]:
    """Return the framework of the first node that shows one, and the reason. Its cookie is that of the node's sources,
    where they name it."""
    for node in nodes:
        found = _recognize(node)
        if found is None:
            continue
        framework, why = found
        if framework.cookie_changes and find_server_store(framework.name, node.build):
            framework = replace(framework, cookie_changes=False)
        if where := find_forms(framework.name, node.build):
            framework = replace(framework, is_json=False, has_forms=f"{where} of {node.name}")
        cookie, where = find_cookie_name(framework.name, node.build, node.environment)
        if cookie:
            return replace(framework, cookie=cookie), f"so in {where} of {node.name}"
        return framework, f"the default; {where} of {node.name} sets it in a way that was not read" if where else why
    return UNKNOWN, "nothing shows the framework"


def _recognize(node: ComposeService) -> tuple[Framework, str] | None:
    """Return the framework of a node by its files of dependencies, else by its image, command and variables."""
    texts = _read_dependencies(node.build)
    for framework in FRAMEWORKS:
        for name, text in texts.items():
            if found := next((one for one in framework.packages if _has(text, one)), None):
                return framework, f"{name} of {node.name} has {found}"
        if any(file in texts for file in framework.files):
            return framework, f"{node.name} is {framework.name}"
    text = " ".join([node.product, *node.words, *node.environment])
    for framework in FRAMEWORKS:
        if found := next((one for one in framework.words if _has(text, one)), None):
            return framework, f"{found} of {node.name} points to {framework.name}"
    return None


def _has(text: str, word: str) -> bool:
    """Return whether a text has a word; "flask" is not in "flask-session", nor "express" in "express-session"."""
    return re.search(rf"(?<![\w@/-]){re.escape(word)}(?![\w.-])", text, re.IGNORECASE) is not None or (
        word in {"spring-session", "spring-boot", "springframework", "microsoft.aspnetcore", "alexedwards/scs"}
        and word in text.lower()
    )


def _read_dependencies(folder: Path | None) -> Mapping[str, str]:
    """Return the files of dependencies in the folder of a build."""
    if folder is None or not folder.is_dir():
        return {}
    paths = [
        *(folder / name for name in (*_DEPENDENCIES, "index.php", "public/index.php")),
        *sorted(folder.glob("*.csproj")),
    ]
    found = {}
    for path in paths:
        try:
            if path.stat().st_size <= _MOST_BYTES:
                found[path.name] = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
    return found

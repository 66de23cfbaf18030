"""What an application's own sources say: the name of the session's cookie, whether it holds the session itself, and
whether browsers get pages with forms."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_NOT_ITS_OWN = {"node_modules", "vendor", "venv", "site-packages", "dist", "target", "test", "tests", "spec", "static"}
_MOST_FILES = 2000
_MOST_BYTES = 500_000
_MOST_CHARACTERS = 400
"""Of the expression that is the name."""
_SCRIPTS = (".js", ".cjs", ".mjs", ".ts", ".cts", ".mts")
_PLAIN = {".properties", ".yml", ".yaml", ".ini", ".env"}
"""Suffixes of files whose values need no quotes."""
_VARIABLE = re.compile(
    r"""(?:environ(?:\.get)?|getenv|ENV(?:\.fetch)?|\benv(?:\.str)?|\bconfig)\s*[\[(]\s*['"](\w+)['"]|env\.(\w+)"""
)
_QUOTED = re.compile(
    r"""\s*(?:[\w.]*\0\s*(?:,|\|\||\?\?|or\b)\s*(?:default\s*=\s*)?)?(['"`])([A-Za-z0-9!#$%&*+.^_|~-]+)\1"""
)
"""A text, alone or as what stands in for a variable (\\0) that is not set."""
_TOKEN = re.compile(r"""//[^\n]*|/\*.*?\*/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`[^`]*`|.""", re.DOTALL)
"""Of JavaScript: a comment, a text or a character."""
_BARE = re.compile(r"""["']?([A-Za-z0-9!#%&*+.^_|~-]+)""")


@dataclass(frozen=True)
class Sign:
    """What sources have: `pattern` in files with these suffixes, and behind it a value, such as the cookie's name.

    `package` is one of Node.js: its function is called with an object, and the pattern stands in that object itself.
    """

    suffixes: tuple[str, ...]
    pattern: str
    package: str = ""


_OTHER_KEYS = r"(?:\s+(?!name:|cookie:)[\w-]+:.*\n)*"
_COOKIE_OF_FLASK = Sign((".py",), r"""SESSION_COOKIE_NAME['"]?\]?\s*(?::\s*\w+\s*=|[=:])(?!=)""")
_COOKIE_OF_SPRING = (
    Sign((".properties",), r"server\.servlet\.session\.cookie\.name\s*[=:]\s*"),
    Sign((".yml", ".yaml"), rf"session:\s*\n{_OTHER_KEYS}\s+cookie:\s*\n{_OTHER_KEYS}\s+name:\s*"),
    Sign((".java", ".kt"), r"setCookieName\(\s*"),
)
_SETTINGS: Mapping[str, tuple[Sign, ...]] = {
    "express-session": (Sign(_SCRIPTS, r"""\b(?:name|key)['"]?\s*:""", "express-session"),),
    "koa-session": (Sign(_SCRIPTS, r"""\bkey['"]?\s*:""", "koa-session"),),
    "@fastify/session": (Sign(_SCRIPTS, r"""\bcookieName['"]?\s*:"""),),
    "Flask": (_COOKIE_OF_FLASK,),
    "Django": (_COOKIE_OF_FLASK,),
    "Starlette": (Sign((".py",), r"\b(?:session_cookie|cookie_name)\s*=(?!=)"),),
    "Spring Session": _COOKIE_OF_SPRING,
    "Spring": _COOKIE_OF_SPRING,
    "Rails": (Sign((".rb",), r"session_store\b(?:[^\n#]|(?<=,)\s*\n)*?(?:\bkey:|:key\s*=>)\s*"),),
    "Laravel": (Sign((".env",), r"^SESSION_COOKIE="),),
    "PHP": (
        Sign((".php",), r"""session_name\(\s*|session\.name['"]\s*,\s*"""),
        Sign((".php",), r"""session_start\(\s*(?:\[|array\()[^\])]*?['"]name['"]\s*=>\s*"""),
        Sign((".ini",), r"^session\.name\s*=\s*"),
    ),
    "Phoenix": (Sign((".ex",), r"store:\s*:cookie,\s*key:\s*"),),
    "scs": (Sign((".go",), r"\.Cookie\.Name\s*=\s*"),),
    "ASP.NET Core": (Sign((".cs",), r"\.Cookie\.Name\s*=\s*"),),
}

_STORES: Mapping[str, tuple[Sign, ...]] = {
    "Rails": (Sign((".rb",), r"session_store\b[\s(=]*"),),
    "Phoenix": (Sign((".ex",), r"(?:Plug\.Session|session_options)\b[^\]]*?\bstore:\s*"),),
}
"""How sources name the store of frameworks that keep sessions in the cookie by default."""
_STORE = re.compile(r":?[\w:.]+")
_RENDERS = Sign(_SCRIPTS, r"\b(?:res|response|ctx|reply)\.(?:render|view)\(|\bview engine\b")
_PAGES: Mapping[str, tuple[Sign, ...]] = {
    **dict.fromkeys(("express-session", "Express", "koa-session", "@fastify/session"), (_RENDERS,)),
    "Starlette": (Sign((".py",), r"\bTemplateResponse\(|\.form\(\)|=\s*Form\("),),
}
"""How sources render pages or read forms, in frameworks whose applications mostly speak JSON."""
_READS_FORMS = (Sign(_SCRIPTS, r"\burlencoded\(|@fastify/formbody"),)
_READS_JSON = (Sign(_SCRIPTS, r"\b(?:express|bodyParser|bodyparser)\.json\("),)


def find_cookie_name(framework: str, folder: Path | None, environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the name and where it stands: "server.js:12"; "" twice where the sources leave it to the framework, and
    the place alone where they name it in a way that can't be read, such as a constant.

    `environment` is that of the service: sources may take the name from there.
    """
    unread = ""
    for where, bare, expression in _find_signs(_SETTINGS.get(framework, ()), folder):
        if name := _read_name(expression, environment, bare=bare):
            return name, where
        unread = unread or where
    return "", unread


def find_server_store(framework: str, folder: Path | None) -> str:
    """Return where sources name a store on the server for sessions; "" where they are in the cookie, as by default."""
    for where, _, expression in _find_signs(_STORES.get(framework, ()), folder):
        if (name := _STORE.match(expression)) is not None and "cookie" not in name[0].lower():
            return where
    return ""


def find_forms(framework: str, folder: Path | None) -> str:
    """Return where sources show pages with forms; "" where nothing does, or where they read JSON, too."""
    pages = _PAGES.get(framework, ())
    if not pages:
        return ""
    if found := next(_find_signs(pages, folder), None):
        return found[0]
    reads_json = next(_find_signs(_READS_JSON, folder), None) is not None
    found = None if reads_json else next(_find_signs(_READS_FORMS, folder), None)
    return found[0] if found else ""


def _find_signs(signs: Sequence[Sign], folder: Path | None) -> Iterator[tuple[str, bool, str]]:
    """Yield where sources have one of the signs, whether values need no quotes there, and what comes behind it."""
    if folder is None or not signs:
        return
    for path in _list_sources(folder, {suffix for one in signs for suffix in one.suffixes}):
        try:
            text = path.read_text(encoding="utf-8", errors="replace") if path.stat().st_size <= _MOST_BYTES else ""
        except OSError:
            continue
        for sign in signs:
            for start, expression in _find_expressions(sign, text) if _suffix(path) in sign.suffixes else ():
                line = text.count("\n", 0, start) + 1
                yield f"{path.relative_to(folder)}:{line}", _suffix(path) in _PLAIN, expression


def _list_sources(folder: Path, suffixes: set[str]) -> Iterator[Path]:
    """Yield the application's own files with these suffixes, those of the upper folders first."""
    count = 0
    folders = [folder]
    for here in folders:  # it grows
        try:
            entries = sorted(here.iterdir())
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir() and not entry.is_symlink():
                if not entry.name.startswith((".", "_")) and entry.name.lower() not in _NOT_ITS_OWN:
                    folders.append(entry)
            elif _suffix(entry) in suffixes:
                if (count := count + 1) > _MOST_FILES:
                    return
                yield entry


def _suffix(path: Path) -> str:
    return path.suffix or path.name  # of ".env" it is all of the name


def _find_expressions(sign: Sign, text: str) -> Iterator[tuple[int, str]]:
    """Yield where the sign stands in a source, and what comes behind it."""
    if not sign.package:
        for found in re.finditer(sign.pattern, text, re.MULTILINE):
            line = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
            if "#" not in line and "//" not in line:  # not in a comment
                yield found.start(), text[found.end() : found.end() + _MOST_CHARACTERS].partition("\n")[0]
        return
    for start in _find_objects(sign.package, text):
        own = _blank_nested(text, start)
        for found in re.finditer(sign.pattern, own):
            yield start + found.start(), own[found.end() : found.end() + _MOST_CHARACTERS]


def _find_objects(package: str, text: str) -> Iterator[int]:
    """Yield where the objects begin that the function of a package of Node.js is called with, also by a name."""
    quoted = rf"""['"]{re.escape(package)}['"]"""
    imported = rf"(\w+)\s*=\s*require\(\s*{quoted}|import\s+(?:\*\s+as\s+)?(\w+)\s+from\s+{quoted}"
    names = {name for found in re.findall(imported, text) for name in found if name} or {"session"}
    called = rf"(?:\b(?:{'|'.join(map(re.escape, sorted(names)))})|require\(\s*{quoted}\s*\))\s*\(\s*(\{{|\w+)"
    for call in re.finditer(called, text):
        if call[1] == "{":
            yield call.start(1)
        else:
            for given in re.finditer(rf"\b{re.escape(call[1])}\b[^=\n;]*=\s*(\{{)", text):
                yield given.start(1)


def _blank_nested(text: str, start: int) -> str:
    """Return the object that begins at `start` to its end, with spaces for comments and for what is nested in it."""
    kept: list[str] = []
    depth, at = 0, start
    while at < len(text):
        token = _TOKEN.match(text, at)
        assert token is not None, "any character is a token"
        one = token[0]
        depth -= one in "}])" and len(one) == 1
        is_comment = one.startswith(("//", "/*"))
        kept.append(one if depth <= 1 and not is_comment else " " * len(one))
        depth += one in "{[(" and len(one) == 1
        at = token.end()
        if depth <= 0:
            break
    return "".join(kept)


def _read_name(expression: str, environment: Mapping[str, str], *, bare: bool) -> str:
    """Return the name that an expression stands for: a variable of the service, or else the first text in it."""
    for found in _VARIABLE.finditer(expression.partition("\n")[0]):
        if value := environment.get(found[1] or found[2], ""):
            return value
    if bare:
        plain = _BARE.match(expression)
        return plain[1] if plain else ""
    quoted = _QUOTED.match(_VARIABLE.sub("\0", expression))
    return quoted[2] if quoted and not (quoted[1] == "`" and "$" in quoted[2]) else ""

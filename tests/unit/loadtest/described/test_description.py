"""The TOML file of a target: what it says, and each mistake in one line with its file and line number."""

import textwrap
import time
from pathlib import Path

import pytest

from deploy.cluster import Role
from loadtest.described.description import read_description
from loadtest.described.reachable import answers
from loadtest.described.toml import DescriptionError

SHOP = """\
name = "Shop"
url = "http://127.0.0.1:8000"
cookie = "sessionid"

[users]
count = 3
name = "user{n}"
password = "secret {n}"

[anonymous]
redirect = "/login"

[csrf]
page = "/login"
css = "input[name=token]"

[requests.look]
path = "/me"
user = { css = "#user" }

[requests.login]
path = "/login"
form = { name = "{user}", word = "{password}", token = "{csrf}" }
status = 302

[requests.count]
method = "POST"
path = "/count"
counter = { regex = 'count: (\\d+)' }

[requests.add]
path = "/list"
json = { item = "{item}", note = '''
[not.a.table]
path = "not a key"
''' }

[runtime]
kind = "processes"
roles.node = [
  "web-1",
  "web-2",
]
roles.store = ["redis"]

[runtime.members.web-1]
start = "python app.py"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "shop.toml"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_a_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    file = read_description(write(tmp_path, SHOP)).file
    assert file.users.accounts == {"user1": "secret 1", "user2": "secret 2", "user3": "secret 3"}
    assert [(name, request.verb) for name, request in file.requests.named()] == [
        *(("look", "GET"), ("login", "POST"), ("count", "POST"), ("add", "POST"))
    ]
    assert file.runtime is not None
    assert file.runtime.roles.members == {"web-1": Role.NODE, "web-2": Role.NODE, "redis": Role.STORE}


def test_every_key_has_the_line_that_it_is_in(tmp_path: Path) -> None:
    description = read_description(write(tmp_path, SHOP))
    lines = SHOP.splitlines()
    for place, line in {
        ("cookie",): 'cookie = "sessionid"',
        ("requests", "login"): "[requests.login]",
        ("requests", "login", "form", "word"): lines[22],
        ("requests", "count", "counter"): lines[28],
        ("runtime",): "[runtime]",
        ("runtime", "roles", "store"): 'roles.store = ["redis"]',
        ("runtime", "members", "web-1", "start"): 'start = "python app.py"',
    }.items():
        assert description.where(*place).rpartition(":")[2] == str(lines.index(line) + 1), place


WRONG = ('redirect = "/login"', "redirect = 5", "anonymous.redirect must be a text, not 5")


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ('"Shop"', '"""a \\""" b\n"""', WRONG),
        ('"Shop"', '"""a\n\\\\"""', WRONG),
        ('"Shop"', '"""\na""""', WRONG),
        ('"Shop"', "'''\na'''''", WRONG),
        ('"Shop"', '"a\u2028b"  # \x85', WRONG),
        ('"Shop"', '"Shop"\r', WRONG),
        ('"Shop"', '"a # b"  # "c', WRONG),
        (
            "[runtime.members.web-1]",
            '[runtime.members."web[1]"] # ]',
            ("[runtime.m", "[runtime.m", "web[1] has no role"),
        ),
        ("[runtime.members.web-1]", '[runtime.members."web-\\u0031"]', ("start =", "strt =", "web-1.strt: did you")),
        ("[runtime.members.web-1]", "[ runtime . members .'web-1' ]", ("start =", "strt =", "web-1.strt: did you")),
        ('"web-1",', '"web-1", # ]\n  # "', ('  "web-2"', "  2", "runtime.roles.node.1 must be a text, not 2")),
        ("status = 302", 'user = { "css" = "b]\\"[", jsn = 1 }', ("jsn", "jsn", "unknown key requests.login.user.jsn")),
    ],
)
def test_the_line_of_a_mistake_is_right_however_the_file_is_written(
    tmp_path: Path, old: str, new: str, wrong: tuple[str, str, str]
) -> None:
    before, after, mistake = wrong
    text = SHOP.replace(old, new)
    line = text[: text.index(before)].count("\n") + 1
    with pytest.raises(DescriptionError) as error:
        read_description(write(tmp_path, text.replace(before, after)))
    (found,) = (one for one in str(error.value).split("\n") if mistake in one)
    assert found.startswith(f"{tmp_path}/shop.toml:{line}: ")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert read_description(write(tmp_path, "\ufeff" + SHOP)).file.name == "Shop"


@pytest.mark.parametrize(
    ("number", "mistake"),
    [
        ("9" * 5000, "6: not TOML: a number has too many digits"),
        ("0x" + "f" * 5000, "6: users.count must be a whole number, not one of more than 64 bits"),
        ("9" * 25, "6: users.count must be a whole number, not one of more than 64 bits"),
    ],
)
def test_a_number_that_is_too_long_is_one_line(tmp_path: Path, number: str, mistake: str) -> None:
    with pytest.raises(DescriptionError) as error:
        read_description(write(tmp_path, SHOP.replace("count = 3", f"count = {number}")))
    assert str(error.value) == f"{tmp_path}/shop.toml:{mistake}"


def test_a_long_text_in_an_inline_table_takes_no_time(tmp_path: Path) -> None:
    text = SHOP.replace('css = "#user"', f'css = "#user", regex = "{"x" * 300_000}"')
    begin = time.process_time()
    read_description(write(tmp_path, text))
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ('cookie = "sessionid"', "", "1: cookie is missing"),
        ("cookie", "cokie", "3: unknown key cokie: did you mean 'cookie'?"),
        ("count = 3", 'count = "3"', "6: users.count must be a whole number, not '3'"),
        ("count = 3", "count = 0", "6: users.count must be between 1 and 100000, not 0"),
        ("user{n}", "user", "7: users.name must have {n}, the number of the user, not 'user'"),
        ("user{n}", "user{m}", "7: users.name has no {m}: choose one of n"),
        ('name = "user{n}"\n', "", '5: users must have passwords = {NAME = "…"}, or name and password with {n}'),
        ('redirect = "/login"', "redirect = 5", "11: anonymous.redirect must be a text, not 5"),
        ("css = ", "atribute = 'x'\ncss = ", "15: unknown key csrf.atribute: did you mean 'attribute'?"),
        ("[requests.look]", "[requests.lok]", "17: unknown key requests.lok: did you mean 'look'?"),
        ('path = "/me"', 'path = "me"', "18: requests.look.path must begin with /, not 'me'"),
        ('css = "#user"', 'css = "#user", json = "/user"', "19: requests.look.user must have one of json, css, "),
        ("{user}", "{usr}", "23: requests.login.form has no {usr}: did you mean 'user'?"),
        ("{user}", "alice", "21: requests.login must send {user}"),
        ("status = 302", 'status = [302, "x"]', "24: requests.login.status.1 must be a whole number, not 'x'"),
        ("status = 302", "json = 5", "24: requests.login must have form or json, not both"),
        ('css = "#user"', 'css = "#user["', "19: requests.look.user.css must be a CSS selector, not '#user['"),
        ("'count: (", "'count: ((", "29: requests.count.counter.regex is not a regular expression"),
        ('"{item}"', '"apple"', "31: requests.add must send {item}"),
        ("requests.count", "requests.sesions", "26: unknown key requests.sesions: did you mean 'sessions'?"),
        ("requests.count", "requests.end_other", "26: unknown key requests.end_other: did you mean 'end_others'?"),
        ("requests.count", "requests.password", "26: requests.password must send {new_password}"),
        ('[requests.count]\n', '[requests.password]\nform = { new = "{new_pasword}" }\n',
         "27: requests.password.form has no {new_pasword}: did you mean 'new_password'?"),
        ('"{password}"', '"{new_password}"', "23: requests.login.form has no {new_password}: did you mean 'password'?"),
        ('cookie = "sessionid"', 'cookie = "sessionid"\nconflict = [409, 4090]',
         "4: conflict must be from 400 to 499, not 4090"),
        ('cookie = "sessionid"', 'cookie = "sessionid"\nconflict = 503',
         "4: conflict must be from 400 to 499, not 503"),
        ("status = 302", "status = 4090", "24: requests.login.status must be from 100 to 599, not 4090"),
        ('"processes"', '"proceses"', "39: runtime.kind must not be 'proceses': did you mean 'processes'?"),
        ('"processes"', '"docker"', "39: runtime.kind must not be 'docker': choose one of compose, processes, c"),
        ('["redis"]', '["redis", "web-1"]', "44: web-1 must have one role, and once"),
        ('"processes"', '"compose"', "38: runtime must have file, project or both"),
        ('"processes"', '"compose"\nfile = "x.yaml"', "40: runtime.file must be a compose file, not 'x.yaml'"),
        ('"processes"', '"compose"\nfile = []', "40: runtime.file must name a compose file, or be left out"),
        ('"processes"', '"compose"\nfile = ["shop.toml",\n"x"]', "41: runtime.file must be a compose file, not 'x'"),
        ('["redis"]', "[]", "44: runtime.roles.store must name a member, or be left out"),
        ("members.web-1", "members.web-3", "46: runtime.members.web-3 has no role: did you mean 'web-2'?"),
        ('redirect = "/login"', 'redirect = "/login?next=/"', "11: anonymous.redirect must be a path without"),
        ("status = 302", 'redirect = "/?x"', "24: requests.login.redirect must be a path without a query"),
        ('[csrf]\npage = "/login"\ncss = "input[name=token]"', '[headers]\nX-T = "{csrf}"', "13: headers send {csrf}"),
        ("roles.node", 'file = "x"\nroles.node', "40: runtime.file is for the kind compose, and this"),
        ("[runtime.members", '[runtime.actions]\nkill = "x"\n[runtime.members', "47: runtime.actions.kill is for the"),
        ('"processes"', '"commands"', "47: runtime.members.web-1.start is for the kind processes, and this one is"),
        ("[csrf]", "csrf", "13: not TOML: Expected '=' after a key in a key/value pair"),
        ("127.0.0.1:8000", "127.0.0.1:8000/shop", "2: url must be http://HOST[:PORT] or https://HOST[:PORT], not"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_file_and_line_number(tmp_path: Path, old: str, new: str, mistake: str) -> None:
    assert old in SHOP
    path = write(tmp_path, SHOP.replace(old, new, 1))
    with pytest.raises(DescriptionError) as error:
        read_description(path)
    assert f"{path}:{mistake}" in str(error.value)


def test_a_conflict_is_no_status_of_a_request_that_was_carried_out(tmp_path: Path) -> None:
    text = SHOP.replace('cookie = "', 'conflict = [409, 412]\ncookie = "').replace("= 302", "= [302, 412]")
    with pytest.raises(DescriptionError) as error:
        read_description(write(tmp_path, text))
    assert str(error.value) == f"{tmp_path}/shop.toml:25: requests.login.status must not be in conflict, as 412 is"


MEMBER = 'start = "python app.py"'
ROLES = 'roles.node = [\n  "web-1",\n  "web-2",\n]\nroles.store = ["redis"]'
READY = "runtime.members.web-1.ready must be http://HOST[:PORT]/PATH or tcp://HOST:PORT, not "


READING = 'user = { css = "#user" }'
FORM = 'form = { name = "{user}", word = "{password}", token = "{csrf}" }'


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("css = ", "cookie = 'x'\ncss = ", "16: csrf.css does nothing beside cookie: give either"),
        ("css = ", "cookie = 'x'\nheader = 'y'\n#", "16: csrf.header does nothing beside cookie: give either"),
        ("css = ", "regex = 'x'\nattribute = 'y'\n#", "16: csrf.attribute does nothing without css"),
        (', token = "{csrf}"', "", "13: csrf does nothing: no request sends {csrf}"),
        (
            'path = "/me"',
            'path = "/me"\npage = "/"',
            "19: requests.look.page does nothing: the request sends no {csrf}",
        ),
        ('name = "user{n}"\n', 'passwords = { a = "b" }\n', "6: users.count does nothing beside passwords"),
        ('name = "user{n}"\n', 'passwords = { a = "b" }\n', "8: users.password does nothing beside passwords"),
        (
            READING,
            'user = { json = "/a", attribute = "b" }',
            "19: requests.look.user.attribute does nothing without css",
        ),
        (
            READING,
            READING + '\nitems = { css = "li", item = "/a" }',
            "20: requests.look.items.item does nothing without",
        ),
        (READING, READING + "\nitems = { regex = '(?P<quantity>.)' }", "20: requests.look.items.regex has a group"),
        (READING, READING + "\nitems = { regex = 'x', quantity = '/a' }", "20: requests.look.items.quantity does noth"),
        (
            "[requests.count]",
            '[requests.account]\npath = "/a"\ncounter = { css = "b" }\n[requests.count]',
            "28: requests.account.counter must be left out: look and read show the session's counter",
        ),
        (
            "[requests.count]",
            '[requests.sessions]\npath = "/a"\nitems = { css = "li" }\n[requests.count]',
            "28: requests.sessions.items must be left out: look and read show the session's list",
        ),
        ('cookie = "', 'authority = "shop.toml"\ncookie = "', "3: authority does nothing: url begins with http://"),
        ('cookie = "', 'insecure = true\ncookie = "', "3: insecure does nothing: url begins with http://"),
    ],
)
def test_a_key_that_would_do_nothing_is_a_mistake(tmp_path: Path, old: str, new: str, mistake: str) -> None:
    path = write(tmp_path, SHOP.replace(old, new, 1))
    with pytest.raises(DescriptionError) as error:
        read_description(path)
    assert f"{path}:{mistake}" in str(error.value)


@pytest.mark.parametrize("command", ["awk '{print}'", "echo ${usr} {user}", "jq '{status}'", "echo {user} {password}"])
def test_braces_of_the_shell_are_no_mistake(tmp_path: Path, command: str) -> None:
    text = SHOP.replace("count = 3", f'count = 3\ncommand = "{command}"')
    assert read_description(write(tmp_path, text)).file.users.command == command


def of_ready(value: str, why: str) -> tuple[str, str, str]:
    return MEMBER, f'ready = "{value}"', f"47: {READY}{value!r}: {why}"


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        (MEMBER, "start = \"python -c 'x\"", "47: runtime.members.web-1.start must be a command: no closing quotation"),
        (MEMBER, 'start = "x \\\\"', "47: runtime.members.web-1.start must be a command: no escaped character"),
        (MEMBER, 'start = ""', "47: runtime.members.web-1.start must be a command, not ''"),
        (MEMBER, "start = ' '", "47: runtime.members.web-1.start must be a command, not ' '"),
        (MEMBER, "start = '\"\"'", "47: runtime.members.web-1.start must be a command, not '\"\"'"),
        (MEMBER, 'start = "a\\u0000b"', "47: runtime.members.web-1.start must have no NUL"),
        (MEMBER, 'environment = { "A=B" = "x" }', "47: runtime.members.web-1.environment must have names of variables"),
        of_ready("tcp://h:99999", "it has no valid host and port"),
        of_ready("tcp://h:abc", "it has no valid host and port"),
        of_ready("tcp://h", "it needs a port from 1 on"),
        of_ready("tcp://h:0", "it needs a port from 1 on"),
        of_ready("http://h:0/", "it needs a port from 1 on"),
        of_ready("http://a..b/", "it has no valid host and port"),
        of_ready("http://[::1/", "it has no valid host and port"),
        of_ready("http:///x", "it has no valid host"),
        of_ready("http://a b/", "it has no valid host"),
        of_ready("http://u@h/", "it has no valid host"),
        of_ready("h:8000", "it must begin with http://, https:// or tcp://"),
        of_ready("ftp://h/", "it must begin with http://, https:// or tcp://"),
        of_ready("", "it must begin with http://, https:// or tcp://"),
        *(
            ('kind = "processes"', f'kind = "processes"\n{key} = {value}', f"40: runtime.{key} must be seconds, more")
            for key in ("timeout", "start_timeout")
            for value in ("nan", "inf", "-inf", "-0.5", "0", "1e300")
        ),
        *(
            ('cookie = "', f'{key} = {value}\ncookie = "', f"3: {key} must be seconds from 1 on, not {value}")
            for key in ("idle_timeout", "lifetime")
            for value in (0, -5)
        ),
        *(
            ('kind = "processes"', f'kind = "processes"\nstore_proxy = {{ listen = "h:1", to = "{to}" }}',
             f"40: runtime.store_proxy.to must be HOST:PORT, not {to!r}")
            for to in ("h", "h:abc", "h:99999", "tcp://h:1", "a..b:1", "", ":1", "h:0")
        ),
        ('cookie = "', 'site = "abc"\ncookie = "', "3: site must begin with /, not 'abc'"),
        ('cookie = "', 'node_header = "X Y"\ncookie = "', "3: node_header must be the name of a header, not 'X Y'"),
        ("status = 302", "status = [302, 9999]", "24: requests.login.status must be from 100 to 599, not 9999"),
        ('redirect = "/login"', "status = 0", "11: anonymous.status must be from 100 to 599, not 0"),
        ('["redis"]', '[""]', "44: runtime.roles.store must have names, not ''"),
        ('page = "/login"', 'page = "/login/{usr}"', "14: csrf.page has no {usr}: did you mean 'user'?"),
        *(
            (MEMBER, f'start = "{start}"', "47: runtime.members.web-1.start must be a command without a shell, not ")
            for start in ("cd app && ./web", "PORT=1 ./web", "./web > log", "./web &")
        ),
        ('redirect = "/login"', 'redirect = "/login/{user}"', "11: anonymous.redirect must have no {user}, which"),
        ("status = 302", 'redirect = "/{user}"', "24: requests.login.redirect must have no {user}, which"),
        ('"processes"', '"processes"\nstore_proxy = { listen = "h:1", to = "h:1" }',
         "40: runtime.store_proxy.listen must not be `to`, where the store itself is"),
        ("count = 3", 'count = 3\ncommand = "add {usr}"', "7: users.command has no {usr}: did you mean 'user'?"),
        ('"processes"', '"processes"\nsetup = "mkdir {stat}"', "40: runtime.setup has no {stat}: did you mean 'state'"),
        ('"processes"', '"processes"\nenvironment.A = "{stat}"', "40: runtime.environment.A has no {stat}: did you"),
        (MEMBER, 'start = "app {membr}"', "47: runtime.members.web-1.start has no {membr}: did you mean 'member'?"),
        *(
            (f'"processes"\n{ROLES}\n\n[runtime.members.web-1]\n{MEMBER}',
             f'"commands"\nroles.node = ["a"]\nactions = {{ {action}, restart = "x" }}', f"41: runtime.actions.{why}")
            for action, why in (
                ('kill = "kill {membr}"', "kill has no {membr}: did you mean 'member'?"),
                ('scale = "sh scale.sh"', "scale must have {nodes}"),
                ('scale = "n={node} {nodes}"', "scale has no {node}: did you mean 'nodes'?"),
            )
        ),
        ('cookie = "', 'headers = { "X Y" = "1" }\ncookie = "', "3: headers must have names of headers, not 'X Y'"),
        ('cookie = "', 'headers = { X = "a\\nb" }\ncookie = "', "3: headers.X must have no control characters"),
    ],
)  # fmt: skip
def test_a_value_that_could_only_fail_later_is_a_mistake(tmp_path: Path, old: str, new: str, mistake: str) -> None:
    path = write(tmp_path, SHOP.replace(old, new, 1))
    with pytest.raises(DescriptionError) as error:
        read_description(path)
    assert f"{path}:{mistake}" in str(error.value)


@pytest.mark.parametrize("ready", ["http://grüß.test/a b?ü", "https://[::1]:8443/", "tcp://127.0.0.1:1", "http://a_b/"])
def test_an_address_that_can_be_asked_is_none(tmp_path: Path, ready: str) -> None:
    read_description(write(tmp_path, SHOP.replace(MEMBER, f'ready = "{ready}"')))


@pytest.mark.parametrize(
    "url", ["tcp://h:99999", "tcp://h:abc", "tcp://", "h:1", "", "http://a..b/", "http://[/", "x://y"]
)
def test_nothing_answers_at_an_address_that_is_none(url: str) -> None:
    assert not answers(url)


def test_a_token_needs_to_come_from_somewhere(tmp_path: Path) -> None:
    no_page = SHOP.replace('page = "/login"\n', "")
    for text, mistake in (
        (no_page, "20: requests.login sends {csrf}: give it page, or [csrf] a page for all"),
        (no_page.replace('[csrf]\ncss = "input[name=token]"', ""), "19: requests.login sends {csrf}, without a table"),
    ):
        with pytest.raises(DescriptionError, match="shop.toml:" + mistake.replace("[", r"\[").replace("{", r"\{")):
            read_description(write(tmp_path, text))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError) as error:
        read_description(write(tmp_path, SHOP.replace("cookie", "cokie").replace("kind =", "kid =")))
    told = [line.partition("shop.toml:")[2] for line in str(error.value).splitlines()]
    assert told == [
        "3: unknown key cokie: did you mean 'cookie'?",
        "39: unknown key runtime.kid: did you mean 'kind'?",
    ]


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match=r"^cannot read .*shop\.toml: No such file or directory$"):
        read_description(tmp_path / "shop.toml")


def test_the_example_of_the_documentation_is_a_target(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "targets.md").read_text()
    begin = page.index('    name = "Shop"')
    example = textwrap.dedent(page[begin : page.index("\nA key that", begin)])
    file = read_description(write(tmp_path, example)).file
    assert [name for name, _ in file.requests.named()] == ["look", "login", "logout", "count", "add"]
    assert len([line for line in example.splitlines() if line]) <= 40


def test_thousands_of_brackets_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(f"x = {'[' * 5000}")
    with pytest.raises(DescriptionError, match=r"shop\.toml is not TOML: brackets in too many brackets$"):
        read_description(path)

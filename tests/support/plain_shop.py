"""A small web application as many are: forms with a hidden token, redirects after each of them, pages in HTML.

Its sessions can be broken on purpose, to see whether a load finds it.
"""

import itertools
import secrets
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, redirect, request
from markupsafe import escape
from werkzeug.serving import WSGIRequestHandler, make_server

PASSWORD = "a secret & more"


@dataclass
class Visit:
    user: str | None = None
    token: str = field(default_factory=secrets.token_hex)
    count: int = 0
    items: list[str] = field(default_factory=list)


@dataclass
class PlainShop:
    """The faults of the application; by default it has none."""

    loses_counts: bool = False  # every fifth count is acknowledged and not kept
    revives: bool = False  # a logout only clears the cookie
    crosses: bool = False  # every twentieth page is that of the session before
    keeps_others: bool = False  # other sessions go on after they were ended, and after a change of password
    keeps_password: bool = False  # a change of password is acknowledged and changes nothing
    keeps_new_password: bool = False  # only the first change of password is carried out
    changes_late: bool = False  # a change to a password that ends with .4 has a 503, and is carried out 0.2 s later
    keeps_old_password: bool = False  # after a change of password both are accepted
    ends_itself: bool = False  # ending the other sessions ends this one, and so does a change of password
    renews_to_end: bool = False  # ending the other sessions gives this one a new id
    shows_devices: bool = False  # the list of sessions is a page for visitors, too
    login_empties: bool = False  # a login begins a session without counter and list
    one_session: bool = False  # a login ends the user's other sessions
    keeps_list: bool = False  # emptying the list changes nothing
    refuses_old_passwords: bool = False  # none that the user ever had
    checks_token: bool = True
    login_for_guests: bool = False  # a user who is logged in is sent away from the login
    busy_login: int = 0  # the login of this number is answered with 503
    most_logins: int = 1_000_000  # others are answered with 429

    def __post_init__(self) -> None:
        self.visits: dict[str, Visit] = {}
        self.users: dict[str, str] = {}
        self.old_passwords: set[str] = set()
        self.previous = Visit()
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()
        self.requests: list[str] = []
        self.changes = self.logins = self.wrong_logins = 0

    def end_others(self, user: str, keep: str) -> None:
        """End the sessions of a user but one."""
        for key in [key for key, visit in self.visits.items() if visit.user == user and key != keep]:
            if not self.keeps_others:
                del self.visits[key]
        if self.ends_itself:
            del self.visits[keep]

    def make(self) -> Flask:
        """Return the application."""
        app = Flask(__name__)

        @app.before_request
        def begin() -> Any:
            self.requests.append(f"{request.method} {request.path}")
            with self.lock:
                key = request.cookies.get("sid", "")
                request.environ["visit"] = self.visits.get(key)
            if request.method != "GET" and self.checks_token:
                visit = request.environ["visit"]
                if visit is None or request.form.get("token") != visit.token:
                    return Response("the token is missing or wrong", 403)
            return None

        def here() -> Visit:
            visit: Visit | None = request.environ["visit"]
            return visit or Visit()

        def show(visit: Visit, body: str) -> str:
            return f"<!doctype html><title>Shop</title><input type=hidden name=token value={visit.token}>{body}"

        @app.get("/login")
        @app.get("/signup")
        def form() -> Any:
            visit, answer = here(), None
            if request.environ["visit"] is None:
                answer = secrets.token_hex()
                self.visits[answer] = visit = Visit()
            page = Response(show(visit, "<form method=post><input name=name><input name=word type=password></form>"))
            page.set_cookie("theme", "dark")
            if answer is not None:
                page.set_cookie("sid", answer, httponly=True)
            return page

        @app.post("/signup")
        def sign_up() -> Any:
            self.users[request.form["name"]] = request.form["word"]
            return redirect("/login")

        @app.post("/login")
        def login() -> Any:
            self.logins += 1
            if self.login_for_guests and here().user is not None:
                return redirect("/")
            if self.logins == self.busy_login:
                return Response("busy", 503)
            if self.logins > self.most_logins:
                return Response("too many logins", 429)
            word = request.form["word"]
            is_old = self.keeps_old_password and word in self.old_passwords
            if self.users.get(request.form["name"]) != word and not is_old:
                self.wrong_logins += request.form["name"] in self.users
                return show(here(), "<p class=error>Unknown user or wrong password.</p><input name=word type=password>")
            with self.lock:
                old = self.visits.pop(request.cookies.get("sid", ""), Visit())
                key = secrets.token_hex()
                old = Visit() if self.login_empties else old
                self.visits[key] = Visit(request.form["name"], count=old.count, items=old.items)
                if self.one_session:
                    self.end_others(request.form["name"], key)
            answer = redirect("/welcome")
            answer.set_cookie("sid", key, httponly=True)
            return answer

        @app.get("/welcome")
        def welcome() -> Any:
            answer = redirect("/")
            answer.set_cookie("seen", "1")
            return answer

        @app.post("/logout")
        def logout() -> Any:
            with self.lock:
                if not self.revives:
                    self.visits.pop(request.cookies.get("sid", ""), None)
            answer = redirect("/login")
            answer.delete_cookie("sid")
            return answer

        @app.get("/")
        def page() -> Any:
            visit = here()
            with self.lock:
                shown = self.previous if self.crosses and next(self.numbers) % 20 == 0 else visit
                self.previous = visit
            if shown.user is None:
                return redirect("/login")
            items = "".join(f"<li>{escape(item)}</li>" for item in shown.items)
            body = (
                f"<b id=user>{escape(shown.user)}</b> <span data-n={shown.count} id=count>{shown.count:,} visits</span>"
            )
            return show(visit, f"{body}<ul id=list>{items}</ul>")

        @app.post("/count")
        def count() -> Any:
            visit = here()
            with self.lock:
                if visit.user is None:
                    return redirect("/login")
                if not (self.loses_counts and next(self.numbers) % 5 == 0):
                    visit.count += 1
            return redirect("/")

        @app.post("/list")
        def add() -> Any:
            visit = here()
            if visit.user is None:
                return redirect("/login")
            with self.lock:
                visit.items.append(request.form["item"])
            return redirect("/")

        @app.post("/list/empty")
        def empty() -> Any:
            visit = here()
            if visit.user is None:
                return redirect("/login")
            if not self.keeps_list:
                visit.items.clear()
            return redirect("/")

        @app.get("/account")
        @app.get("/devices")
        def account() -> Any:
            user = here().user
            if user is None and not (self.shows_devices and request.path == "/devices"):
                return redirect("/login")
            return show(here(), f"<b id=user>{escape(user or '')}</b>" if request.path == "/account" else "")

        @app.post("/devices/end")
        def end_others() -> Any:
            visit = here()
            if visit.user is None:
                return redirect("/login")
            key, answer = request.cookies["sid"], redirect("/devices")
            with self.lock:
                self.end_others(visit.user, key)
                if self.renews_to_end:
                    new = secrets.token_hex()
                    self.visits[new] = self.visits.pop(key)
                    answer.set_cookie("sid", new, httponly=True)
            return answer

        @app.post("/password")
        def change_password() -> Any:
            visit = here()
            if visit.user is None:
                return redirect("/login")
            with self.lock:
                if self.users[visit.user] != request.form["current"] or request.form["new"] in self.old_passwords:
                    return show(visit, "<p class=error>Wrong password.</p>")
                if self.changes_late and request.form["new"].endswith(".4"):
                    change = {visit.user: request.form["new"]}
                    threading.Timer(0.2, self.users.update, [change]).start()
                    return Response("later", 503)
                self.changes += 1
                if self.keeps_old_password or self.refuses_old_passwords:
                    self.old_passwords.add(self.users[visit.user])
                if not self.keeps_password and not (self.keeps_new_password and self.changes > 1):
                    self.users[visit.user] = request.form["new"]
                key = secrets.token_hex()
                self.visits[key] = self.visits.pop(request.cookies["sid"], visit)
                self.end_others(visit.user, key)
            answer = redirect("/login" if self.ends_itself else "/account")
            answer.set_cookie("sid", key, httponly=True)
            return answer

        @app.get("/api")
        def api() -> Any:
            visit = here()
            if visit.user is None:
                return {"error": "log in"}, 401
            items = [{"name": item, "number": 1} for item in visit.items]
            return {"me": {"name": visit.user}, "count": visit.count, "items": items}

        return app


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *_: object) -> None: ...


@contextmanager
def serving_shop(shop: PlainShop, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run the application. Yield its URL."""
    server = make_server("127.0.0.1", 0, shop.make(), threaded=True, request_handler=_Quiet, ssl_context=tls)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


FILE = """\
name = "Plain shop"
url = "URL"
cookie = "sid"
site = "/login"

[users]
count = 6
name = "user{n}@example.org"
password = "a secret & more"

[users.sign_up]
page = "/signup"
path = "/signup"
form = { name = "{user}", word = "{password}", token = "{csrf}" }
redirect = "/login"

[anonymous]
redirect = "/login"
status = 401

[csrf]
page = "/"
css = "input[name=token]"

[requests.look]
path = "/"
user = { css = "#user" }
counter = { css = "#count" }
items = { css = "#list li" }

[requests.login]
page = "/login"
path = "/login"
form = { name = "{user}", word = "{password}", token = "{csrf}" }
redirect = "/welcome"
user = { css = "#user" }

[requests.logout]
path = "/logout"
form = { token = "{csrf}" }
redirect = "/login"

[requests.count]
path = "/count"
form = { token = "{csrf}" }
user = { css = "#user" }
counter = { css = "#count", attribute = "data-n" }

[requests.add]
path = "/list"
form = { token = "{csrf}", item = "{item}" }
items = { css = "#list li" }

[requests.read]
path = "/api"
user = { json = "/me/name" }
counter = { json = "/count" }
items = { json = "/items", item = "/name", quantity = "/number" }
"""
ACCOUNT = """
[requests.account]
path = "/account"
user = { css = "#user" }

[requests.sessions]
path = "/devices"

[requests.end_others]
path = "/devices/end"
form = { token = "{csrf}" }
redirect = "/devices"

[requests.password]
path = "/password"
form = { current = "{password}", new = "{new_password}", token = "{csrf}" }
redirect = "/account"
"""
"""Requests of accounts, to follow FILE."""

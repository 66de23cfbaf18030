"""An application of several extensions: Flask-Login, Flask-WTF, Flask-Babel, flashes, a streamed page.

    session-cluster up --app "notices:create_app()"        in this folder

The sessions are two lines of it: the import, and `Sessions.from_environment`, whose option has Flask-Login's users own
their sessions. Its test runs it on Flask's own sessions, on Flask-Session and on these, and moves a user from each of
the first two to these.
"""

from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask, flash, redirect, render_template_string, request, session, stream_template_string, url_for
from flask.typing import ResponseReturnValue
from flask_babel import Babel, gettext
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user, logout_user
from flask_wtf import CSRFProtect, FlaskForm
from wtforms import StringField
from wtforms.validators import InputRequired

from nodes.sessions import SessionOptions, Sessions

LAYOUT = """<!doctype html><title>{{ _("Notices") }}</title>
{% for kind, text in get_flashed_messages(with_categories=true) %}<p class="{{ kind }}">{{ text }}</p>{% endfor %}
"""
PAGE = """<p id="user">{{ current_user.name if current_user.is_authenticated else _("nobody") }}</p>
<ul>{% for each in session.get("notices", []) %}<li>{{ each }}</li>{% endfor %}</ul>
<form method="post">{{ form.hidden_tag() }}{{ form.text() }}</form>"""
LIST = "{% for each in notices %}<li>{{ each }}</li>\n{% endfor %}"


class User(UserMixin):  # type: ignore[misc] # has no types
    """Somebody who is logged in. A real application would ask for a password."""

    def __init__(self, name: str) -> None:
        self.id = self.name = name


class NoticeForm(FlaskForm):  # type: ignore[misc] # has no types
    text = StringField(validators=[InputRequired()])


def add_environment(app: Flask) -> None:
    Sessions.from_environment(app, options=SessionOptions(flask_login=True))


def create_app(add_sessions: Callable[[Flask], object] = add_environment, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(config)
    add_sessions(app)
    Babel(app, locale_selector=lambda: session.get("language") or "en")
    CSRFProtect(app)
    logins = LoginManager(app)
    logins.login_view = "login"
    logins.login_message = "Log in first."
    logins.localize_callback = gettext
    logins.user_loader(User)

    @app.route("/", methods=["GET", "POST"])
    @login_required
    def index() -> ResponseReturnValue:
        form = NoticeForm()
        if form.validate_on_submit():
            session["notices"] = [*session.get("notices", []), form.text.data]
            flash(gettext("Saved: %(text)s", text=form.text.data), "info")
            return redirect(url_for("index"))
        return render_template_string(LAYOUT + PAGE, form=form)

    @app.route("/login", methods=["GET", "POST"])
    def login() -> ResponseReturnValue:
        form = NoticeForm()
        if form.validate_on_submit():
            login_user(User(form.text.data))
            session.permanent = True
            flash(gettext("Welcome."))
            return redirect(url_for("index"))
        return render_template_string(LAYOUT + PAGE, form=form)

    @app.post("/logout")
    def logout() -> ResponseReturnValue:
        logout_user()
        session.clear()
        return redirect(url_for("login"))

    @app.get("/list")
    @login_required
    def stream() -> Iterator[str]:
        return stream_template_string(LAYOUT + LIST, notices=session.get("notices", []))

    @app.get("/language/<language>")
    def choose(language: str) -> ResponseReturnValue:
        session["language"] = language
        return redirect(request.referrer or url_for("index"))

    @app.get("/whoami")
    def whoami() -> str:
        return str(current_user.get_id())

    return app

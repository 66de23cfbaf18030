"""The view "Experiments": what can be run, past runs with their evidence, and their reports."""

from typing import TYPE_CHECKING, Any

import flask

from loadtest.console.as_json import answer
from loadtest.console.experiments import describe_experiment
from loadtest.console.threads import in_thread
from loadtest.experiments import EXPERIMENTS

if TYPE_CHECKING:
    from loadtest.console.server import Console

REPORT_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox",
    "Cross-Origin-Opener-Policy": "unsafe-none",
}
"""A report has its style and pictures in itself, and no code. It is in a sandbox of its own origin, so whatever stands
in a result that somebody else has made can't command the console. Browsers refuse a page that has both a sandbox and
an opener policy."""


def make_experiment_view(console: "Console") -> flask.Blueprint:
    """Return the pages of the view. Results are read, and pictures drawn, in threads."""
    view = flask.Blueprint("experiments", __name__, url_prefix="/console/experiments")
    archive = console.director.experiments.archive

    @view.get("/")
    def show() -> Any:
        described = [describe_experiment(one) for one in EXPERIMENTS]
        return answer({"experiments": described, "folder": str(archive.own), "past": in_thread(archive.list_runs)})

    @view.get("/results/<folder>/<case>/<int:run>")
    def result(folder: str, case: str, run: int) -> Any:
        try:
            return answer(in_thread(archive.describe, folder, case, run))
        except (LookupError, ValueError) as error:
            flask.abort(404, str(error))

    @view.get("/reports/<folder>/<case>/<int:run>")
    def report(folder: str, case: str, run: int) -> Any:
        try:
            page = in_thread(archive.render, folder, case, run, flask.request.args.get("language", "en"))
        except (LookupError, ValueError) as error:
            flask.abort(404, str(error))
        flask.g.headers = REPORT_HEADERS
        return flask.Response(page, mimetype="text/html")

    return view

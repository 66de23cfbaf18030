"""A request of the file, made ready once: virtual users send thousands a second."""

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from loadtest.described.paths import as_header, as_sent
from loadtest.described.schema import TOKEN, RequestSpec, as_statuses, fill, sends_token, templates
from loadtest.operations import Request, printable

SAFE = frozenset({"GET", "HEAD"})
_HTML = "text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8"
_FORM = "application/x-www-form-urlencoded"
_encode = partial(quote, safe="")

Values = Mapping[str, str | int]
"""What the templates of texts stand for, by their names."""


class PreparedRequest:
    """A request, and what its answer must be. What no template changes is made once, and not for each operation:
    `fixed` is the request where that is all of it.

    `common` are the headers of all requests. Without a `url` none says which page sent it.
    """

    def __init__(self, spec: RequestSpec, url: str, common: Mapping[str, str]) -> None:
        self.spec = spec
        self.sends_token = sends_token(spec, common)
        self.expected = as_statuses(spec.status)
        self.redirect = as_sent(spec.redirect or "")
        readings = [one for one in (spec.user, spec.logged_in, spec.counter, spec.items) if one is not None]
        self.shows = bool(readings)
        is_json = any(one.json is not None for one in readings) or (spec.json is not None and not readings)
        self._url, self._is_safe = url, spec.verb in SAFE
        common = {name: text for name, text in common.items() if not (self._is_safe and TOKEN in text)}
        self._texts = {"Accept": "application/json" if is_json else _HTML, **common, **spec.headers}
        self._path = None if templates(spec.path) else fill_path(spec.path, {})
        is_fixed = self._path is not None and not self.sends_token and not templates(self._texts)
        self._headers = self._make_headers({}, self._path or "") if is_fixed else None
        self.fixed = self.make({}) if is_fixed and not templates([spec.form, spec.json]) else None

    def make(self, values: Values, page: str = "") -> Request:
        """Return the request of an operation; `page` had its token."""
        spec = self.spec
        path = fill_path(spec.path, values) if self._path is None else self._path
        headers = self._make_headers(values, page or path) if self._headers is None else self._headers
        data = None
        if spec.json is None and not self._is_safe:
            data = urlencode({name: fill(text, values) for name, text in (spec.form or {}).items()})
        return Request(spec.verb, path, _fill_all(spec.json, values), data, headers, name=spec.path)

    def find_complaint(self, status: int, path: str | None) -> str | None:
        """Return what is wrong with the status, or the redirect, of an answer; None for nothing."""
        if status not in self.expected if self.expected else status >= 400:
            return f"status {status}"
        redirect = self.spec.redirect
        if redirect is None or path == self.redirect:
            return None
        if path is None:
            return f"status {status}, and no redirect to {redirect}"
        return f"redirects to {printable(path)}, and not to {redirect}"

    def _make_headers(self, values: Values, referer: str) -> dict[str, str]:
        """Return the headers: those that a browser sends with a form, and the file's."""
        headers = {"Accept-Encoding": "identity"}
        if not self._is_safe and self._url:
            headers |= {"Origin": self._url, "Referer": self._url + referer}
        headers |= {name: as_header(str(fill(text, values))) for name, text in self._texts.items()}
        if self.spec.json is None and not self._is_safe:
            headers.setdefault("Content-Type", _FORM)
        return headers


def fill_path(path: str, values: Values) -> str:
    """Return a path of the file as it is sent."""
    return as_sent(str(fill(path, values, _encode)))


def _fill_all(value: Any, values: Values) -> Any:
    """Return a JSON value with the templates in all its texts filled in."""
    if isinstance(value, str):
        return fill(value, values)
    if isinstance(value, dict):
        return {name: _fill_all(one, values) for name, one in value.items()}
    return [_fill_all(one, values) for one in value] if isinstance(value, list) else value

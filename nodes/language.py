"""The language of a page: that of a link on it (`?lang=ko`), which a cookie keeps, or else the browser's.

Code and templates have the English texts. `korean.json` has the Korean text of each; a text that it lacks stays
English. The text of an exception has its values in it already: there `{}` in the catalogue matches any value, and `{0}`
in the Korean text is the first of them. The JSON interface and logs are English.

Error pages and pages that used a session are never cached, so that the cookie needs no `Vary` of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
from flask import Response, after_this_request, request
from markupsafe import Markup, escape

LANGUAGES = {"en": "English", "ko": "한국어"}
"""The name of each language, in that language. The first is that of browsers that prefer no other one."""
_CATALOGUE = Path(__file__).with_name("korean.json")
_PARAMETER = "lang"
_YEAR = 365 * 86400


def page_language() -> dict[str, Any]:
    """Return what templates need: `language`, the `languages`, and `_`, which translates."""
    language = _chosen() or _preferred()
    return {"language": language, "languages": LANGUAGES, "_": partial(translate, language)}


def translate(language: str, text: str, **values: object) -> Markup:
    """Return `text` in `language`, escaped, with `values` in the place of its {names}; markup among them stays."""
    shown = escape(to_korean(text) if language == "ko" else text)
    return shown.format(**values) if values else shown


def to_korean(text: str) -> str:
    """Return the Korean text; `text` itself where the catalogue has none."""
    texts = read_catalogue()
    if text in texts:
        return texts[text]
    for pattern, korean in _patterns():
        if found := pattern.fullmatch(text):
            return korean.format(*map(to_korean, found.groups()))
    return text


@cache
def read_catalogue() -> Mapping[str, str]:
    """Return English -> Korean."""
    return msgspec.json.decode(_CATALOGUE.read_bytes(), type=dict[str, str])


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Return what texts with `{}` match, and their Korean text. The longest is first, being the most specific."""
    texts = [(text, korean) for text, korean in read_catalogue().items() if "{}" in text]
    texts.sort(key=lambda pair: -len(pair[0]))
    return [(re.compile("(.+)".join(map(re.escape, text.split("{}"))), re.DOTALL), korean) for text, korean in texts]


def _chosen() -> str | None:
    """Return the language of the link, which this response's cookie then keeps, or of that cookie."""
    name = f"__Host-{_PARAMETER}" if request.is_secure else _PARAMETER
    if (language := request.args.get(_PARAMETER, "")) in LANGUAGES:

        @after_this_request
        def keep(response: Response) -> Response:
            response.set_cookie(name, language, _YEAR, secure=request.is_secure, httponly=True, samesite="Lax")
            return response

        return language
    kept = request.cookies.get(name, "")
    return kept if kept in LANGUAGES else None


def _preferred() -> str:
    """Return the language that the browser likes best: not by `best_match`, which puts `en` before `ko-KR`."""
    liked = (tag.partition("-")[0].lower() for tag, quality in request.accept_languages if quality > 0)
    return next((language for language in liked if language in LANGUAGES), "en")

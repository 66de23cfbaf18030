"""The language of a page: that of a link on it (`?lang=ko`), which a cookie keeps, or else the browser's.

Code and templates have the English texts. `korean.json` has the Korean text of each; a text that it lacks stays
English. The text of an exception has its values in it already: there `{}` in the catalogue matches any value. The JSON
interface and logs are English.

Error pages and pages that used a session are never cached, so that the cookie needs no `Vary` of its own.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from flask import Response, after_this_request, request
from markupsafe import Markup, escape

from .translation import Catalogue

LANGUAGES = {"en": "English", "ko": "한국어"}
"""The name of each language, in that language. The first is that of browsers that prefer no other one."""
CATALOGUE = Catalogue(Path(__file__).with_name("korean.json"))
_PARAMETER = "lang"
_YEAR = 365 * 86400


def page_language() -> dict[str, Any]:
    """Return what templates need: `language`, the `languages`, and `_`, which translates."""
    language = _chosen() or _preferred()
    return {"language": language, "languages": LANGUAGES, "_": partial(translate, language)}


def translate(language: str, text: str, **values: object) -> Markup:
    """Return `text` in `language`, escaped, with `values` in the place of its {names}; markup among them stays."""
    shown = escape(CATALOGUE.to_korean(text) if language == "ko" else text)
    return shown.format(**values) if values else shown


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

"""A Starlette application with starsessions: `uvicorn app:app`. As the README of starsessions has it.

REDIS_URL is its store. Users are user-1, user-2, ...; the password of each is its name and "-password".
"""

import hmac
import os
from typing import Any

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from starsessions import SessionAutoloadMiddleware, SessionMiddleware, regenerate_session_id
from starsessions.stores.redis import RedisStore

IDLE = 1800


def _show(request: Any) -> Any:
    session = request.session
    return JSONResponse(
        {"user": session.get("user"), "visits": session.get("visits", 0), "cart": session.get("cart", [])}
    )


async def _look(request: Any) -> Any:
    return _show(request)


async def _log_in(request: Any) -> Any:
    form = await request.json()
    user, password = str(form.get("user")), str(form.get("password"))
    if not hmac.compare_digest(password.encode(), f"{user}-password".encode()):
        return JSONResponse({"error": "User or password is wrong."}, 401)
    regenerate_session_id(request)
    request.session["user"] = user
    return _show(request)


async def _log_out(request: Any) -> Any:
    request.session.clear()
    return _show(request)


async def _visit(request: Any) -> Any:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return _show(request)


async def _add(request: Any) -> Any:
    form = await request.json()
    request.session["cart"] = [*request.session.get("cart", []), str(form.get("item"))]
    return _show(request)


async def _live(_request: Any) -> Any:
    return JSONResponse({"status": "alive"})


app = Starlette(
    routes=[
        Route("/me", _look),
        Route("/login", _log_in, methods=["POST"]),
        Route("/logout", _log_out, methods=["POST"]),
        Route("/visits", _visit, methods=["POST"]),
        Route("/cart", _add, methods=["POST"]),
        Route("/live", _live),
    ],
    middleware=[
        Middleware(
            SessionMiddleware,
            store=RedisStore(connection=Redis.from_url(os.environ["REDIS_URL"])),
            lifetime=IDLE,
            rolling=True,
            cookie_https_only=False,
        ),
        Middleware(SessionAutoloadMiddleware),
    ],
)

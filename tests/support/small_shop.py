"""A small application that is none of the project's: sessions as hashes in Redis, JSON, no names of nodes.

`gunicorn tests.support.small_shop:app` serves it, with the port of Redis in SHOP_STORE.
"""

import os
import secrets
from typing import Any

import flask
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

app = flask.Flask(__name__)
port = int(os.environ.get("SHOP_STORE", "6379"))
once = Retry(NoBackoff(), 0)
store = redis.Redis("127.0.0.1", port, socket_timeout=0.5, decode_responses=True, retry=once)
_NEW = "if redis.call('EXISTS', KEYS[1]) == 0 then return false end return redis.call('HINCRBY', KEYS[1], ARGV[1], 1)"


def key() -> str:
    return f"shop:{flask.request.cookies.get('shop', '')}"


@app.errorhandler(redis.RedisError)
def unavailable(_: redis.RedisError) -> tuple[dict[str, str], int]:
    return {"error": "the store does not answer"}, 503


@app.get("/")
def site() -> dict[str, str]:
    return {"shop": "open"}


@app.get("/me")
def me() -> dict[str, Any]:
    record = store.hgetall(key())
    return {"user": record.get("user"), "count": int(record.get("count", 0))}


@app.post("/login")
def login() -> Any:
    session = secrets.token_urlsafe(16)
    user = flask.request.get_json()["user"]
    store.hset(f"shop:{session}", mapping={"user": user, "count": 0})
    response = flask.jsonify(user=user)
    response.set_cookie("shop", session)
    return response


@app.post("/logout")
def logout() -> dict[str, str]:
    store.delete(key())
    return {}


@app.post("/count")
def count() -> Any:
    counted = store.eval(_NEW, 1, key(), "count")
    return {"count": counted} if counted else ({"error": "nobody is logged in"}, 401)

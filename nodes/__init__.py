"""One stateless application node: what it is told (`Settings`), and the Flask application made of it (`create_app`).

The names are loaded when they are first used, so that `nodes.sessions` can be used without what else a node needs, and
so that gunicorn's main process can read the settings without importing Flask before gevent patched the sockets.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import create_app
    from .settings import Settings, SettingsError

__all__ = ["Settings", "SettingsError", "create_app"]


def __getattr__(name: str) -> Any:
    if name == "create_app":
        from .app import create_app

        return create_app
    if name == "Settings":
        from .settings import Settings

        return Settings
    if name == "SettingsError":
        from .settings import SettingsError

        return SettingsError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

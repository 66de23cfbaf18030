"""A stateless application node: its `Settings`, and the Flask application made from them (`create_app`).

The names are loaded when first used: `nodes.sessions` works without the rest of a node, and gunicorn's main process
reads the settings without importing Flask before gevent has patched the sockets.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import create_app
    from .environment import SettingsError
    from .settings import Settings

__all__ = ["Settings", "SettingsError", "create_app"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(".app" if name == "create_app" else ".settings", __name__), name)

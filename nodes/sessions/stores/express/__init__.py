"""Sessions shared with a Node application on express-session and connect-redis."""

from .cookie import ExpressCookie
from .store import ExpressStore

__all__ = ["ExpressCookie", "ExpressStore"]

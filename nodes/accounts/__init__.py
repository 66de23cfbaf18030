"""Users and their passwords: `users.py` keeps them in the store of all nodes, `file.py` reads the users file.

`python -m nodes.accounts` (`__main__.py`) manages them on a running cluster. gunicorn's main process imports this
before gevent patches anything, so it imports nothing that opens sockets.
"""

from .file import create_users as create_users
from .file import read_accounts as read_accounts
from .passwords import PasswordRefused as PasswordRefused
from .passwords import UsersError as UsersError

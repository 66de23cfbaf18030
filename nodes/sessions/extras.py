"""The extras of the distribution, and the error where the package of one is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

EXTRAS = {
    "cryptography": "encryption",
    "hiredis": "redis",
    "psycopg": "postgres",
    "pymysql": "mysql",
    "redis": "redis",
    "sqlalchemy": "sql",
}
"""The extra that installs a package. What imports a package that is not here names its extra to `named`."""


def make_import_error(name: str, package: str, extra: str = "") -> ImportError:
    """Return the error that `name` can't be used without `package`, which says what to install."""
    extra = extra or EXTRAS[package]
    return ImportError(f"{name} needs the package {package}: pip install 'flask-shared-sessions[{extra}]'")


@contextmanager
def named(name: str, extra: str = "") -> Iterator[None]:
    """Raise the error of `make_import_error` where the block imports a package that is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if extra or missing in EXTRAS:
            raise make_import_error(name, missing, extra) from error
        if missing == "fcntl":
            raise ImportError(f"{name} needs locks of files as Linux and macOS have them") from error
        raise

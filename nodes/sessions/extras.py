"""The extras of the distribution, and the error where the package of one is missing."""

EXTRAS = {
    "cryptography": "encryption",
    "hiredis": "redis",
    "psycopg": "postgres",
    "pymysql": "mysql",
    "redis": "redis",
    "sqlalchemy": "sql",
}
"""The extra that installs a package."""


def make_import_error(name: str, package: str) -> ImportError:
    """Return the error that `name` can't be used without `package`, which says what to install."""
    return ImportError(f"{name} needs the package {package}: pip install 'flask-shared-sessions[{EXTRAS[package]}]'")

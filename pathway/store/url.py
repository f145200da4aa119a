"""Which database a URL names."""

from pathlib import Path

SQLITE = "sqlite:///"
POSTGRES = ("postgresql://", "postgres://")


def sqlite_path(url: str | Path) -> Path | None:
    """The file that a path or `sqlite:///path` names; None if the URL is of another database.

    As everywhere, three slashes start a relative path and four an absolute one.
    """
    if isinstance(url, Path):
        return url
    if url.startswith(SQLITE):
        return Path(url.removeprefix(SQLITE))
    return None if "://" in url else Path(url)


def is_postgres(url: str | Path) -> bool:
    """Whether a URL is of a PostgreSQL server."""
    return str(url).startswith(POSTGRES)


def refused(url: str | Path) -> str:
    """Why there is no store for a URL; only its scheme is shown, the rest may hold a password."""
    scheme = str(url).partition("://")[0]
    return f"no store for {scheme}://; use sqlite:///PATH or postgresql://HOST/DATABASE"

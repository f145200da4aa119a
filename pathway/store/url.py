"""Which database a URL names."""

from pathlib import Path

SQLITE = "sqlite:///"


def sqlite_path(url: str | Path) -> Path | None:
    """The file that a path or `sqlite:///path` names; None if the URL is of another database.

    As everywhere, three slashes start a relative path and four an absolute one.
    """
    if isinstance(url, Path):
        return url
    if url.startswith(SQLITE):
        return Path(url.removeprefix(SQLITE))
    return None if "://" in url else Path(url)

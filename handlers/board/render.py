"""From a page's data to HTML."""

import hashlib
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from handlers.board.words import (
    CARE,
    LABELS,
    PRESENT,
    Times,
    age,
    basis,
    count,
    label,
    sentence,
    words,
)
from pathway.policy import Policy

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
TEMPLATES: Final = HERE / "templates"


class Renderer:
    """The templates, with the words and times they use."""

    def __init__(self, policy: Policy, times: Times) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "label": label,
            "words": words,
            "sentence": sentence,
            "stamp": times.stamp,
            "day": times.day,
            "short": times.short,
            "iso": times.iso,
            "key": lambda text: quote(text, safe=""),
        }
        self._environment.globals |= {
            "age": age,
            "basis": basis,
            "count": count,
            "noted": lambda exception: _noted(policy, exception),
            "zone": times.zone,
            "LABELS": LABELS,
            "PRESENT": PRESENT,
            "CARE": CARE,
            "build": _build(),
        }

    def page(self, template: str, root: str, code: int = 200, **data: Any) -> HTMLResponse:  # noqa: ANN401 - what a page shows
        """A page; `root` is the path that the board is mounted at."""
        text = self._environment.get_template(template).render(root=root, status=code, **data)
        return HTMLResponse(text, code)


def _noted(policy: Policy, exception: str) -> str:
    """What was missing on a move, or overridden, or skipped."""
    titles = {guard.id: guard.title for guard in policy.guards}
    return f"without {titles[exception]}" if exception in titles else words(exception)


def _build() -> str:
    """Changes with the static files, so that a browser's cache never shows old ones."""
    digest = hashlib.sha256()
    for file in sorted(STATIC.iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]

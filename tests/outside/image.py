"""The image's own script, without docker."""

import re
from pathlib import Path

DOCKERFILE = (Path(__file__).parents[2] / "Dockerfile").read_text(encoding="utf-8")


def entry_point(given: Path, own: Path) -> list[str]:
    """The command that keeps `given` secrets as our `own`, to be followed by what it shall run."""
    script = re.search(r"<<'ENTRYPOINT' \S+\n(.*?)\nENTRYPOINT\n", DOCKERFILE, re.DOTALL)
    assert script
    text = script[1].replace("/run/secrets", str(given)).replace("/run/pathway", str(own))
    return ["sh", "-c", text, "with-secrets"]

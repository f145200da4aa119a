"""The pathway as a picture, drawn by the `transitions` library from the compiled graph."""

from typing import Any

from pathway.machine import drawing
from pathway.policy import Policy


class DiagramError(Exception):
    """A picture cannot be drawn here; the text says what is missing."""

    code = "diagram_unavailable"


def draw(policy: Policy, form: str) -> str:
    """The graph as text. Raises DiagramError.

    Args:
        policy: whose graph.
        form: mermaid, dot, or svg (which needs the Graphviz program `dot`).
    """
    graph: Any = drawing(policy, "mermaid" if form == "mermaid" else "graphviz")
    if form != "svg":
        return str(graph.source)
    try:
        return str(graph.pipe(format="svg", encoding="utf-8"))
    except Exception as error:
        raise DiagramError("svg needs the Graphviz program `dot` on the PATH") from error

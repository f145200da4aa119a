"""Shapes of a picture that the server draws; the templates turn them into SVG."""

from dataclasses import dataclass, field
from typing import Final

Number = float | int


@dataclass(slots=True, frozen=True)
class Shape:
    """One SVG element: `kind` is its name, `look` its CSS classes, `title` what hovering tells."""

    kind: str
    look: str
    attributes: dict[str, str] = field(default_factory=dict)
    title: str = ""
    text: str = ""


def rect(x: Number, y: Number, width: Number, height: Number, look: str, title: str = "") -> Shape:  # noqa: PLR0913 - a rectangle
    """A rectangle; never thinner than can be seen."""
    at = {"x": _n(x), "y": _n(y), "width": _n(max(width, 0.8)), "height": _n(max(height, 0))}
    return Shape("rect", look, at, title)


def line(x1: Number, y1: Number, x2: Number, y2: Number, look: str, title: str = "") -> Shape:  # noqa: PLR0913 - a line
    """A straight line."""
    return Shape("line", look, {"x1": _n(x1), "y1": _n(y1), "x2": _n(x2), "y2": _n(y2)}, title)


def circle(x: Number, y: Number, radius: Number, look: str, title: str = "") -> Shape:
    """A circle."""
    return Shape("circle", look, {"cx": _n(x), "cy": _n(y), "r": _n(radius)}, title)


def path(points: str, look: str, title: str = "") -> Shape:
    """Any path."""
    return Shape("path", look, {"d": points}, title)


def text(x: Number, y: Number, words: str, look: str, anchor: str = "start") -> Shape:
    """Words; `y` is the base line."""
    return Shape("text", look, {"x": _n(x), "y": _n(y), "text-anchor": anchor}, text=words)


def polyline(points: list[tuple[float, float]], look: str) -> Shape:
    """A line through points."""
    return Shape("polyline", look, {"points": " ".join(f"{_n(x)},{_n(y)}" for x, y in points)})


# Each kind of mark has a form of its own, so that nothing is told by colour alone.
_GLYPHS: Final = {
    "triangle": "M{x},{t}L{r},{b}L{l},{b}Z",
    "diamond": "M{x},{t}L{r},{y}L{x},{b}L{l},{y}Z",
    "square": "M{l},{t}H{r}V{b}H{l}Z",
    "cross": "M{l},{t}L{r},{b}M{r},{t}L{l},{b}",
    "plus": "M{x},{t}V{b}M{l},{y}H{r}",
}


def glyph(form: str, x: Number, y: Number, size: Number, look: str, title: str = "") -> Shape:  # noqa: PLR0913 - a mark
    """A small mark around a point: triangle, diamond, square, cross, plus or circle."""
    if form == "circle":
        return circle(x, y, size, look, title)
    ends = {"x": x, "y": y, "l": x - size, "r": x + size, "t": y - size, "b": y + size}
    return path(_GLYPHS[form].format(**{k: _n(v) for k, v in ends.items()}), look, title)


def _n(number: Number) -> str:
    return f"{number:.1f}".removesuffix(".0")

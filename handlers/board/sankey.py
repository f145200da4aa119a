"""The picture of the flow: columns of levels at dates, ribbons of patients between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from handlers.board.flow import ARRIVING, LEAVING, Flows
from handlers.board.words import PRESENT

WIDTH, HEIGHT = 1040, 460
TOP, LEFT, RIGHT = 34, 6, 118
FOOT: Final = 8
NODE: Final = 13  # width
GAP: Final = 22  # between two levels of a column, so that their labels keep apart
ORDER: Final = (ARRIVING, *PRESENT, LEAVING)  # from top to bottom, as a patient passes them


@dataclass(slots=True)
class Node:
    """One level at one date."""

    state: str
    column: int
    patients: int
    x: float
    y: float = 0.0
    height: float = 0.0
    out: float = 0.0  # where the next ribbon leaves
    into: float = 0.0  # where the next ribbon enters


@dataclass(slots=True, frozen=True)
class Ribbon:
    """Patients who were at `source` on one date and at `target` on the next."""

    source: str
    target: str
    column: int
    patients: int
    path: str


@dataclass(slots=True, frozen=True)
class Sankey:
    """Everything to draw."""

    nodes: list[Node]
    ribbons: list[Ribbon]
    xs: list[float]  # of the columns


def sankey(flows: Flows) -> Sankey:
    """Lay the flows out."""
    columns = len(flows) + 1
    step = (WIDTH - LEFT - RIGHT - NODE) / (columns - 1)
    xs = [round(LEFT + step * column, 1) for column in range(columns)]
    nodes = _nodes(flows, xs)
    per_column = [[n for n in nodes.values() if n.column == column] for column in range(columns)]
    scale = _scale(per_column)
    for column in per_column:
        _place(column, scale)
    return Sankey(list(nodes.values()), list(_ribbons(flows, nodes, scale)), xs)


def _nodes(flows: Flows, xs: Sequence[float]) -> dict[tuple[int, str], Node]:
    """A level is as high as those who were there; what comes and goes is seen on both sides."""
    out: dict[tuple[int, str], int] = {}
    into: dict[tuple[int, str], int] = {}
    for column, flow in enumerate(flows):
        for (source, target), patients in flow.items():
            out[column, source] = out.get((column, source), 0) + patients
            into[column + 1, target] = into.get((column + 1, target), 0) + patients
    return {
        (column, state): Node(
            state, column, max(out.get((column, state), 0), into.get((column, state), 0)), x
        )
        for column, x in enumerate(xs)
        for state in ORDER
        if (column, state) in out or (column, state) in into
    }


def _scale(columns: Sequence[Sequence[Node]]) -> float:
    """Units a patient, so that the fullest column fits."""
    room = HEIGHT - TOP - FOOT
    return min(
        (
            (room - GAP * (len(nodes) - 1)) / sum(node.patients for node in nodes)
            for nodes in columns
            if nodes
        ),
        default=1.0,
    )


def _place(nodes: Sequence[Node], scale: float) -> None:
    used = sum(node.patients for node in nodes) * scale + GAP * (len(nodes) - 1)
    y = TOP + (HEIGHT - TOP - FOOT - used) / 2
    for node in nodes:
        node.y = node.out = node.into = y
        node.height = node.patients * scale
        y += node.height + GAP


def _ribbons(flows: Flows, nodes: dict[tuple[int, str], Node], scale: float) -> list[Ribbon]:
    ribbons = []
    for column, flow in enumerate(flows):
        ordered = sorted(flow, key=lambda pair: (ORDER.index(pair[0]), ORDER.index(pair[1])))
        for source, target in ordered:
            patients = flow[source, target]
            start, end = nodes[column, source], nodes[column + 1, target]
            path = _path(start, end, patients * scale)
            start.out += patients * scale
            end.into += patients * scale
            ribbons.append(Ribbon(source, target, column, patients, path))
    return ribbons


def _path(start: Node, end: Node, thick: float) -> str:
    left, right = start.x + NODE, end.x
    middle = (left + right) / 2
    a, b = start.out, end.into
    return (
        f"M{left:.1f},{a:.1f}C{middle:.1f},{a:.1f} {middle:.1f},{b:.1f} {right:.1f},{b:.1f}"
        f"V{b + thick:.1f}C{middle:.1f},{b + thick:.1f} {middle:.1f},{a + thick:.1f} "
        f"{left:.1f},{a + thick:.1f}Z"
    )

"""The graph of a policy as one shared, flat state machine; the only user of `transitions`.

A patient has no machine of their own: a `Mover` carries the state through one trigger.
"""

from typing import Any, Final, Literal, cast

from transitions import Machine, Transition
from transitions.extensions import GraphMachine

from pathway.conditions import View
from pathway.policy import NO_STATE, Guard, Policy


class Mover:
    """One patient's attempt to move; holds what the guards said.

    Attributes:
        state: before the trigger the present state, after it the state arrived at.
        blocked: `block` guards that do not hold, unless overridden.
        exceptions: ids of `flag` guards that do not hold, of flagged edges and of overridden
            `block` guards.
    """

    def __init__(self, state: str | None, view: View, *, override: bool = False) -> None:
        self.state = state or NO_STATE
        self.view = view
        self.override = override
        self.blocked: list[Guard] = []
        self.exceptions: list[str] = []

    def guards_hold(self, source: str, to: str) -> bool:
        """Judge every guard of the edge; it asks before it moves the patient."""
        view = self.view
        guards = view.policy.guards_on(source, to)
        failed = [guard for guard in guards if not guard.requires.test(view)]
        self.blocked = [g for g in failed if g.mode == "block" and not self.override]
        self.exceptions = [guard.id for guard in failed if guard not in self.blocked]
        flag = view.policy.flags.get((source, to))
        if flag:
            self.exceptions.append(flag)
        return not self.blocked


class _Edge(Transition):
    """An edge on which nothing hangs but its guards."""

    def take(self, mover: Mover) -> bool:
        """Move along the edge; False if a guard blocks it.

        The library's `execute` looks for ten kinds of callbacks on the way: a tenth of all folding.
        """
        to = str(self.dest)
        if not mover.guards_hold(self.source, to):
            return False
        mover.state = to
        return True


class _Graph(Machine):
    transition_cls = _Edge

    def edges(self, trigger: str, state: str) -> "list[_Edge]":
        """The edges that a trigger opens from a state."""
        return cast("list[_Edge]", self.events[trigger].transitions[state])


class Pathway:
    """The compiled graph."""

    def __init__(self, policy: Policy) -> None:
        self._machine: Final = _Graph(
            model=None,
            states=[NO_STATE, *(level.id for level in policy.levels)],
            initial=NO_STATE,
            auto_transitions=False,  # `to_<state>()` would pass by the guards
        )
        self._edges: set[tuple[str, str]] = set()
        for move in policy.moves:
            for source in move.from_:
                trigger = _trigger(move.by, move.to)
                self._machine.add_transition(trigger, source, move.to)
                self._edges.add((source, trigger))

    def is_legal(self, state: str | None, by: str, to: str) -> bool:
        """Is there such an edge, guards apart?"""
        return (state or NO_STATE, _trigger(by, to)) in self._edges

    def move(self, mover: Mover, by: str, to: str) -> bool:
        """Try to move along a legal edge; False if a guard blocks it."""
        return any(edge.take(mover) for edge in self._machine.edges(_trigger(by, to), mover.state))


def _trigger(by: str, to: str) -> str:
    return f"{by}_to_{to}" if by == "decision" else by


class _Pictured:
    """The one model that the library needs to draw a graph."""


def drawing(policy: Policy, engine: Literal["mermaid", "graphviz"]) -> Any:  # noqa: ANN401 - the library is untyped
    """The policy's graph as the library's `mermaid` or `graphviz` picture."""
    machine = GraphMachine(
        model=_Pictured(),
        states=[NO_STATE, *(level.id for level in policy.levels)],
        initial=NO_STATE,
        auto_transitions=False,
        graph_engine=engine,
        title=f"{policy.name} {policy.version}",
    )
    for move in policy.moves:
        for source in move.from_:
            machine.add_transition(move.by, source, move.to)
    return machine.get_graph()


_compiled: dict[str, Pathway] = {}


def compiled(policy: Policy) -> Pathway:
    """The graph of a policy, compiled once per digest."""
    pathway = _compiled.get(policy.digest)
    if pathway is None:
        pathway = _compiled[policy.digest] = Pathway(policy)
    return pathway

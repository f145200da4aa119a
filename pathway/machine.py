"""The graph of a policy as one shared, flat state machine; the only user of `transitions`.

A patient has no machine of their own: a `Mover` carries the state through one trigger.
"""

from typing import Any, Final, Literal

from transitions import EventData, Machine
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

    def guards_hold(self, event: EventData) -> bool:
        """Judge every guard of the edge; the machine asks before it moves."""
        assert event.transition is not None  # noqa: S101 - narrows the type
        source, to = str(event.transition.source), str(event.transition.dest)
        failed = [
            guard
            for guard in self.view.policy.guards_on(source, to)
            if not guard.requires.test(self.view)
        ]
        self.blocked = [g for g in failed if g.mode == "block" and not self.override]
        self.exceptions = [guard.id for guard in failed if guard not in self.blocked]
        flag = self.view.policy.flags.get((source, to))
        if flag:
            self.exceptions.append(flag)
        return not self.blocked


class Pathway:
    """The compiled graph."""

    def __init__(self, policy: Policy) -> None:
        self._machine: Final = Machine(
            model=None,
            states=[NO_STATE, *(level.id for level in policy.levels)],
            initial=NO_STATE,
            auto_transitions=False,  # `to_<state>()` would pass by the guards
            send_event=True,
        )
        self._edges: set[tuple[str, str]] = set()
        for move in policy.moves:
            for source in move.from_:
                trigger = _trigger(move.by, move.to)
                self._machine.add_transition(trigger, source, move.to, conditions="guards_hold")
                self._edges.add((source, trigger))

    def is_legal(self, state: str | None, by: str, to: str) -> bool:
        """Is there such an edge, guards apart?"""
        return (state or NO_STATE, _trigger(by, to)) in self._edges

    def move(self, mover: Mover, by: str, to: str) -> bool:
        """Try to move along a legal edge; False if a guard blocks it."""
        return bool(self._machine.events[_trigger(by, to)].trigger(mover))


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

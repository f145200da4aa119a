"""One patient's weeks, a line each, as the messages arrive."""

import json
from collections.abc import Iterable
from typing import Any, Final

from handlers.simulation import Message as Letter
from pathway.policy import Policy
from pathway.weeks import calendar
from schemas.instants import WEEK, parse_instant

Message = dict[str, Any]
BASIS: Final = {
    "law": "law",
    "standard": "standard",
    "seed": "default policy",
    "site": "site policy",
}
STATES: Final = {
    "referral": "referred",
    "screening": "screening",
    "iop": "IOP",
    "php": "PHP",
    "residential": "residential care",
    "step_down": "step-down",
    "aftercare": "aftercare",
    "discharged": "discharge",
}


class Narrator:
    """Turns one patient's messages into lines; knows the events that were published."""

    def __init__(self, policy: Policy, letters: Iterable[Letter], monday: int) -> None:
        self._policy = policy
        self._monday = monday
        self._events = {}
        for letter in letters:
            event = json.loads(letter.body)
            self._events[event["source"], event["id"]] = event
        self._told: dict[str, str] = {}

    def line(self, message: Message) -> str | None:
        """The line for a message, or None if it is no news for this story."""
        data = message["data"]
        match message["type"]:
            case "care.transition.occurred.v1":
                text = self._move(data)
                self._told[message["id"]] = text
            case "care.transition.superseded.v1":
                told = self._told.get(data["supersedes"], "a move")
                text = f"correction: “{told}” is superseded, now {STATES[data['current']['state']]}"
            case "care.recommendation.raised.v1":
                text = f"{self._why(data)} → {STATES[data['to']]} recommended"
            case "care.recommendation.resolved.v1" if data["resolution"] == "declined":
                text = f"{STATES[data['to']]} declined by {self._role(data)}"
            case "care.alert.raised.v1" if data["severity"] != "info":
                text = f"{self._why(data)} → {_words(data['alert'])} alert ({self._basis(data)})"
            case "care.alert.cleared.v1" if data["alert"] == "outreach":
                text = f"{self._cleared(data)} → {_words(data['alert'])} alert {data['resolution']}"
            case _:
                return None
        taken_back = message["type"] == "care.transition.superseded.v1"
        at = data["recorded_at" if taken_back else "effective_at"]
        return f"  {self._when(at)} · {text}"

    def _when(self, instant: str) -> str:
        at = parse_instant(instant)
        day = calendar(self._policy.zone).local(at)
        return f"wk {(at - self._monday) // WEEK + 1:>2} {day:%a}"

    def _move(self, data: Message) -> str:
        to = STATES[data["to"]]
        if data["basis"] == "event":
            return to if data["to"] != "screening" else "screening started"
        verb = "confirmed" if data.get("rule") else "decided"
        flags = f" (flagged: {', '.join(data['exceptions'])})" if data["exceptions"] else ""
        return f"{to} {verb} by {self._role(data)}{flags}"

    def _why(self, data: Message) -> str:
        if data["rule"] not in self._policy.order:
            return _words(data["rule"])
        return self._policy.rule(data["rule"]).title

    def _basis(self, data: Message) -> str:
        known = data["rule"] in self._policy.order
        return BASIS[self._policy.rule(data["rule"]).status] if known else "design"

    def _role(self, data: Message) -> str:
        for cause in data["causes"]:
            event = self._events.get((cause["source"], cause["id"]))
            if event and "role" in event["data"]:
                return str(event["data"]["role"]).replace("_", " ")
        return "unknown"

    def _cleared(self, data: Message) -> str:
        for cause in data["causes"]:
            event = self._events.get((cause["source"], cause["id"]))
            if event and event["type"] == "care.contact.made.v1":
                return "reached by " + str(event["data"]["channel"])
        return "seen again"


def _words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def monday_of(policy: Policy, letters: list[Letter]) -> int:
    """When the story's first week begins, on the program's wall clock."""
    first = parse_instant(json.loads(letters[0].body)["time"])
    return calendar(policy.zone).week_of(first)[0]

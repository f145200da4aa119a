"""The lines of an example that say what happened, as events.

`tests/examples/README.md` explains the language to those who write it.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pathway.fold import fold
from pathway.instruments import INSTRUMENTS
from pathway.policy import Policy
from pathway.standing import standing
from pathway.weeks import calendar, to_instant
from schemas.inbound import EVENT_TYPES, Event, TimeAdvanced, read, time_advanced
from schemas.instants import MINUTE, format_instant

PATIENT = "example"
SOURCE = "/example"
FAR_FUTURE = 4_000_000_000_000_000
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WHEN = r"(\d{4}-\d\d-\d\d)(?: (\d\d:\d\d(?::\d\d)?))?"
CRITERIA = {
    "stable": "medically_stable",
    "withdrawal": "acute_withdrawal",
    "24h": "needs_24h_supervision",
    "home": "safe_home",
    "motivated": "motivated",
    "more-than-weekly": "needs_more_than_weekly",
    "dual": "dual_diagnosis",
}
ELIGIBLE = {
    "medically_stable": True,
    "acute_withdrawal": False,
    "needs_24h_supervision": False,
    "safe_home": True,
    "motivated": True,
    "needs_more_than_weekly": True,
    "severity": "moderate",
}
YES_NO = {"yes": True, "no": False, "unknown": None}
ROLES = {
    "physician": "physician",
    "clinician": "licensed_clinician",
    "nurse": "nurse",
    "administrator": "administrator",
}
ROLE = rf"(?: by ({'|'.join(ROLES)}))?"


class Wrong(Exception):  # noqa: N818 - it is the writer's word for it
    """A line that cannot be understood."""


Data = dict[str, Any]


@dataclass
class Script:
    """The events of one example, in the order in which they were written."""

    policy: Policy
    events: list[Event] = field(default_factory=list)
    names: dict[str, Event] = field(default_factory=dict)
    arrivals: dict[str, int] = field(default_factory=dict)  # event id -> when the worker hears

    def instant(self, text: str) -> int:
        """A date, with or without a time, on the program's wall clock."""
        match = re.fullmatch(WHEN, text.strip())
        if not match:
            raise Wrong(f"{text!r} is not a date and time such as 2026-03-02 09:00")
        try:
            moment = datetime.fromisoformat(f"{match[1]} {match[2] or '00:00'}")
        except ValueError:
            raise Wrong(f"there is no such date or time: {text!r}") from None
        zone = self.local(0).tzinfo
        instant = to_instant(moment.replace(tzinfo=zone))
        if self.local(instant).replace(tzinfo=None) != moment:
            raise Wrong(f"the clocks skip {text!r} in {self.policy.zone}")
        return instant

    def local(self, instant: int) -> datetime:
        """An instant on the program's wall clock."""
        return calendar(self.policy.zone).local(instant)

    def happened(self, when: str, what: str) -> None:
        """Add what one line tells."""
        time = self.instant(when)
        name, what = _named(what)
        what, arrives = _split(what, ", arrives ")
        what, corrected = _split(what, " corrects ")
        kind, data = self._understand(time, what.strip())
        event = self.add(kind, time, data, corrects=corrected)
        if arrives:
            self.arrivals[event.id] = self.instant(arrives)
        if name in self.names:
            raise Wrong(f"[{name}] names two events")
        if name:
            self.names[name] = event

    def each(self, days: str, first: str, last: str, clock: str, what: str) -> None:
        """Add the same line for several days of the week."""
        wanted = [DAYS.index(day) for day in re.split(r"[ ,]+", days)]
        day = datetime.fromisoformat(first)
        while day <= datetime.fromisoformat(last):
            if day.weekday() in wanted:
                self.happened(f"{day:%Y-%m-%d} {clock}", what)
            day += timedelta(days=1)

    def start(self, state: str, when: str) -> None:
        """Bring a patient into a state in the usual way, a minute a step."""
        steps = STARTS.get(state)
        if steps is None:
            raise Wrong(f"unknown start {state!r}; known: {', '.join(STARTS)}")
        time = self.instant(when)
        for place, step in enumerate(steps):
            moment = time - (len(steps) - 1 - place) * MINUTE
            self.add(*_timed(self._understand(moment, step), moment))

    def add(self, kind: str, time: int, data: Data, corrects: str = "") -> Event:
        """Add one event, read as if it had come from outside."""
        number = len(self.events) + 1
        known = EVENT_TYPES[f"care.{kind}.v1"]
        if known.identity_field:
            data.setdefault(known.identity_field, f"x{number}")
        if corrects:
            former = self._named_event(corrects)
            if known.identity_field is None or former.type != known.type:
                raise Wrong(f"this cannot correct {former.type}")
            data[known.identity_field] = getattr(former.data, known.identity_field)
            data["revision"] = former.revision + 1
        body = {
            "specversion": "1.0",
            "id": f"e{number:04}",
            "source": SOURCE,
            "type": known.type,
            "subject": PATIENT,
            "time": format_instant(time),
            "data": data,
        }
        event = read(json.dumps(body).encode(), known.subject(PATIENT), now=FAR_FUTURE)
        self.events.append(event)
        return event

    def until(self, when: str) -> None:
        """Let time pass."""
        self.events.append(time_advanced(PATIENT, self.instant(when)))

    def arrival(self, event: Event) -> int:
        """When the worker hears of it: when it happened, unless the line says otherwise."""
        if isinstance(event.data, TimeAdvanced):
            return event.data.to
        return self.arrivals.get(event.id, event.time)

    def _named_event(self, name: str) -> Event:
        if name not in self.names:
            raise Wrong(f"no event above is named [{name}]")
        return self.names[name]

    def _understand(self, time: int, what: str) -> tuple[str, Data]:
        for pattern, make in VERBS:
            match = re.fullmatch(pattern, what)
            if match:
                return make(self, time, *match.groups())
        words = ", ".join(dict.fromkeys(re.split(r"[ (\[]", p)[0] for p, _ in VERBS))
        raise Wrong(f"cannot understand {what!r}; lines begin with: {words}")

    # -- what each kind of line means ---------------------------------------------------------

    def referral(self, _: int, priority: str | None) -> tuple[str, Data]:
        return "referral.received", {"priority": priority} if priority else {}

    def coverage(self, _: int, status: str, payer: str) -> tuple[str, Data]:
        return "coverage.recorded", {"status": status.replace("-", "_"), "payer": payer}

    def screening_started(self, _: int) -> tuple[str, Data]:
        return "screening.started", {}

    def screening(self, _: int, criteria: str) -> tuple[str, Data]:
        found: Data = {}
        for part in criteria.split(","):
            words = part.split()
            if words == ["eligible"]:
                found |= ELIGIBLE
            elif len(words) == 2 and words[0] == "severity":
                found["severity"] = None if words[1] == "unknown" else words[1]
            elif len(words) == 2 and words[0] in CRITERIA and words[1] in YES_NO:
                found[CRITERIA[words[0]]] = YES_NO[words[1]]
            else:
                names = ", ".join(CRITERIA)
                raise Wrong(f"cannot understand {part.strip()!r}; criteria: {names}, severity")
        return "screening.completed", {"criteria": found}

    def plan(
        self, _: int, met: str, total: str, hours: str | None, days: str | None
    ) -> tuple[str, Data]:
        data: Data = {"goals_met": int(met), "goals_total": int(total)}
        data |= {"hours_per_week": float(hours)} if hours else {}
        data |= {"days_per_week": int(days)} if days else {}
        return "treatment_plan.updated", data

    def step_down_plan(self, _: int) -> tuple[str, Data]:
        return "step_down_plan.completed", {}

    def aftercare_plan(self, _: int, missing: str | None) -> tuple[str, Data]:
        parts = ("outpatient_therapy", "support_groups", "relapse_prevention")
        left_out = (missing or "").replace(" ", "_")
        return "aftercare_plan.completed", {part: part != left_out for part in parts}

    def certification(
        self, time: int, kind: str, level: str, since: str | None, until: str
    ) -> tuple[str, Data]:
        names = {"certification": "physician_certification", "authorization": "payer_authorization"}
        return "certification.recorded", {
            "kind": names[kind],
            "level": level,
            "certified_from": format_instant(self.instant(since) if since else time),
            "certified_until": format_instant(self.instant(until)),
        }

    def session(
        self,
        time: int,
        kind: str,
        status: str,
        attended: str | None,
        minutes: str,
        start: str | None,
    ) -> tuple[str, Data]:
        status = {"no-show": "no_show", "cancelled": "cancelled_by_program"}.get(status, status)
        status = status.replace(" ", "_")
        present = status in {"attended", "late", "left_early"}
        begins = self.instant(start) if start else time - int(minutes) * MINUTE
        return "attendance.recorded", {
            "kind": kind,
            "status": status,
            "scheduled_start": format_instant(begins),
            "scheduled_minutes": int(minutes),
            "attended_minutes": int(attended or minutes) if present else 0,
        }

    def score(self, _: int, instrument: str, variant: str | None, score: str) -> tuple[str, Data]:
        data: Data = {"instrument": instrument, "score": int(score)}
        return "assessment.completed", data | _variant(instrument, variant)

    def items(
        self, _: int, instrument: str, variant: str | None, items: str, total: str | None
    ) -> tuple[str, Data]:
        words = items.split()
        if all("=" in word for word in words):
            answers = {name: int(value) for name, value in (word.split("=") for word in words)}
        else:
            answers = {str(number): int(word) for number, word in enumerate(words, 1)}
        data: Data = {"instrument": instrument, "items": answers}
        data |= {"score": int(total)} if total else {}
        return "assessment.completed", data | _variant(instrument, variant)

    def report(self, _: int, kind: str) -> tuple[str, Data]:
        return "safety.reported", {"kind": kind.replace(" ", "_").replace("-", "_")}

    def contact(self, _: int, channel: str, reached: str) -> tuple[str, Data]:
        data = {"channel": channel.replace(" ", "_"), "reached": reached == "reached"}
        return "contact.made", data

    def leave(
        self, time: int, reason: str, since: str | None, until: str | None
    ) -> tuple[str, Data]:
        data: Data = {"reason": reason.replace(" ", "_")}
        data["from"] = format_instant(self.instant(since) if since else time)
        data |= {"until": format_instant(self.instant(until))} if until else {}
        return "leave.recorded", data

    def follow_up(self, _: int, day: str) -> tuple[str, Data]:
        return "follow_up.completed", {"day": int(day)}

    def close(self, time: int, alert: str, outcome: str | None) -> tuple[str, Data]:
        known = standing([e for e in self.events if e.time <= time])
        policies = {self.policy.digest: self.policy}
        folded = fold(policies, self.policy.digest, PATIENT, known).snapshot
        ids = [each.id for each in folded.alerts.values() if each.name == alert]
        if not ids:
            raise Wrong(f"no alert {alert} stands at that time")
        outcome = (outcome or "assessed safe").replace(" ", "_")
        return "alert.closed", {"alert_id": ids[0], "closed_by": "p-1", "outcome": outcome}

    def decision(
        self,
        _: int,
        verb: str,
        to: str,
        came_from: str | None,
        role: str | None,
        override: str | None,
    ) -> tuple[str, Data]:
        data: Data = {
            "to": to,
            "confirm": verb == "decision",
            "decided_by": "c-1",
            "role": ROLES[role or "physician"],
            "reason_code": "example",
        }
        data |= {"from": came_from} if came_from else {}
        data |= {"override": {"reason": override}} if override else {}
        return "decision.recorded", data

    def discharge(self, _: int, reason: str, role: str | None) -> tuple[str, Data]:
        who = {"decided_by": "c-1", "role": ROLES[role or "physician"]}
        return "discharge.recorded", {"reason": reason.replace(" ", "_"), **who}

    def retract(self, _: int, name: str) -> tuple[str, Data]:
        event = self._named_event(name)
        return "event.retracted", {"source": SOURCE, "id": event.id, "reason": "an example"}


def _timed(understood: tuple[str, Data], time: int) -> tuple[str, int, Data]:
    return understood[0], time, understood[1]


def _named(what: str) -> tuple[str, str]:
    match = re.fullmatch(r"\[([\w-]+)\]\s+(.*)", what)
    return (match[1], match[2]) if match else ("", what)


def _split(text: str, word: str) -> tuple[str, str]:
    before, _, after = text.partition(word)
    return before, after.strip()


def _variant(instrument: str, variant: str | None) -> Data:
    usual = next((v for name, v in INSTRUMENTS if name == instrument), None)
    chosen = variant or usual
    return {"variant": chosen} if chosen else {}


VARIANT = r"(?: \(([\w-]+)\))?"
STATE = r"(\w+)"
VERBS: list[tuple[str, Callable[..., tuple[str, Data]]]] = [
    (r"referral(?: (urgent|routine))?", Script.referral),
    (r"coverage (verified|denied|pending|self-pay) (\w+)", Script.coverage),
    (r"screening started", Script.screening_started),
    (r"screening (.+)", Script.screening),
    (
        r"plan goals (\d+) of (\d+)(?:, ([\d.]+) h)?(?:, (\d+) days)?(?: a week)?",
        Script.plan,
    ),
    (r"step-down plan", Script.step_down_plan),
    (r"aftercare plan(?: without ([\w ]+))?", Script.aftercare_plan),
    (
        rf"(certification|authorization) {STATE}(?: from ([\d: -]+?))? until ([\d: -]+)",
        Script.certification,
    ),
    (
        (
            r"session (group|individual|workshop|family|medication)"
            r" (attended|late|left early|no-show|excused|cancelled)"
            r"(?: (\d+) of)? (\d+) min(?: starting ([\d: -]+))?"
        ),
        Script.session,
    ),
    (rf"score ([\w.-]+){VARIANT} (-?\d+)", Script.score),
    (rf"answers ([\w.-]+){VARIANT}: ([\w=. -]+?)(?:, total (-?\d+))?", Script.items),
    (r"report ([\w -]+)", Script.report),
    (r"contact (phone|message|in person|family) (reached|not reached)", Script.contact),
    (
        r"leave ([a-z ]+?)(?: from (\d[\d: -]+?))?(?: until (\d[\d: -]+))?",
        Script.leave,
    ),
    (r"follow-up of day (\d+)", Script.follow_up),
    (r"close (\w+)(?: as ([a-z ]+))?", Script.close),
    (
        rf'(decision|decline) {STATE}(?: from {STATE})?{ROLE}(?: overriding "(.+)")?',
        Script.decision,
    ),
    (rf"discharge ([a-z ]+?){ROLE}", Script.discharge),
    (r"retract ([\w-]+)", Script.retract),
]

_ADMIT = ("referral", "coverage verified commercial", "screening eligible")
STARTS: dict[str, tuple[str, ...]] = {
    "referral": ("referral",),
    "screening": ("referral", "screening started"),
    "iop": (*_ADMIT, "decision iop"),
    "php": (*_ADMIT, "decision php"),
    "residential": (*_ADMIT, "decision residential"),
    "step_down": (*_ADMIT, "decision step_down"),
    "aftercare": (*_ADMIT, "decision step_down", "aftercare plan", "decision aftercare"),
    "discharged": ("referral", "discharge declined"),
}

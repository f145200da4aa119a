"""One patient's facts as people should see them: what stands, came late, was corrected."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from handlers.board.words import label, words
from pathway.standing import standing
from pathway.store.base import JournalRow
from schemas import inbound as events
from schemas.inbound import Event
from schemas.instants import HOUR

Gone = Literal["", "corrected", "retracted"]
INTERNAL: Final = frozenset({"care.time.advanced.v1", "care.policy.adopted.v1"})
LATE: Final = HOUR  # facts that arrive this much out of order are shown as late


@dataclass(slots=True, frozen=True)
class Entry:
    """One fact.

    Attributes:
        late: it arrived after facts of a later time were known.
        gone: why it does not stand any more.
    """

    fact: Event
    recorded_at: int
    late: bool
    gone: Gone

    @property
    def text(self) -> str:
        """What it says, in a few words."""
        return describe(self.fact)

    @property
    def note(self) -> str:
        """What is special about it, or nothing."""
        notes = ["arrived late"] if self.late else []
        if self.gone:
            notes.append("replaced by a correction" if self.gone == "corrected" else "taken back")
        elif self.fact.revision:
            notes.append(f"correction no. {self.fact.revision}")
        return ", ".join(notes)


def entries(rows: Sequence[JournalRow]) -> list[Entry]:
    """Every fact from outside, in the order in which they happened."""
    facts = [(row, events.reread(row.raw)) for row in rows]
    stands = {(fact.source, fact.id) for fact in standing([fact for _, fact in facts]).facts}
    newest: dict[str, int] = {}
    for _, fact in facts:
        if (fact.source, fact.id) in stands:
            newest[fact.identity] = fact.revision
    found, latest, commit, known = [], 0, -1, 0
    for row, fact in facts:
        if fact.type in INTERNAL:
            continue
        if row.commit != commit:
            commit, known = row.commit, latest
        latest = max(latest, fact.time)
        gone: Gone = ""
        if (fact.source, fact.id) not in stands:
            gone = "corrected" if fact.identity in newest else "retracted"
        found.append(Entry(fact, row.recorded_at, fact.time < known - LATE, gone))
    return sorted(found, key=lambda entry: entry.fact.order)


def describe(fact: Event) -> str:
    """A fact in a few words."""
    teller = _TELLERS.get(fact.type)
    return teller(fact.data) if teller else words(fact.type.split(".")[1])


def _referral(data: events.ReferralReceived) -> str:
    by = f" by {words(data.referred_by)}" if data.referred_by else ""
    return f"Referral received{by}" + (" (urgent)" if data.priority == "urgent" else "")


def _attendance(data: events.AttendanceRecorded) -> str:
    kind = f"{data.kind.capitalize()} session"
    if data.status in {"attended", "late", "left_early"}:
        how = "" if data.status == "attended" else f" ({words(data.status)})"
        return f"{kind}: {data.attended_minutes} of {data.scheduled_minutes} min{how}"
    return f"{kind}: {words(data.status)}"


def _assessment(data: events.AssessmentCompleted) -> str:
    score = f" {data.score}" if data.score is not None else ""
    return f"{data.instrument}{score}"


def _decision(data: events.DecisionRecorded) -> str:
    verb = "decided" if data.confirm else "declined"
    override = ", overriding a guard" if data.override else ""
    role = words(data.role) if data.role else "role unknown"
    return f"{label(data.to)} {verb} by {role}{override}"


def _contact(data: events.ContactMade) -> str:
    return f"{'Reached' if data.reached else 'Not reached'} ({words(data.channel)})"


def _plan(data: events.TreatmentPlanUpdated) -> str:
    return f"Treatment plan: {data.goals_met} of {data.goals_total} goals met"


def _aftercare(data: events.AftercarePlanCompleted) -> str:
    parts = (data.outpatient_therapy, data.support_groups, data.relapse_prevention)
    return f"Aftercare plan, {sum(parts)} of {len(parts)} parts"


def _safety(data: events.SafetyReported) -> str:
    severity = f" ({data.severity})" if data.severity else ""
    return f"Reported: {words(data.kind)}{severity}"


def _certification(data: events.CertificationRecorded) -> str:
    return f"{words(data.kind).capitalize()} for {label(data.level)}"


_TELLERS: Final[Mapping[str, Callable[[Any], str]]] = {
    "care.referral.received.v1": _referral,
    "care.coverage.recorded.v1": lambda data: f"Coverage {words(data.status)}",
    "care.screening.started.v1": lambda _: "Screening started",
    "care.screening.completed.v1": lambda _: "Screening completed",
    "care.treatment_plan.updated.v1": _plan,
    "care.step_down_plan.completed.v1": lambda _: "Step-down plan completed",
    "care.aftercare_plan.completed.v1": _aftercare,
    "care.certification.recorded.v1": _certification,
    "care.attendance.recorded.v1": _attendance,
    "care.assessment.completed.v1": _assessment,
    "care.safety.reported.v1": _safety,
    "care.contact.made.v1": _contact,
    "care.leave.recorded.v1": lambda data: f"Leave: {words(data.reason)}",
    "care.follow_up.completed.v1": lambda data: f"Follow-up of day {data.day}",
    "care.alert.closed.v1": lambda data: f"Alert closed: {words(data.outcome)}",
    "care.decision.recorded.v1": _decision,
    "care.discharge.recorded.v1": lambda data: f"Discharged: {words(data.reason)}",
    "care.event.retracted.v1": lambda _: "An event was taken back",
}

"""What is known of one patient at one point of the effective order.

The record holds facts and what follows from them by counting, never what a rule made of
them; so another policy can judge the same record. The snapshot around it holds the rest of
the fold's state: what stands, what waits, and where in the order the fold has got to.
All instants are integer microseconds UTC.
"""

from typing import Final

import msgspec

from schemas.instants import WEEK

Ref = tuple[str, str]  # (source, id) of an event

SESSION_MEMORY: Final = 12 * WEEK  # the longest window that a rule may look back on sessions
WEEKS_KEPT: Final = 16
STAYS_KEPT: Final = 20
READINGS_KEPT: Final = 12
REPORTS_KEPT: Final = 20


class Referral(msgspec.Struct):
    """How and when this episode began."""

    at: int
    ref: Ref
    priority: str
    route: str | None
    by: str | None


class Known(msgspec.Struct):
    """One value with the event that told it."""

    value: bool | str | int | None
    at: int
    ref: Ref


class Score(msgspec.Struct):
    """One valid reading of one measure."""

    value: int
    at: int
    ref: Ref


class Scale(msgspec.Struct):
    """One measure over the episode: the first valid score, the one at entry, the newest ones."""

    baseline: Score
    newest: Score
    entry: Score | None  # the newest on entering the present state, else the first after it
    recent: list[Score]


class Plan(msgspec.Struct):
    """The treatment plan as last updated."""

    at: int
    ref: Ref
    goals_total: int
    goals_met: int
    hours: int | float | None
    days: int | None


class AftercarePlan(msgspec.Struct):
    """The aftercare plan and which of its three parts it has."""

    at: int
    ref: Ref
    complete: bool


class Certification(msgspec.Struct):
    """A physician's certification or a payer's authorization."""

    kind: str
    level: str
    since: int
    until: int
    at: int
    ref: Ref


class Week(msgspec.Struct):
    """Sessions of one clinic week, by scheduled start. Minutes; `counted` kinds only."""

    start: int
    end: int
    sessions: int = 0
    attended: int = 0
    scheduled: int = 0  # excused and cancelled left out
    cancelled: int = 0
    group: int = 0


class NoShow(msgspec.Struct):
    """One missed session, and the state at its scheduled start."""

    at: int
    ref: Ref
    state: str | None


class Stay(msgspec.Struct):
    """A state and when it was entered."""

    state: str
    since: int


class Leave(msgspec.Struct):
    """An absence that suspends attendance and contact rules; open-ended without `until`."""

    since: int
    until: int | None
    reason: str
    ref: Ref


class Report(msgspec.Struct):
    """One safety report."""

    kind: str
    at: int
    ref: Ref


class Record(msgspec.Struct):
    """The patient. Fields after `coverage` belong to the episode and begin anew with it."""

    state: str | None = None
    since: int | None = None
    entered_by: Ref | None = None
    admitted: int | None = None  # when this episode's treatment began
    episode: int = 0
    coverage: Known | None = None
    payer: Known | None = None
    referral: Referral | None = None
    discharge_reason: str | None = None
    screened: Known | None = None
    criteria: dict[str, Known] = {}
    plan: Plan | None = None
    step_down_plan: Known | None = None
    aftercare_plan: AftercarePlan | None = None
    certifications: list[Certification] = []
    scales: dict[str, Scale] = {}  # "<instrument>/<measure>"
    weeks: list[Week] = []  # oldest first
    no_show_run: list[NoShow] = []
    no_shows: list[NoShow] = []
    individual: Known | None = None  # the last individual session attended
    seen: Known | None = None  # the last session attended or assessment completed
    contact: Known | None = None  # attendance, reached contact, assessment or follow-up
    reached: Known | None = None  # somebody spoke to the patient: contact or follow-up
    leaves: list[Leave] = []
    reports: list[Report] = []
    follow_ups: dict[str, Ref] = {}  # day reached in the present state -> event
    stays: list[Stay] = []  # the states of this episode, oldest first
    left: dict[str, int] = {}  # state -> when it was last left

    def new_episode(self, referral: Referral) -> "Record":
        """A fresh episode; coverage is the patient's, all else begins anew."""
        return Record(
            state=self.state,
            since=self.since,
            episode=self.episode + 1,
            coverage=self.coverage,
            payer=self.payer,
            referral=referral,
        )


class Cause(msgspec.Struct, frozen=True):
    """What made something true: a fact, or a timer and when it was due.

    Attributes:
        key: ["fact", source, id] or ["timer", timer id, due]; part of an effect's key.
        at: effective instant.
        refs: the facts behind it, for `causes`.
    """

    key: tuple[str, str, str | int]
    at: int
    refs: tuple[Ref, ...]


class Hold(msgspec.Struct):
    """A rule whose condition is true at present, and what made it so."""

    cause: Cause
    evidence: tuple[Ref, ...]
    inputs: dict[str, object]
    policy: str
    alert: str | None = None  # key of the alert that it raised, while that stands


class StandingAlert(msgspec.Struct):
    """An alert that was raised and not ended."""

    key: str
    id: str
    rule: str
    name: str
    severity: str
    at: int
    refs: tuple[Ref, ...]
    overdue: str | None = None  # key of the `overdue` alert raised for it


class StandingRecommendation(msgspec.Struct):
    """The one recommendation that stands."""

    key: str
    id: str
    rule: str
    to: str
    urgency: str
    at: int
    refs: tuple[Ref, ...]


class Decline(msgspec.Struct):
    """A clinician's no: silences rule and target for a while."""

    rule: str
    to: str
    at: int


class Waiting(msgspec.Struct):
    """A decision that a guard blocks; at most one waits."""

    ref: Ref
    to: str
    at: int
    until: int
    unmet: list[str]
    decided_by: str | None
    role: str | None


# Raised whenever the same facts leave other bytes behind; with `ENGINE`, and also alone, when the
# fold says the same as before but keeps its state in another form.
SNAPSHOT_ENGINE: Final = 2

Order = tuple[int, int, str, str]
BEFORE_ALL: Final[Order] = (-(2**62), -1, "", "")


class Snapshot(msgspec.Struct):
    """The fold's whole state for one patient; an in-order fact extends it in O(1)."""

    policy: str  # digest in force at this point of the order
    record: Record = msgspec.field(default_factory=Record)
    holds: dict[str, Hold] = {}
    alerts: dict[str, StandingAlert] = {}
    recommendation: StandingRecommendation | None = None
    declines: list[Decline] = []
    waiting: Waiting | None = None
    last_urgent: int | None = None
    dues: dict[str, int] = {}  # timer id -> when it fires
    closures: dict[str, tuple[int, str]] = {}  # alerts closed that the fold never raised
    last_order: Order = BEFORE_ALL
    last_timer: int = BEFORE_ALL[0]
    horizon: int = BEFORE_ALL[0]
    facts_until: int = BEFORE_ALL[0]  # greatest time of the standing facts
    advanced_to: int = BEFORE_ALL[0]  # greatest care.time.advanced.v1
    awaited: list[Ref] = []  # retractions whose target is not here yet

    @property
    def next_due(self) -> int | None:
        """When the earliest timer fires, or None."""
        return min(self.dues.values()) if self.dues else None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Snapshot)


def dump(snapshot: Snapshot) -> bytes:
    """The snapshot as stored: JSON, byte for byte the same for the same state."""
    return _encoder.encode(snapshot)


def load(data: bytes) -> Snapshot:
    """The inverse of `dump`."""
    return _decoder.decode(data)

"""The fold against a small model of the same rules, written apart from it.

The model walks through time hour by hour with nothing but counters; the fold knows no hours
but timers. Both must say the same of every history that Hypothesis thinks of.
"""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pathway.effects import Ended, Raised
from pathway.fold import Folded, fold
from pathway.policy import default
from pathway.standing import standing
from schemas.inbound import Event, time_advanced
from schemas.instants import HOUR, format_instant, parse_instant
from tests.examples.script import PATIENT, Script

START = parse_instant("2026-01-05T06:00:00Z")
FOURTEEN_DAYS, THIRTY_DAYS = 14 * 24, 30 * 24
CONTACT_STATES = {"iop", "php", "step_down"}
OPEN = {"referral", "screening", "step_down", "iop", "php", "residential", "aftercare"}
HIGHER = {"php", "residential"}
DECISIONS = {
    "screening": {"iop", "php", "residential", "step_down"},
    "iop": {"php", "residential", "step_down", "aftercare"},
    "php": {"residential", "iop", "step_down"},
    "residential": {"php", "iop", "step_down"},
    "step_down": {"aftercare", "iop", "php", "residential"},
    "aftercare": {"iop", "php", "residential", "step_down"},
}
HOUSING = "housing-review"
JUDGED = {
    HOUSING,
    "no-shows-in-a-row",
    "no-contact",
    "safety-response",
    "safety-report",
    "result-set-aside",
    "urgent-overdue",
    "decision-refused",
    "decision-lapsed",
}
BEGIN = ("iop", "iop", "php", "residential", "step_down")
GOOD = {
    "medically_stable": True,
    "acute_withdrawal": False,
    "needs_24h_supervision": False,
    "safe_home": True,
}


@dataclass
class Episode:
    """What begins anew with a referral."""

    criteria: dict[str, bool] = field(default_factory=dict)
    aftercare_plan: bool = False
    no_shows: list[int] = field(default_factory=list)  # in a row, in iop or php
    reached: int | None = None
    quiet_hours: int = 0  # without contact, not on leave, in a state of contact
    quiet_from: int | None = None
    leaves: list[list[float]] = field(default_factory=list)


class Model:
    """One patient, hour by hour."""

    def __init__(self) -> None:
        self.now = 0
        self.state: str | None = None
        self.since: int | None = None
        self.path: list[tuple[int, str]] = []
        self.waiting: tuple[str, int] | None = None
        self.episode = Episode()
        self.alerts: list[list[object]] = []  # rule, raised, ended
        self.open: dict[str, list[object]] = {}  # state of affairs -> its alert
        self.urgent: dict[str, tuple[list[object], int]] = {}  # event -> its alert, when overdue
        self.overdue: dict[str, list[object]] = {}

    # -- facts --------------------------------------------------------------------------------

    def refer(self) -> None:
        if self.state in {None, "discharged"}:
            self.episode = Episode()
            self.move("referral")

    def screen(self, criteria: dict[str, bool | None]) -> None:
        if self.state == "referral":
            self.move("screening")
        if self.state in OPEN:
            known = {name: value for name, value in criteria.items() if value is not None}
            self.episode.criteria |= known

    def plan_aftercare(self, complete: bool) -> None:  # noqa: FBT001
        if self.state in OPEN:
            self.episode.aftercare_plan = complete

    def attend(self, status: str) -> None:
        if self.state not in OPEN:
            return
        if status == "no_show":
            if self.state_at(self.now - 1) in {"iop", "php"}:
                self.episode.no_shows.append(self.now)
        elif status == "attended":
            self.episode.no_shows = []
            self.heard()
            for leave in self.episode.leaves:
                if leave[1] == float("inf") and leave[0] < self.now:
                    leave[1] = self.now

    def contact(self, *, reached: bool) -> None:
        if self.state in OPEN and reached:
            self.episode.reached = self.now
            self.heard()

    def assess(self, event: str, *, item_9: int, believable: bool) -> None:
        if self.state in OPEN:
            self.heard()
        if item_9 > 0:
            self.raise_urgent("safety-response", event)
        if not believable:
            self.alerts.append(["result-set-aside", self.now, None])

    def report(self, event: str) -> None:
        self.raise_urgent("safety-report", event)

    def leave(self, hours: float) -> None:
        if self.state in OPEN:
            self.episode.leaves.append([self.now, self.now + hours])

    def decide(self, to: str, *, confirm: bool, override: bool) -> None:
        self.waiting = None
        if not confirm:
            return
        if to == self.state and self.since == self.now:
            return
        if to not in DECISIONS.get(self.state or "", set()):
            self.alerts.append(["decision-refused", self.now, None])
        elif override or self.may_enter(to):
            self.move(to)
        else:
            self.waiting = (to, self.now + 72)

    def discharge(self) -> None:
        if self.state in OPEN:
            self.move("discharged")

    def close(self, event: str) -> None:
        alert, _ = self.urgent.pop(event)
        alert[2] = self.now
        if event in self.overdue:
            self.overdue.pop(event)[2] = self.now

    # -- what follows -------------------------------------------------------------------------

    def settle(self) -> None:
        """After each fact; what time alone makes true comes only with the tick."""
        self.judge(away=self.away(self.now - 0.5))
        if self.waiting and self.may_enter(self.waiting[0]):
            self.move(self.waiting[0])
            self.judge(away=self.away(self.now - 0.5))

    def tick(self) -> None:
        """The clock strikes, after every fact of this hour."""
        episode = self.episode
        counts = self.state in CONTACT_STATES and episode.quiet_from != self.now
        if counts and not self.away(self.now - 0.5):
            episode.quiet_hours += 1
        if self.waiting and self.waiting[1] == self.now:
            self.lapse()
        for event, (_, due) in self.urgent.items():
            if due == self.now:
                self.overdue[event] = ["urgent-overdue", self.now, None]
                self.alerts.append(self.overdue[event])
        self.judge(away=self.away(self.now))

    def judge(self, *, away: bool) -> None:
        run = [at for at in self.episode.no_shows if not self.away(at)]
        reached = self.episode.reached
        missing = self.state in {"iop", "php"} and len(run) >= 3 and not away
        self.hold("no-shows-in-a-row", missing and (reached is None or reached < run[-1]))
        self.review_housing()
        quiet = self.state in CONTACT_STATES and not away
        self.hold("no-contact", quiet and self.episode.quiet_hours >= FOURTEEN_DAYS)

    def review_housing(self) -> None:
        """No safe home is the only obstacle: the one urgent alert about a state of affairs."""
        wanted, known = GOOD | {"safe_home": False}, self.episode.criteria
        alone = all(known.get(name) is value for name, value in wanted.items())
        alone = alone and self.state == "screening"
        if alone and HOUSING not in self.urgent:
            self.raise_urgent(HOUSING, HOUSING)
        elif not alone and HOUSING in self.urgent:
            self.close(HOUSING)

    def hold(self, name: str, holds: bool) -> None:  # noqa: FBT001
        if holds and name not in self.open:
            self.open[name] = [name, self.now, None]
            self.alerts.append(self.open[name])
        elif not holds and name in self.open:
            self.open.pop(name)[2] = self.now

    @property
    def contact_lost(self) -> bool:
        quiet = self.state in CONTACT_STATES and not self.away(self.now)
        return quiet and self.episode.quiet_hours >= THIRTY_DAYS

    def move(self, to: str) -> None:
        if to in CONTACT_STATES and self.state not in CONTACT_STATES:
            self.quiet_anew()
        self.state, self.since, self.waiting = to, self.now, None
        self.path.append((self.now, to))

    def may_enter(self, to: str) -> bool:
        known = self.episode.criteria
        if to == "iop":
            return all(known.get(name) is value for name, value in GOOD.items())
        if to == "php":
            return known.get("needs_24h_supervision") is False
        return to != "aftercare" or self.episode.aftercare_plan

    def raise_urgent(self, name: str, event: str) -> None:
        alert: list[object] = [name, self.now, None]
        self.alerts.append(alert)
        self.urgent[event] = (alert, self.now + 4)
        if self.waiting:
            self.lapse()

    def lapse(self) -> None:
        self.waiting = None
        self.alerts.append(["decision-lapsed", self.now, None])

    def heard(self) -> None:
        self.quiet_anew()

    def quiet_anew(self) -> None:
        self.episode.quiet_hours, self.episode.quiet_from = 0, self.now

    def away(self, at: float) -> bool:
        return any(since <= at < until for since, until in self.episode.leaves)

    def state_at(self, hour: int) -> str | None:
        return next((state for at, state in reversed(self.path) if at <= hour), self.first)

    @property
    def first(self) -> str | None:
        """Before the episode began there was none; its first state stands in."""
        return next((state for _, state in self.path if state == "referral"), None)


# At one instant facts are taken in this order; the test adds them so, and never backwards.
RANKS = (
    "refer",
    "screen",
    "plan",
    "attend",
    "assess",
    "report",
    "contact",
    "leave",
    "close",
    "decide",
    "discharge",
)


class AgainstModel(RuleBasedStateMachine):
    """Facts in order, told to both."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.script = Script(default())
        self.rank = -1

    # -- both sides ---------------------------------------------------------------------------

    def tell(self, rank: str, kind: str, data: dict[str, object]) -> Event:
        """The fact as an event; if its type would come earlier in the order, an hour later."""
        if RANKS.index(rank) < self.rank:
            self.pass_hours(1)
        self.rank = RANKS.index(rank)
        return self.script.add(kind, START + self.model.now * HOUR, data)

    def pass_hours(self, hours: int) -> None:
        for _ in range(hours):
            self.model.tick()
            self.model.now += 1
        self.rank = -1

    @initialize(state=st.sampled_from(["none", "referral", *BEGIN]))
    def begin(self, state: str) -> None:
        """Most histories begin where the rules speak."""
        if state != "none":
            self.referral()
        if state in BEGIN:
            self._screen(dict(GOOD))
            self.decision_of(state, confirm=True, override=False)

    # -- what may happen ----------------------------------------------------------------------

    @rule(hours=st.sampled_from([1, 2, 3, 4, 24, 71, 72, 100, 335, 336, 337, 400]))
    def time_passes(self, hours: int) -> None:
        self.pass_hours(hours)

    @rule()
    def refer_again(self) -> None:
        self.referral()

    def referral(self) -> None:
        self.tell("refer", "referral.received", {})
        self.model.refer()
        self.model.settle()

    @rule()
    def eligible(self) -> None:
        self._screen(dict(GOOD))

    @rule(name=st.sampled_from(sorted(GOOD)), value=st.sampled_from([True, False, None]))
    def screening(self, name: str, value: bool | None) -> None:  # noqa: FBT001
        self._screen({name: value})

    def _screen(self, criteria: dict[str, bool | None]) -> None:
        self.tell("screen", "screening.completed", {"criteria": criteria})
        self.model.screen(criteria)
        self.model.settle()

    @rule(complete=st.booleans())
    def aftercare_plan(self, complete: bool) -> None:  # noqa: FBT001
        parts = {"outpatient_therapy": True, "support_groups": complete}
        self.tell("plan", "aftercare_plan.completed", {**parts, "relapse_prevention": True})
        self.model.plan_aftercare(complete)
        self.model.settle()

    @rule(status=st.sampled_from(["no_show", "no_show", "attended", "excused"]))
    def session(self, status: str) -> None:
        self._session(status)

    @rule(called=st.booleans())
    def three_no_shows(self, called: bool) -> None:  # noqa: FBT001
        """And perhaps somebody reaches the patient in that very hour."""
        for _ in range(3):
            self.pass_hours(24)
            self._session("no_show")
        if called:
            self.call_of(reached=True)

    def _session(self, status: str) -> None:
        data: dict[str, object] = {"kind": "group", "status": status, "scheduled_minutes": 60}
        data["attended_minutes"] = 60 if status == "attended" else 0
        if RANKS.index("attend") < self.rank:
            self.pass_hours(1)
        data["scheduled_start"] = format_instant(START + (self.model.now - 1) * HOUR)
        self.tell("attend", "attendance.recorded", data)
        self.model.attend(status)
        self.model.settle()

    @rule(item_9=st.integers(-1, 4), total_given=st.sampled_from([None, 0, 1]))
    def assessment(self, item_9: int, total_given: int | None) -> None:
        items = {str(number): 0 for number in range(1, 9)} | {"9": item_9}
        data: dict[str, object] = {"instrument": "PHQ-9", "items": items}
        data |= {} if total_given is None else {"score": total_given}
        event = self.tell("assess", "assessment.completed", data)
        believable = 0 <= item_9 <= 3 and total_given in {None, item_9}
        self.model.assess(event.id, item_9=item_9, believable=believable)
        self.model.settle()

    @rule()
    def harm(self) -> None:
        self.self_harm()

    def self_harm(self) -> None:
        """An urgent report."""
        event = self.tell("report", "safety.reported", {"kind": "self_harm"})
        self.model.report(event.id)
        self.model.settle()

    @rule(reached=st.booleans())
    def call(self, reached: bool) -> None:  # noqa: FBT001
        self.call_of(reached=reached)

    def call_of(self, *, reached: bool) -> None:
        """Somebody tries to reach the patient."""
        self.tell("contact", "contact.made", {"channel": "phone", "reached": reached})
        self.model.contact(reached=reached)
        self.model.settle()

    @rule(hours=st.sampled_from([1, 24, 100, 400, None]))
    def leave(self, hours: int | None) -> None:
        self.leave_of(hours)

    def leave_of(self, hours: int | None) -> None:
        """A leave from now on; open-ended without hours."""
        if RANKS.index("leave") < self.rank:
            self.pass_hours(1)
        begin = START + self.model.now * HOUR
        data: dict[str, object] = {"from": format_instant(begin), "reason": "vacation"}
        data |= {"until": format_instant(begin + hours * HOUR)} if hours else {}
        self.tell("leave", "leave.recorded", data)
        self.model.leave(hours or float("inf"))
        self.model.settle()

    @rule(choice=st.integers(0, 5))
    def close(self, choice: int) -> None:
        events = sorted(set(self.model.urgent) - {HOUSING})
        if not events:
            return
        if RANKS.index("close") < self.rank:
            self.pass_hours(1)
        event = events[choice % len(events)]
        alerts = self.fold().snapshot.alerts.values()
        [alert_id] = [
            alert.id
            for alert in alerts
            if alert.rule in {"safety-response", "safety-report"} and alert.refs[0][1] == event
        ]
        data = {"alert_id": alert_id, "closed_by": "p", "outcome": "assessed_safe"}
        self.tell("close", "alert.closed", data)
        self.model.close(event)
        self.model.settle()

    @rule(
        to=st.sampled_from([*sorted(OPEN), "iop", "iop", "php", "discharged"]),
        confirm=st.sampled_from([True, True, True, False]),
        override=st.sampled_from([False, False, True]),
    )
    def decision(self, to: str, confirm: bool, override: bool) -> None:  # noqa: FBT001
        self.decision_of(to, confirm=confirm, override=override)

    def decision_of(self, to: str, *, confirm: bool, override: bool) -> None:
        """A clinician decides."""
        data: dict[str, object] = {"to": to, "confirm": confirm, "decided_by": "c"}
        data |= {"reason_code": "r"} | ({"override": {"reason": "x"}} if override else {})
        self.tell("decide", "decision.recorded", data)
        self.model.decide(to, confirm=confirm, override=override)
        self.model.settle()

    @rule(hours=st.sampled_from([1, 24, 340]), choice=st.integers(0, 3))
    def move_on(self, hours: int, choice: int) -> None:
        """A legal move, whatever guards say, after a while at this level."""
        self.pass_hours(hours)
        ways = sorted(DECISIONS.get(self.model.state or "", ()))
        if ways:
            self.decision_of(ways[choice % len(ways)], confirm=True, override=True)

    @rule(away=st.sampled_from([24, 100, None]), more=st.sampled_from([335, 336]))
    def quiet_weeks(self, away: int | None, more: int) -> None:
        """A call, a leave, and nothing for fourteen days, or an hour less."""
        self.call_of(reached=True)
        self.leave_of(away)
        self.pass_hours(away or 400)
        if away is None:
            self._session("attended")
        self.pass_hours(more)

    @rule(then=st.sampled_from(["report", "decline", "discharge", "wait", "clear"]))
    def blocked_decision(self, then: str) -> None:
        """A decision that must wait, and what may end the waiting."""
        self._screen({"needs_24h_supervision": True})
        self.decision_of("php", confirm=True, override=False)
        self.pass_hours(1)
        match then:
            case "report":
                self.self_harm()
            case "decline":
                self.decision_of("php", confirm=False, override=False)
            case "discharge":
                self.discharge(0)
            case "wait":
                self.pass_hours(71)
        self._screen({"needs_24h_supervision": False})

    @rule(rarely=st.integers(0, 3))
    def discharge_rarely(self, rarely: int) -> None:
        self.discharge(rarely)

    def discharge(self, rarely: int) -> None:
        if rarely == 0:
            self.tell("discharge", "discharge.recorded", {"reason": "other", "decided_by": "c"})
            self.model.discharge()
            self.model.settle()

    # -- the comparison -----------------------------------------------------------------------

    def fold(self) -> Folded:
        """All facts, up to just before the clock strikes the present hour."""
        until = time_advanced(PATIENT, START + self.model.now * HOUR - 1)
        digest = default_policy.digest
        facts = standing([*self.script.events, until])
        facts.facts_until = min(facts.facts_until, until.data.to)  # type: ignore[attr-defined]
        return fold({digest: default_policy}, digest, PATIENT, facts)

    @invariant()
    def both_say_the_same(self) -> None:
        folded, model = self.fold(), self.model
        record, waiting = folded.snapshot.record, folded.snapshot.waiting
        assert record.state == model.state
        assert hours(record.since) == model.since
        assert (waiting and (waiting.to, hours(waiting.until))) == model.waiting
        wanted = [tuple(alert) for alert in model.alerts]
        assert sorted(said(folded), key=str) == sorted(wanted, key=str)

    @invariant()
    def no_step_down_or_discharge_while_an_urgent_alert_stands(self) -> None:
        standing_one = self.fold().snapshot.recommendation
        if standing_one is not None and self.model.urgent and self.model.state != "screening":
            assert standing_one.to in HIGHER


default_policy = default()


def hours(instant: int | None) -> int | None:
    """Hours since the start; a fact or timer at another instant would be a fraction."""
    if instant is None:
        return None
    whole, rest = divmod(instant - START, HOUR)
    assert rest == 0
    return whole


def said(folded: Folded) -> list[tuple[str, int | None, int | None]]:
    """Alerts of the judged rules: rule, raised, ended."""
    ends = {effect.key: effect.at for effect in folded.effects if isinstance(effect, Ended)}
    return [
        (str(effect.said["rule"]), hours(effect.at), hours(ends.get(effect.key)))
        for effect in folded.effects
        if isinstance(effect, Raised) and effect.said.get("rule") in JUDGED
        and effect.kind == "alert"
    ]  # fmt: skip


AgainstModel.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    phases=[phase for phase in Phase if phase is not Phase.explain],  # it takes minutes here
    suppress_health_check=[HealthCheck.too_slow],
)
TestAgainstModel = AgainstModel.TestCase

"""Conditions on coverage, plans, certifications, alerts and discharge."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from pathway.conditions.base import Condition, Inputs, Tri, View
from pathway.record import Certification, Ref
from schemas.inbound import DischargeRecorded
from schemas.instants import DAY, HOUR


class Coverage(Condition):
    """Coverage has one of the given statuses."""

    reads = frozenset({"coverage"})
    status: list[Literal["verified", "denied", "pending", "self_pay"]] = Field(min_length=1)

    def test(self, view: View) -> Tri:
        known = view.record.coverage
        return None if known is None else known.value in self.status

    def inputs(self, view: View) -> Inputs:
        return {"coverage": view.record.coverage.value if view.record.coverage else None}

    def describe(self) -> str:
        return "coverage " + " or ".join(status.replace("_", "-") for status in self.status)


class Payer(Condition):
    """The payer is one of the given ones."""

    reads = frozenset({"coverage"})
    is_: list[Literal["medicare", "medicaid", "commercial", "self_pay", "other"]] = Field(
        alias="is", min_length=1
    )

    def test(self, view: View) -> Tri:
        known = view.record.payer
        return None if known is None else known.value in self.is_

    def inputs(self, view: View) -> Inputs:
        return {"payer": view.record.payer.value if view.record.payer else None}

    def describe(self) -> str:
        return "payer " + " or ".join(self.is_)


class Priority(Condition):
    """The referral's priority."""

    reads = frozenset({"state"})
    is_: Literal["routine", "urgent"] = Field(alias="is")

    def test(self, view: View) -> Tri:
        referral = view.record.referral
        return None if referral is None else referral.priority == self.is_

    def inputs(self, view: View) -> Inputs:
        return {"priority": view.record.referral.priority if view.record.referral else None}

    def describe(self) -> str:
        return f"{self.is_} referral"


class GoalsMet(Condition):
    """Every goal of the treatment plan is met; unknown without goals."""

    reads = frozenset({"plan"})

    def test(self, view: View) -> Tri:
        plan = view.record.plan
        if plan is None or plan.goals_total == 0:
            return None
        return plan.goals_met >= plan.goals_total

    def inputs(self, view: View) -> Inputs:
        plan = view.record.plan
        return {"goals met": f"{plan.goals_met} of {plan.goals_total}" if plan else None}

    def describe(self) -> str:
        return "treatment goals met"


class StepDownPlan(Condition):
    """A step-down plan was completed."""

    reads = frozenset({"plan"})

    def test(self, view: View) -> Tri:
        return view.record.step_down_plan is not None

    def inputs(self, view: View) -> Inputs:
        return {"step-down plan": view.record.step_down_plan is not None}

    def describe(self) -> str:
        return "step-down plan completed"


class AftercarePlan(Condition):
    """The aftercare plan has therapy, support groups and relapse prevention."""

    reads = frozenset({"plan"})

    def test(self, view: View) -> Tri:
        plan = view.record.aftercare_plan
        return plan is not None and plan.complete

    def inputs(self, view: View) -> Inputs:
        plan = view.record.aftercare_plan
        return {"aftercare plan": "none" if plan is None else _completeness(complete=plan.complete)}

    def describe(self) -> str:
        return "aftercare plan with all three parts"


def _completeness(*, complete: bool) -> str:
    return "complete" if complete else "incomplete"


class UrgentAlertStands(Condition):
    """An urgent alert stands."""

    reads = frozenset({"alerts"})

    def test(self, view: View) -> Tri:
        return any(alert.severity == "urgent" for alert in view.snapshot.alerts.values())

    def inputs(self, view: View) -> Inputs:
        names = sorted(a.name for a in view.snapshot.alerts.values() if a.severity == "urgent")
        return {"urgent alerts": names}

    def describe(self) -> str:
        return "an urgent alert stands"


class NoUrgentAlertFor(Condition):
    """No urgent alert stands, and none was raised within the time."""

    reads = frozenset({"alerts"})
    days: int | None = Field(default=None, ge=1)
    hours: int | None = Field(default=None, ge=1)

    @property
    def _span(self) -> int:
        return (self.days or 0) * DAY + (self.hours or 0) * HOUR

    def test(self, view: View) -> Tri:
        if any(alert.severity == "urgent" for alert in view.snapshot.alerts.values()):
            return False
        last = view.snapshot.last_urgent
        return last is None or view.clock >= last + self._span

    def due(self, view: View) -> int | None:
        last = view.snapshot.last_urgent
        clear_at = None if last is None else last + self._span
        return clear_at if clear_at is not None and view.clock < clear_at else None

    def inputs(self, view: View) -> Inputs:
        last = view.snapshot.last_urgent
        return {"days since an urgent alert": None if last is None else (view.clock - last) // DAY}

    def describe(self) -> str:
        span = f"{self.days} days" if self.days else f"{self.hours} hours"
        return f"no urgent alert in {span}"


def _of_level(view: View) -> list[Certification]:
    since = view.record.since or 0
    return [
        each
        for each in view.record.certifications
        if each.level == view.record.state and (each.until > since or each.at >= since)
    ]


class Expiry(Condition):
    """The newest certification of some kind runs out within some days, or has run out."""

    reads = frozenset({"certification", "state"})
    within_days: int | None = Field(default=None, ge=1)
    past: bool = False

    def _spans(self, view: View) -> list[tuple[int, int | None, Ref]]:
        newest: dict[str, Certification] = {}
        for each in _of_level(view):
            held = newest.get(each.kind)
            if held is None or each.until >= held.until:
                newest[each.kind] = each
        if self.past:
            return [(each.until, None, each.ref) for each in newest.values()]
        ahead = (self.within_days or 0) * DAY
        return [(each.until - ahead, each.until, each.ref) for each in newest.values()]

    def _current(self, view: View) -> list[Ref]:
        return [
            ref
            for start, end, ref in self._spans(view)
            if start <= view.clock and (end is None or view.clock < end)
        ]

    def test(self, view: View) -> Tri:
        return bool(self._current(view))

    def due(self, view: View) -> int | None:
        edges = [edge for start, end, _ in self._spans(view) for edge in (start, end)]
        later = [edge for edge in edges if edge is not None and edge > view.clock]
        return min(later) if later else None

    def refs(self, view: View) -> Iterator[Ref]:
        return iter(self._current(view))

    def describe(self) -> str:
        return "certified until is past" if self.past else f"runs out in {self.within_days} days"


class Recertification(Condition):
    """A periodic certification falls due within some days, or is overdue.

    The first is due `first_days` after entering the level, each later one `every_days` after
    the newest one's start.
    """

    reads = frozenset({"certification", "state"})
    kind: Literal["physician_certification", "payer_authorization"]
    first_days: int = Field(ge=1)
    every_days: int = Field(ge=1)
    within_days: int | None = Field(default=None, ge=1)
    past: bool = False

    def _deadline(self, view: View) -> int | None:
        if view.record.since is None:
            return None
        starts = [each.since for each in _of_level(view) if each.kind == self.kind]
        if starts:
            return max(starts) + self.every_days * DAY
        return view.record.since + self.first_days * DAY

    def _window(self, view: View) -> tuple[int, int | None] | None:
        deadline = self._deadline(view)
        if deadline is None:
            return None
        return (
            (deadline, None)
            if self.past
            else (
                deadline - (self.within_days or 0) * DAY,
                deadline,
            )
        )

    def test(self, view: View) -> Tri:
        window = self._window(view)
        if window is None:
            return None
        start, end = window
        return start <= view.clock and (end is None or view.clock < end)

    def due(self, view: View) -> int | None:
        later = [edge for edge in self._window(view) or () if edge and edge > view.clock]
        return min(later) if later else None

    def inputs(self, view: View) -> Inputs:
        deadline = self._deadline(view)
        left = None if deadline is None else (deadline - view.clock) // DAY
        return {"days until recertification": left}

    def describe(self) -> str:
        when = "overdue" if self.past else f"due within {self.within_days} days"
        return f"{self.kind.replace('_', ' ')} every {self.every_days} days: {when}"


class DischargeReason(Condition):
    """The discharge at hand has one of the given reasons."""

    reads = frozenset({"discharge"})
    on_event: ClassVar[bool] = True
    is_: list[str] = Field(alias="is", min_length=1)

    def test(self, view: View) -> Tri:
        data = view.fact.data if view.fact else None
        return isinstance(data, DischargeRecorded) and data.reason in self.is_

    def describe(self) -> str:
        return "discharged as " + " or ".join(self.is_)


class Undetermined(Condition):
    """Some of the listed rules cannot be told, and no rule listed before them holds.

    List the rules from the one that outranks all others down, so that only unknowns which
    could change the result count.
    """

    reads = frozenset({"criteria"})
    rules: list[str] = Field(min_length=1)

    def _open(self, view: View) -> list[str]:
        names: list[str] = []
        for rule_id in self.rules:
            when = view.policy.rule(rule_id).when
            value = when.test(view)
            if value:
                break
            if value is None:
                names += [name for name in when.unknowns(view) if name not in names]
        return names

    def test(self, view: View) -> Tri:
        return bool(self._open(view))

    def inputs(self, view: View) -> Inputs:
        return {"unknown": self._open(view)}

    def describe(self) -> str:
        return "an unknown could change the recommendation"

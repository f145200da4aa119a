"""Conditions on coverage, referral, alerts, discharge and other rules."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pathway.conditions.base import Condition, Inputs, Tri, View, earliest
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

    @model_validator(mode="after")
    def _one_span(self) -> Self:
        if (self.days is None) == (self.hours is None):
            raise ValueError("give one of days, hours")
        return self

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
        return {"days since an urgent alert": None if last is None else (view.now - last) // DAY}

    def describe(self) -> str:
        span = f"{self.days} days" if self.days else f"{self.hours} hours"
        return f"no urgent alert in {span}"


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

    rules: list[str] = Field(min_length=1)

    def rules_asked(self) -> list[str]:
        return self.rules

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

    def due(self, view: View) -> int | None:
        return earliest(*(view.policy.rule(each).when.due(view) for each in self.rules))

    def inputs(self, view: View) -> Inputs:
        return {"unknown": self._open(view)}

    def describe(self) -> str:
        return "an unknown could change the recommendation"

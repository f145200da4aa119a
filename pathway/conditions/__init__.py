"""The policy language: every building block by the name under which a policy writes it.

A condition is a mapping of one such name to its settings; `all` and `any` take a list:

    all:
      - score: {instrument: PHQ-9, at_least: 20}
      - not: {urgent_alert_stands: {}}
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from pathway.conditions import administrative, attendance, clinical
from pathway.conditions.base import (
    Condition,
    Group,
    Inputs,
    Tri,
    View,
    all_of,
    any_of,
    earliest,
)


class ConditionError(ValueError):
    """A condition that cannot be understood; the text names the place and what is wrong."""


def parse(node: object) -> Condition:
    """Build a condition from its YAML form. Raises ConditionError."""
    if isinstance(node, Condition):
        return node
    if not isinstance(node, Mapping) or len(node) != 1:
        raise ConditionError("a condition is one name with its settings, such as `screened: {}`")
    name, body = next(iter(node.items()))
    kind = CONDITIONS.get(str(name))
    if kind is None:
        raise ConditionError(f"unknown condition {name!r}; known: {', '.join(CONDITIONS)}")
    try:
        return kind.model_validate({} if body is None else body)
    except ValidationError as error:
        raise ConditionError(f"{name}: {_first_fault(error)}") from None


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in fault["loc"] if part != "members")
    message = fault["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


AnyCondition = Annotated[Condition, BeforeValidator(parse)]


class _Several(Group):
    """Common to `all` and `any`."""

    members: tuple[AnyCondition, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, body: Any) -> Any:  # noqa: ANN401 - whatever the YAML holds
        return {"members": body} if isinstance(body, list) else body

    def inside(self) -> tuple[Condition, ...]:
        return self.members


class All(_Several):
    """Every part holds."""

    def test(self, view: View) -> Tri:
        return all_of(self.members, view)

    def unknowns(self, view: View) -> list[str]:
        if self.test(view) is not None:
            return []
        return [name for member in self.members for name in member.unknowns(view)]

    def unmet(self, view: View) -> list[Condition]:
        return [part for member in self.members for part in member.unmet(view)]

    def describe(self) -> str:
        return " and ".join(member.describe() for member in self.members)


class Any_(_Several):  # noqa: N801 - `any` in a policy; the plain name is typing's
    """At least one part holds."""

    def test(self, view: View) -> Tri:
        return any_of(self.members, view)

    def unknowns(self, view: View) -> list[str]:
        if self.test(view) is not None:
            return []
        return [name for member in self.members for name in member.unknowns(view)]

    def describe(self) -> str:
        return "(" + " or ".join(member.describe() for member in self.members) + ")"


class Not(Group):
    """The part does not hold; unknown stays unknown."""

    member: AnyCondition

    @model_validator(mode="before")
    @classmethod
    def _from_part(cls, body: Any) -> Any:  # noqa: ANN401 - whatever the YAML holds
        return body if isinstance(body, dict) and "member" in body else {"member": body}

    def inside(self) -> tuple[Condition, ...]:
        return (self.member,)

    def test(self, view: View) -> Tri:
        value = self.member.test(view)
        return None if value is None else not value

    def unknowns(self, view: View) -> list[str]:
        return self.member.unknowns(view)

    def describe(self) -> str:
        return f"not ({self.member.describe()})"


CONDITIONS: Final[Mapping[str, type[Condition]]] = {
    "all": All,
    "any": Any_,
    "not": Not,
    "criterion": clinical.Criterion,
    "screened": clinical.Screened,
    "score": clinical.ScoreIs,
    "score_given": clinical.ScoreGiven,
    "score_change": clinical.ScoreChange,
    "score_share": clinical.ScoreShare,
    "score_repeated": clinical.ScoreRepeated,
    "score_fresh": clinical.ScoreFresh,
    "measures_ordered": clinical.MeasuresOrdered,
    "response": clinical.Response,
    "reading": clinical.ReadingIs,
    "set_aside": clinical.SetAside,
    "reported": clinical.Reported,
    "reports": clinical.ReportsCounted,
    "weekly_hours": attendance.WeeklyHours,
    "week_unknown": attendance.WeekUnknown,
    "attended_share": attendance.AttendedShare,
    "group_share": attendance.GroupShare,
    "no_show_run": attendance.NoShowRun,
    "no_shows": attendance.NoShowsCounted,
    "since": attendance.Since,
    "seen_since_residential": attendance.SeenSinceResidential,
    "followed_up": attendance.FollowedUp,
    "plan_hours": attendance.PlanHours,
    "plan_days": attendance.PlanDays,
    "coverage": administrative.Coverage,
    "payer": administrative.Payer,
    "priority": administrative.Priority,
    "goals_met": administrative.GoalsMet,
    "step_down_plan": administrative.StepDownPlan,
    "aftercare_plan": administrative.AftercarePlan,
    "urgent_alert_stands": administrative.UrgentAlertStands,
    "no_urgent_alert": administrative.NoUrgentAlertFor,
    "expiry": administrative.Expiry,
    "recertification": administrative.Recertification,
    "discharge_reason": administrative.DischargeReason,
    "undetermined": administrative.Undetermined,
}

__all__ = [
    "CONDITIONS",
    "AnyCondition",
    "Condition",
    "ConditionError",
    "Inputs",
    "Tri",
    "View",
    "earliest",
    "parse",
]

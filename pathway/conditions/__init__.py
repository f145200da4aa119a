"""The policy language: every building block by the name under which a policy writes it.

A condition is a mapping of one such name to its settings; `all` and `any` take a list:

    all:
      - score: {instrument: PHQ-9, at_least: 20}
      - not: {urgent_alert_stands: {}}
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from pathway.conditions import (
    absence,
    administrative,
    attendance,
    certification,
    clinical,
    plans,
    safety,
)
from pathway.conditions.base import (
    Condition,
    Group,
    Inputs,
    Outlook,
    Test,
    Tri,
    View,
    decided_by,
    earliest,
    is_timed,
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
        near = get_close_matches(str(name), CONDITIONS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(CONDITIONS)}"
        raise ConditionError(f"unknown condition {name!r}; {hint}")
    try:
        return kind.model_validate({} if body is None else body)
    except ValidationError as error:
        raise ConditionError(f"{name}: {_first_fault(error)}") from None


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in fault["loc"] if part not in {"members", "member"})
    message = in_words(fault)
    return f"{where}: {message}" if where else message


def in_words(fault: ErrorDetails) -> str:
    """What pydantic found, as one would tell the writer of a policy."""
    match fault["type"]:
        case "extra_forbidden":
            return "there is no such field"
        case "missing":
            return "is missing"
        case _:
            return fault["msg"].removeprefix("Value error, ")


AnyCondition = Annotated[Condition, BeforeValidator(parse)]


class _Several(Group):
    """Common to `all` and `any`. Asked more than anything else, it keeps what it asks."""

    members: tuple[AnyCondition, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, body: Any) -> Any:  # noqa: ANN401 - whatever the YAML holds
        return {"members": body} if isinstance(body, list) else body

    deciding: ClassVar[bool]

    def inside(self) -> tuple[Condition, ...]:
        return self.members

    @cached_property
    def _tests(self) -> tuple[Test, ...]:
        return tuple(member.test for member in self.members)

    @cached_property
    def _untimed(self) -> tuple[Test, ...]:
        return tuple(member.test for member in self.members if not is_timed(member))

    @cached_property
    def _timed(self) -> tuple[Callable[[View], Outlook], ...]:
        return tuple(member.outlook for member in self.members if is_timed(member))

    def test(self, view: View) -> Tri:
        return decided_by(self.deciding, self._tests, view)

    def outlook(self, view: View) -> Outlook:
        """Where a part that time does not touch decides, time can change nothing: no timer."""
        deciding = self.deciding
        result = decided_by(deciding, self._untimed, view)
        if result is deciding:
            return deciding, None
        due: int | None = None
        for outlook in self._timed:
            value, at = outlook(view)
            if at is not None and (due is None or at < due):
                due = at
            if value is deciding:
                result = deciding
            elif value is None and result is not deciding:
                result = None
        return result, due


class All(_Several):
    """Every part holds."""

    deciding = False

    def unknowns(self, view: View) -> list[str]:
        if self.test(view) is not None:
            return []
        return [name for member in self.members for name in member.unknowns(view)]

    def unmet(self, view: View) -> list[Condition]:
        return [part for member in self.members for part in member.unmet(view)]

    def describe(self) -> str:
        text = " and ".join(member.describe() for member in self.members)
        return text.replace(" and unless ", ", unless ")


class Any_(_Several):  # noqa: N801 - `any` in a policy; the plain name is typing's
    """At least one part holds."""

    deciding = True

    def unknowns(self, view: View) -> list[str]:
        if self.test(view) is not None:
            return []
        return [name for member in self.members for name in member.unknowns(view)]

    def describe(self) -> str:
        texts = [
            f"({member.describe()})" if isinstance(member, All) else member.describe()
            for member in self.members
        ]
        return "(" + " or ".join(texts) + ")"


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

    def outlook(self, view: View) -> Outlook:
        value, due = self.member.outlook(view)
        return None if value is None else not value, due

    def unknowns(self, view: View) -> list[str]:
        return self.member.unknowns(view)

    def describe(self) -> str:
        return f"not ({self.member.describe()})"


class Unless(Not):
    """The part is not known to hold; unknown counts as not.

    For exceptions only: what a rule asks for must be known, and stands under all, any or not.
    """

    def test(self, view: View) -> Tri:
        return not self.member.test(view)

    def outlook(self, view: View) -> Outlook:
        value, due = self.member.outlook(view)
        return not value, due

    def unknowns(self, view: View) -> list[str]:
        return []

    def describe(self) -> str:
        return f"unless {self.member.describe()}"


CONDITIONS: Final[Mapping[str, type[Condition]]] = {
    "all": All,
    "any": Any_,
    "not": Not,
    "unless": Unless,
    "criterion": clinical.Criterion,
    "screened": clinical.Screened,
    "score": clinical.ScoreIs,
    "score_given": clinical.ScoreGiven,
    "score_change": clinical.ScoreChange,
    "score_share": clinical.ScoreShare,
    "score_repeated": clinical.ScoreRepeated,
    "score_fresh": clinical.ScoreFresh,
    "measures_ordered": clinical.MeasuresOrdered,
    "response": safety.Response,
    "reading": safety.ReadingIs,
    "set_aside": safety.SetAside,
    "reported": safety.Reported,
    "reports": safety.ReportsCounted,
    "weekly_hours": attendance.WeeklyHours,
    "week_unknown": attendance.WeekUnknown,
    "attended_share": attendance.AttendedShare,
    "group_share": attendance.GroupShare,
    "no_show_run": absence.NoShowRun,
    "no_shows": absence.NoShowsCounted,
    "since": absence.Since,
    "seen_since_residential": absence.SeenSinceResidential,
    "followed_up": absence.FollowedUp,
    "plan_hours": plans.PlanHours,
    "plan_days": plans.PlanDays,
    "coverage": administrative.Coverage,
    "payer": administrative.Payer,
    "priority": administrative.Priority,
    "goals_met": plans.GoalsMet,
    "step_down_plan": plans.StepDownPlan,
    "aftercare_plan": plans.AftercarePlan,
    "urgent_alert_stands": administrative.UrgentAlertStands,
    "no_urgent_alert": administrative.NoUrgentAlertFor,
    "expiry": certification.Expiry,
    "recertification": certification.Recertification,
    "discharge_reason": administrative.DischargeReason,
    "undetermined": administrative.Undetermined,
}

__all__ = [
    "CONDITIONS",
    "All",
    "AnyCondition",
    "Any_",
    "Condition",
    "ConditionError",
    "Group",
    "Inputs",
    "Not",
    "Outlook",
    "Tri",
    "Unless",
    "View",
    "earliest",
    "in_words",
    "is_timed",
    "parse",
]

"""Conditions on treatment, step-down and aftercare plans."""

from collections.abc import Iterator

from pathway.conditions.base import Bounds, Condition, Inputs, Tri, View
from pathway.record import Ref


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


class PlanHours(Bounds):
    """Planned hours a week, as the treatment plan says."""

    reads = frozenset({"plan"})

    def test(self, view: View) -> Tri:
        plan = view.record.plan
        return None if plan is None or plan.hours is None else self.within(plan.hours)

    def inputs(self, view: View) -> Inputs:
        return {"planned hours": view.record.plan.hours if view.record.plan else None}

    def refs(self, view: View) -> Iterator[Ref]:
        if view.record.plan:
            yield view.record.plan.ref

    def describe(self) -> str:
        return f"planned hours a week {self.bounds()}"


class PlanDays(Bounds):
    """Planned days a week, as the treatment plan says."""

    reads = frozenset({"plan"})

    def test(self, view: View) -> Tri:
        plan = view.record.plan
        return None if plan is None or plan.days is None else self.within(plan.days)

    def inputs(self, view: View) -> Inputs:
        return {"planned days": view.record.plan.days if view.record.plan else None}

    def refs(self, view: View) -> Iterator[Ref]:
        if view.record.plan:
            yield view.record.plan.ref

    def describe(self) -> str:
        return f"planned days a week {self.bounds()}"

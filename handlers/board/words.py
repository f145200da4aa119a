"""How states, instants, spans and values are put into words on the board."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from pathway.alerts import ENGINE_ALERTS
from pathway.policy import NO_STATE, Policy
from pathway.weeks import calendar
from schemas.instants import DAY, HOUR, MINUTE, format_instant

LABELS: Final = {
    NO_STATE: "No state",
    "referral": "Referral",
    "screening": "Screening",
    "residential": "Residential",
    "php": "PHP",
    "iop": "IOP",
    "step_down": "Step-down",
    "aftercare": "Aftercare",
    "discharged": "Discharged",
}
WAITING: Final = ("referral", "screening")
CARE: Final = ("residential", "php", "iop", "step_down", "aftercare")
PRESENT: Final = (*WAITING, *CARE)  # in the order in which a patient passes them


def label(state: str | None) -> str:
    """A state's short name."""
    return LABELS.get(state or NO_STATE, words(state or NO_STATE))


def words(name: str) -> str:
    """An identifier as words: `same_day_safety_assessment`, `left_against_advice`."""
    return name.replace("_", " ").replace("-", " ")


def sentence(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def value(given: object) -> str:
    """A condition's input as a person would say it."""
    if given is None:
        return "unknown"
    if isinstance(given, bool):
        return "yes" if given else "no"
    if isinstance(given, dict):
        return ", ".join(f"{name} {value(each)}" for name, each in given.items()) or "unknown"
    if isinstance(given, list | tuple):
        return ", ".join(value(each) for each in given) or "none"
    return str(given)


def basis(policy: Policy | None, rule_id: str) -> str:
    """Why a rule speaks, in a sentence: its title, its limit and the limit's source."""
    engine = ENGINE_ALERTS.get(rule_id)
    if engine is not None:
        return f"{sentence(engine.title)}."
    if policy is None or rule_id not in policy.order:
        return f"Rule {rule_id}."
    rule = policy.rule(rule_id)
    limit = f"; limit {rule.threshold}" if rule.value is not None else ""
    return f"{sentence(rule.title)}{limit} ({rule.source})."


@dataclass(slots=True, frozen=True)
class Times:
    """Instants (µs) on the program's wall clock."""

    zone: str

    def local(self, instant: int) -> datetime:
        """The wall clock's date and time."""
        return calendar(self.zone).local(instant)

    def date(self, instant: int) -> date:
        """The local day."""
        return self.local(instant).date()

    def stamp(self, instant: int) -> str:
        """As in `27 Mar 2026, 15:04`."""
        moment = self.local(instant)
        return f"{moment.day} {moment:%b %Y, %H:%M}"

    def day(self, instant: int) -> str:
        """As in `27 Mar 2026`."""
        moment = self.local(instant)
        return f"{moment.day} {moment:%b %Y}"

    def short(self, instant: int) -> str:
        """As in `27 Mar`."""
        moment = self.local(instant)
        return f"{moment.day} {moment:%b}"

    def iso(self, instant: int) -> str:
        """For the `datetime` attribute."""
        return format_instant(instant)


def age(instant: int, now: int) -> str:
    """How long ago, in its greatest unit: `12 min`, `7 h`, `3 days`."""
    past = max(0, now - instant)
    if past < HOUR:
        return f"{past // MINUTE} min"
    if past < 2 * DAY:
        return f"{past // HOUR} h"
    return f"{past // DAY} days"


def count(number: int, one: str, many: str | None = None) -> str:
    """As in `1 patient`, `2 patients`, `1,204 patients`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"

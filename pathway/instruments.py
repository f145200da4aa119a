"""Assessment instruments: what a response must look like, and what can be read from it.

Ranges and scoring keys are the instruments' own, not policy; cut-offs are policy rows.
Sources: PHQ-9 (Kroenke 2001), GAD-7 (Spitzer 2006), BAM (Cacciola 2013; VA scoring sheet:
use = items 4-6, risk = 1, 2, 3, 8, 11, 15, protective = 9, 10, 12, 13, 14, 16; item 7 asks
which drugs and item 17 is satisfaction, neither is scored), C-SSRS screener (Posner 2011),
CIWA-Ar (Sullivan 1989), COWS (Wesson 2003), AUDIT/AUDIT-C (WHO), DAST-10 (Skinner 1982),
PCL-5 (Weathers 2013), WHODAS 2.0 simple scoring (WHO).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from schemas.inbound import AssessmentCompleted

Items = Mapping[str, int]


@dataclass(slots=True, frozen=True)
class Reading:
    """What one response says: `measures` by name, or the reason why it is set aside."""

    measures: Mapping[str, int]
    set_aside: str | None = None  # out_of_range, items_disagree, items_incomplete, unknown_…


@dataclass(slots=True, frozen=True)
class Instrument:
    """One instrument in one variant.

    Attributes:
        items: item name to its highest value (lowest is 0); empty if totals only.
        total: the highest total, or None if the instrument has none.
        derive: measures computed from complete, valid items.
        open_items: item names are free (analytes), each 0 or 1.
        partial: items may be missing (skip logic).
    """

    items: Mapping[str, int]
    total: int | None
    derive: Callable[[Items], dict[str, int]] | None = None
    open_items: bool = False
    partial: bool = False


def _numbered(count: int, highest: int) -> dict[str, int]:
    return {str(number): highest for number in range(1, count + 1)}


def _bam(items: Items) -> dict[str, int]:
    return {name: sum(items[item] for item in keys) for name, keys in BAM_SUBSCALES.items()}


def _any_unexpected(items: Items) -> dict[str, int]:
    return {"unexpected": int(any(items.values()))}


def _suicide_risk(items: Items) -> dict[str, int]:
    return {"high": int(any(items.get(item) for item in ("4", "5", "6_3m")))}


BAM_SUBSCALES: Final[Mapping[str, tuple[str, ...]]] = {
    "use": ("4", "5", "6"),
    "risk": ("1", "2", "3", "8", "11", "15"),
    "protective": ("9", "10", "12", "13", "14", "16"),
}

# (instrument, variant) -> definition. A variant of None is the one and only form.
INSTRUMENTS: Final[Mapping[tuple[str, str | None], Instrument]] = {
    ("PHQ-9", None): Instrument(_numbered(9, 3), 27),
    ("GAD-7", None): Instrument(_numbered(7, 3), 21),
    ("BAM", "likert"): Instrument(
        {item: 4 for keys in BAM_SUBSCALES.values() for item in keys}, None, _bam
    ),
    ("C-SSRS", "screener"): Instrument(
        dict.fromkeys(("1", "2", "3", "4", "5", "6_lifetime", "6_3m"), 1),
        None,
        _suicide_risk,
        partial=True,
    ),
    ("CIWA-Ar", None): Instrument({}, 67),
    ("COWS", None): Instrument({}, 48),
    ("AUDIT", None): Instrument({}, 40),
    ("AUDIT-C", None): Instrument({}, 12),
    ("DAST-10", None): Instrument({}, 10),
    ("PCL-5", None): Instrument({}, 80),
    ("WHODAS-2.0", "12_item_simple"): Instrument({}, 48),
    ("UDS", None): Instrument({}, None, _any_unexpected, open_items=True),
}
NAMES: Final = frozenset(name for name, _ in INSTRUMENTS)
MEASURES: Final[Mapping[str, frozenset[str]]] = {
    "BAM": frozenset(BAM_SUBSCALES),
    "C-SSRS": frozenset({"high"}),
    "UDS": frozenset({"unexpected"}),
}
TOTAL_ONLY: Final = frozenset({"total"})


def measures_of(instrument: str) -> frozenset[str]:
    """Names of what a rule may read of an instrument."""
    return MEASURES.get(instrument, TOTAL_ONLY)


def items_of(instrument: str) -> frozenset[str] | None:
    """Names of the items that a rule may read; None if they are free. Raises ValueError."""
    if instrument not in NAMES:
        raise ValueError(f"unknown instrument {instrument!r}; known: {', '.join(sorted(NAMES))}")
    forms = [form for (name, _), form in INSTRUMENTS.items() if name == instrument]
    if any(form.open_items for form in forms):
        return None
    return frozenset(item for form in forms for item in form.items)


def read(response: AssessmentCompleted) -> Reading:
    """Read one response; totals are recomputed from items wherever there are items.

    A response that cannot be trusted is set aside: no score rule reads it. Rules on single
    items look at the response itself and still fire.
    """
    instrument = INSTRUMENTS.get((response.instrument, response.variant))
    if instrument is None:
        known = response.instrument in NAMES
        return Reading({}, "unknown_variant" if known else "unknown_instrument")
    if response.items:
        return _from_items(instrument, response.items, response.score)
    return _from_total(instrument, response.score)


def _from_items(instrument: Instrument, items: Items, score: int | None) -> Reading:
    fault = _item_fault(instrument, items)
    if fault:
        return Reading({}, fault)
    if instrument.derive:
        return Reading(instrument.derive(items))
    if instrument.total is None or not instrument.items:
        return _from_total(instrument, score)
    total = sum(items[item] for item in instrument.items)
    if score is None or score == total:
        return Reading({"total": total})
    return Reading({}, _range_fault(instrument, score) or "items_disagree")


def _item_fault(instrument: Instrument, items: Items) -> str | None:
    if instrument.open_items:
        return None if all(value in (0, 1) for value in items.values()) else "out_of_range"
    if instrument.partial and not items.keys() <= instrument.items.keys():
        return "unknown_item"  # a misnamed answer must not pass for one that was skipped
    for item, highest in instrument.items.items():
        value = items.get(item)
        if value is None:
            if not instrument.partial:
                return "items_incomplete"
        elif not 0 <= value <= highest:
            return "out_of_range"
    return None


def _from_total(instrument: Instrument, score: int | None) -> Reading:
    if instrument.total is None or score is None:
        return Reading({}, "items_missing")
    fault = _range_fault(instrument, score)
    return Reading({}, fault) if fault else Reading({"total": score})


def _range_fault(instrument: Instrument, score: int) -> str | None:
    highest = instrument.total or 0
    return None if 0 <= score <= highest else "out_of_range"

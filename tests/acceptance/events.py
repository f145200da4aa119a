"""Well-formed events about a patient of the test's own."""

import itertools
import json
from typing import Any

from schemas.examples import EXAMPLES

_numbers = itertools.count(1)
ADMISSION = (
    "referral.received",
    "coverage.recorded",
    "screening.started",
    "screening.completed",
    "decision.recorded",
)


def new_patient() -> str:
    """A key that no other test uses."""
    return f"q-{next(_numbers):04d}"


def event(patient: str, kind: str, **attributes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The example of a kind such as `referral.received`, about this patient."""
    example = EXAMPLES[f"care.{kind}.v1"]
    own = {"id": f"{patient}-{kind}", "subject": patient}
    return example | own | attributes


def admission(patient: str) -> list[dict[str, Any]]:
    """From the referral into the program."""
    return [event(patient, kind) for kind in ADMISSION]


def marked(patient: str, mark: str) -> list[dict[str, Any]]:
    """An admitted patient whose every event carries the mark, in a field that no rule reads."""
    events = [*admission(patient), event(patient, "safety.reported")]
    return [each | {"data": each["data"] | {"note": f"{mark} {patient}"}} for each in events]


def encode(fields: dict[str, Any]) -> bytes:
    """The event on one line."""
    return json.dumps(fields).encode()

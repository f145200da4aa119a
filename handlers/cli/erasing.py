"""`pathway erase`: a patient's key is destroyed, for good."""

import getpass
import sys
from typing import Annotated

import msgspec
import typer

from handlers.cli.looking import Patient
from handlers.cli.ordering import order
from handlers.cli.root import Data, app, say, settings, short
from handlers.place import find
from pathway.erasure import Erasing

REFUSALS = {
    "unknown_patient": "no event of this patient was ever accepted",
    "already_erased": "this patient was erased before",
    "legal_basis_missing": (
        "the records must still be kept; say with --legal-basis what overrides that"
    ),
    "order_invalid": "the worker that runs cannot read this order; is it another version?",
}


@app.command()
def erase(  # noqa: PLR0913 - what is recorded
    patient: Patient,
    reason: Annotated[
        str, typer.Option(callback=short, help="Why, as a code; public, outlives the patient.")
    ],
    legal_basis: Annotated[
        str | None,
        typer.Option(callback=short, help="What overrides the duty to keep records; recorded too."),
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option(callback=short, help="Who; PATHWAY_ACTOR or the login if left out."),
    ] = None,
    data: Data = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
) -> None:
    """Destroy a patient's key and all that is not the audit log. There is no way back."""
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Erase {patient} for good?", abort=True)
    chosen = settings()
    who = actor or chosen.actor or getpass.getuser()
    said = Erasing(who, reason, legal_basis)
    now = chosen.make_clock().now()
    order(find(data, chosen), "erase", patient, msgspec.json.encode(said), now, REFUSALS)
    say(f"erased {patient}")

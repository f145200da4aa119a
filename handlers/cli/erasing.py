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
    "not_erased": "this patient was not erased before; there is nothing to repeat",
    "legal_basis_missing": (
        "the records must still be kept; say with --legal-basis what overrides that"
    ),
    "order_invalid": "the worker that runs cannot read this order; is it another version?",
}


@app.command()
def erase(  # noqa: PLR0913 - what is recorded
    patient: Patient,
    reason: Annotated[
        str | None,
        typer.Option(callback=short, help="Why, as a code; public, outlives the patient."),
    ] = None,
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
    again: Annotated[
        bool, typer.Option("--again", help="Of who was erased: remove what came back since.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
) -> None:
    """Destroy a patient's key and all that is not the audit log. There is no way back."""
    if again == bool(reason):
        raise typer.BadParameter("say --reason, or --again for who was erased before")
    if again and legal_basis:
        raise typer.BadParameter("--again takes no --legal-basis; the erasure's own stands")
    if not (yes or again) and sys.stdin.isatty():
        typer.confirm(f"Erase {patient} for good?", abort=True)
    chosen = settings()
    who = actor or chosen.actor or getpass.getuser()
    said = Erasing(who, reason or "again", legal_basis, again)
    now = chosen.make_clock().now()
    order(find(data, chosen), "erase", patient, msgspec.json.encode(said), now, REFUSALS)
    say(f"erased {patient} again" if again else f"erased {patient}")

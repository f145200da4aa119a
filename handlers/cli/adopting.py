"""`pathway policy adopt`: a policy goes into force for chosen patients, signed for."""

from typing import Annotated

import msgspec
import typer

from handlers.cli.defining import File, policy
from handlers.cli.ordering import order
from handlers.cli.root import Data, Finding, instant, say, settings
from handlers.place import find
from pathway.adoption import EVERYBODY, Adopting
from pathway.policy import load_file

REFUSALS = {
    "unknown_patient": "no event of one of these patients was ever accepted",
    "policy_invalid": "the worker that runs cannot use this policy; is it another version?",
    "signed_by_invalid": "--signed-by takes a pseudonym: up to 64 letters, digits and . _ : -",
    "order_invalid": "the worker that runs cannot read this order; is it another version?",
    "time_in_future": "--from is ahead of the worker's clock",
}


@policy.command("adopt")
def adopt(  # noqa: PLR0913 - what is recorded
    file: File,
    signed_by: Annotated[str, typer.Option(help="Who is responsible, a pseudonym; public.")],
    patient: Annotated[
        list[str] | None, typer.Option(help="For this patient; may be given again.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="From this instant on; now if left out.")
    ] = None,
    data: Data = None,
    *,
    everybody: Annotated[bool, typer.Option("--all", help="For everybody there is.")] = False,
) -> None:
    """Put patients under a policy. What was said before is not judged again."""
    if everybody == bool(patient):
        raise typer.BadParameter("say --patient for each patient, or --all")
    chosen = settings()
    adopted = load_file(file)
    patients = None if everybody else sorted(set(patient or ()))
    said = Adopting(adopted.text, signed_by, patients, instant(since))
    whose = patients[0] if patients and len(patients) == 1 else EVERYBODY
    now = chosen.make_clock().now()
    done = order(find(data, chosen), "adopt", whose, msgspec.json.encode(said), now, REFUSALS)
    if done.detail:
        text = f"it failed for {done.detail}; everybody else is under it"
        raise Finding("not_adopted", text)
    say(f"adopted {adopted.name} {adopted.version} ({adopted.digest[:12]})")

"""Adoption: a policy is signed off and put into force for chosen patients, from some instant on.

The sign-off is one commit: the policy's text, an entry that says who signed, and for the order
the instant from which it counts. Then each patient gets a fact, which acts at its place in the
effective order; what was said before is not judged again.
"""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec.structs import replace

from pathway.audit.entry import policy_entry
from pathway.audit.public import PolicyReference
from pathway.erasure import RefusedError
from pathway.policy import Policy, PolicyError, load
from pathway.store.base import AuditRow, Commit, Order, OrderState, Store
from schemas import inbound
from schemas.envelope import Rejected
from schemas.inbound import Event

EVERYBODY = "_"  # whose order it is, if it is about more than one patient


class Adopting(msgspec.Struct, frozen=True):
    """What an order to adopt says.

    Attributes:
        text: of the policy.
        signed_by: who is responsible, a pseudonym.
        patients: for whom; None = everybody there is.
        time: from when on (µs, effective time); None = the instant of the sign-off.
    """

    text: str
    signed_by: str
    patients: list[str] | None
    time: int | None = None

    @classmethod
    def of(cls, order: Order) -> "Adopting":
        """Read an order's body. Raises RefusedError."""
        try:
            return msgspec.json.decode(order.body, type=cls)
        except msgspec.MsgspecError:
            raise RefusedError("order_invalid") from None

    @property
    def policy(self) -> Policy:
        """The policy. Raises RefusedError."""
        try:
            return load(self.text)
        except PolicyError:
            raise RefusedError("policy_invalid") from None


def sign_off(order: Order, policy: Policy, commit: Commit) -> None:
    """Put the sign-off into a commit. Raises RefusedError."""
    said = Adopting.of(order)
    time = commit.recorded_at if said.time is None else said.time
    if time > commit.recorded_at:
        raise RefusedError("time_in_future")
    signed = replace(order, body=msgspec.json.encode(replace(said, time=time)))
    _check(signed, policy)
    only = said.patients[0] if said.patients and len(said.patients) == 1 else None
    entry = policy_entry(
        recorded_at=commit.recorded_at,
        policy=PolicyReference(name=policy.name, version=policy.version, digest=policy.digest),
        signed_by=said.signed_by,
        patient=only,
    )
    commit.entries.append(AuditRow(only, entry.leaf))
    commit.orders.append(replace(signed, state=OrderState.COMMITTED))


def _check(order: Order, policy: Policy) -> None:
    """Once it is signed off, each patient's fact must be one that can be made."""
    try:
        fact(order, policy, EVERYBODY)
    except Rejected:
        raise RefusedError("signed_by_invalid") from None


def fact(order: Order, policy: Policy, patient: str) -> Event:
    """The fact that puts one patient under the policy; the same whenever it is made."""
    said = Adopting.of(order)
    if said.time is None:
        raise ValueError("the order was not signed off")
    return inbound.policy_adopted(
        patient,
        said.time,
        name=policy.name,
        version=policy.version,
        digest=policy.digest,
        signed_by=said.signed_by,
    )


async def lacking(store: Store, order: Order, patients: Iterable[str]) -> list[str]:
    """Those of the patients who are not under the policy by this order yet; none of the erased."""
    policy = Adopting.of(order).policy
    facts = {(each.source, each.id): each.patient for each in _facts(order, policy, patients)}
    known = await store.known(facts)
    left = [patient for name, patient in facts.items() if name not in known]
    keys = await store.keys(left) if left else {}
    return [patient for patient in left if keys.get(patient)]


def _facts(order: Order, policy: Policy, patients: Iterable[str]) -> Iterator[Event]:
    return (fact(order, policy, each) for each in patients)

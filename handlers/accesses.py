"""Who looked at what: a person's look at sealed data is an entry of the audit log.

It is written before anything is shown; if it cannot be written, nothing is.
"""

import getpass
from dataclasses import dataclass

from handlers.place import Place
from handlers.settings import Settings
from pathway.audit.announcement import Appended
from pathway.audit.entry import access_entry
from pathway.store.base import AuditRow, Store
from pathway.store.errors import StoreError
from pathway.store.open import open_store


class UnrecordedError(Exception):
    """The look could not be recorded, so there is none."""

    code = "access_unrecorded"


@dataclass(slots=True, frozen=True)
class Look:
    """What somebody looks at, by which command or page, and why; None = as the settings say."""

    what: str
    actor: str | None = None
    purpose: str | None = None


async def record(store: Store, chosen: Settings, look: Look, patient: str | None) -> None:
    """Append the entry; `patient` None = all of them. Raises StoreError."""
    recorded_at = chosen.make_clock().now()
    entry = access_entry(
        recorded_at=recorded_at,
        patient=patient,
        actor=look.actor or chosen.actor or getpass.getuser(),
        what=look.what,
        purpose=look.purpose or chosen.purpose,
    )
    announcement = Appended([entry.leaf], chosen.prefix, recorded_at)
    await store.append([AuditRow(patient, entry.leaf)], announcement)


async def recorded(place: Place, chosen: Settings, look: Look, patient: str | None) -> None:
    """The same for a command, which only reads otherwise. Raises UnrecordedError."""
    store = open_store(place.need_database())
    try:
        await store.open()
        await record(store, chosen, look, patient)
    except StoreError as error:
        raise UnrecordedError(f"the look could not be recorded in the audit log: {error}") from None
    finally:
        await store.close()

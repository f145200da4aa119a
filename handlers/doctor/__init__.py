"""`pathway doctor`: is everything here that the program needs, and as it needs it?"""

from handlers.doctor.broker import broker
from handlers.doctor.check import Check
from handlers.doctor.database import database
from handlers.doctor.machine import disk, files, keys, machine, policy, ports
from handlers.place import Place
from handlers.settings import Settings

__all__ = ["Check", "examine"]


async def examine(settings: Settings, place: Place) -> list[Check]:
    """Every check, in the order in which one would mend things; nothing is changed."""
    return [
        *machine(settings),
        *disk(settings, place),
        *files(settings, place),
        *keys(settings, place),
        policy(settings),
        *await database(place),
        *await broker(settings, place),
        *ports(settings),
    ]

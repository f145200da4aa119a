"""Keys for tests: no secrets."""

from base64 import b64encode
from typing import Final

from pathway.audit.sealing import KeyRing, MasterKey
from pathway.store.base import Store
from pathway.vault import Vault

MASTER: Final = bytes(range(32))
MASTER_TEXT: Final = b64encode(MASTER).decode()
RING: Final = KeyRing(MasterKey(MASTER))


def vault(store: Store) -> Vault:
    """Opens what a worker with MASTER_TEXT has sealed."""
    return Vault(store, RING)

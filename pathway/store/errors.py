"""What can go wrong with a database, each with its stable code."""


class StoreError(Exception):
    """The database cannot serve us; the message says why."""

    code = "store_unavailable"


class StaleOwnerError(StoreError):
    """Another worker took over; this one's commit was refused."""

    code = "stale_owner"


class StoreLockedError(StoreError):
    """Somebody else holds the write lock; trying again is right."""

    code = "store_locked"


class StoreFullError(StoreError):
    """The disk is full; nothing of the transaction was kept."""

    code = "store_full"


class StoreCorruptError(StoreError):
    """The file is damaged or is no database."""

    code = "store_corrupt"


class StillReadError(StoreError):
    """What was deleted cannot be destroyed yet: a transaction can read it, or holds its table."""

    code = "store_still_read"


class UnscrubbableError(StoreError):
    """What was deleted cannot be destroyed: a setting or a lacking right is in the way."""

    code = "store_unscrubbable"


class ConflictError(StoreError):
    """A row exists that must not be written twice; nothing of the transaction was kept."""

    code = "store_conflict"


class UnstorableError(StoreError):
    """A value that no row can hold; trying again is useless."""

    code = "store_unstorable"


class ClockWentBackError(StoreError):
    """A commit's `recorded_at` is less than that of the commit before it."""

    code = "clock_went_back"


class SchemaBehindError(StoreError):
    """The database is older than this program; `pathway migrate` brings it up."""

    code = "schema_behind"


class SchemaAheadError(StoreError):
    """The database is newer than this program; the program must be updated."""

    code = "schema_ahead"

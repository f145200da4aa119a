"""What can go wrong with the audit log's bytes and keys, each with its stable code."""


class AuditError(Exception):
    """Something about the audit log is not as it must be; the message says what."""

    code = "audit_error"


class CanonicalError(AuditError, ValueError):
    """A value has no canonical JSON."""

    code = "not_canonical"


class MalformedNoteError(AuditError, ValueError):
    """The bytes are no signed note, checkpoint or note key."""

    code = "note_malformed"


class UnverifiedNoteError(AuditError):
    """None of the trusted keys signed the note."""

    code = "note_unverified"


class BadSignatureError(AuditError):
    """A signature claims a trusted key and is not by it."""

    code = "note_bad_signature"


class EntryError(AuditError, ValueError):
    """The bytes are no audit entry."""

    code = "entry_malformed"


class KeyFileError(AuditError):
    """A key file or variable is missing, readable by others, or holds no key."""

    code = "key_unusable"


class UnknownMasterKeyError(AuditError):
    """A patient key was wrapped by a master key that is not here."""

    code = "master_key_unknown"


class SealError(AuditError):
    """Sealed bytes or a wrapped key were altered, or this is not their key."""

    code = "seal_broken"


class ProofError(AuditError, ValueError):
    """No such proof exists: the index or size lies outside the tree."""

    code = "proof_impossible"


class BundleError(AuditError):
    """A bundle cannot be written there."""

    code = "bundle_unwritable"


class BundleBrokenError(AuditError):
    """A bundle does not verify, so nothing is answered from it."""

    code = "bundle_broken"


class BundleSealedError(AuditError):
    """A bundle does not hold what is asked for in the open; the text says what to do."""

    code = "bundle_sealed"

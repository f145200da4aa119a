"""Every metric by name: its kind, its labels and what it means. `docs/operations.md` lists them.

A label's values are types of events, states, and names from the policy: few, and known before.
"""

from typing import Final, Literal, NamedTuple


class Family(NamedTuple):
    """One metric."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    text: str
    labels: tuple[str, ...] = ()


EVENTS: Final = "pathway_events_total"
LATE: Final = "pathway_events_late_total"
PARKED: Final = "pathway_events_parked_total"
FAILED: Final = "pathway_events_failed_total"
HANDED_BACK: Final = "pathway_batches_handed_back_total"
TIME: Final = "pathway_time_advanced_total"
TRANSITIONS: Final = "pathway_transitions_total"
RECOMMENDATIONS: Final = "pathway_recommendations_total"
ALERTS: Final = "pathway_alerts_total"
ENDED: Final = "pathway_ended_total"
PUBLISHED: Final = "pathway_messages_published_total"
BATCH: Final = "pathway_batch_events"
STEP: Final = "pathway_step_seconds"
EVENT: Final = "pathway_event_seconds"
PUBLISH: Final = "pathway_publish_seconds"
WAITING: Final = "pathway_events_waiting"
UNACKNOWLEDGED: Final = "pathway_events_unacknowledged"
OUTBOX: Final = "pathway_outbox_messages"
OUTBOX_AGE: Final = "pathway_outbox_oldest_age_seconds"
HELD: Final = "pathway_parked_messages"
DUE: Final = "pathway_timers_due"
ENTRIES: Final = "pathway_audit_entries"
UNSIGNED: Final = "pathway_audit_unsigned_entries"
HOLDS: Final = "pathway_audit_log_holds"
CHECKPOINT_AGE: Final = "pathway_checkpoint_age_seconds"
READY: Final = "pathway_ready"
INFO: Final = "pathway_worker_info"

FAMILIES: Final = {
    each.name: each
    for each in (
        Family(
            EVENTS,
            "counter",
            "events",
            "Events committed, or recognized again.",
            ("type", "outcome"),
        ),
        Family(LATE, "counter", "events", "Events applied more than a day after they happened."),
        Family(PARKED, "counter", "messages", "Messages that could not be accepted.", ("reason",)),
        Family(
            FAILED, "counter", "messages", "Deliveries that could not be folded and come again."
        ),
        Family(
            HANDED_BACK, "counter", "batches", "Batches that could not be committed and come again."
        ),
        Family(TIME, "counter", "times", "Times that a patient's due timers were made to fire."),
        Family(TRANSITIONS, "counter", "messages", "Transitions told, by edge.", ("from", "to")),
        Family(
            RECOMMENDATIONS, "counter", "messages", "Recommendations raised, by rule.", ("rule",)
        ),
        Family(ALERTS, "counter", "messages", "Alerts raised, by name.", ("alert",)),
        Family(
            ENDED,
            "counter",
            "messages",
            "Effects that ended or were withdrawn.",
            ("kind", "resolution"),
        ),
        Family(PUBLISHED, "counter", "messages", "Messages that the broker has stored.", ("kind",)),
        Family(BATCH, "histogram", "messages", "Messages taken from the broker in one batch."),
        Family(STEP, "histogram", "seconds", "Time that one step of a batch took.", ("step",)),
        Family(
            EVENT, "histogram", "seconds", "From the broker's storing of an event to its commit."
        ),
        Family(
            PUBLISH,
            "histogram",
            "seconds",
            "From the commit of a message to the broker's storing it.",
        ),
        Family(WAITING, "gauge", "events", "Events in the broker that no worker has been given."),
        Family(
            UNACKNOWLEDGED, "gauge", "events", "Events given to a worker and not yet acknowledged."
        ),
        Family(OUTBOX, "gauge", "messages", "Messages committed and not yet published."),
        Family(OUTBOX_AGE, "gauge", "seconds", "Age of the oldest of them; 0 if there is none."),
        Family(HELD, "gauge", "messages", "Parked messages that wait for somebody."),
        Family(DUE, "gauge", "patients", "Patients with a timer due."),
        Family(ENTRIES, "gauge", "entries", "Entries of the audit log."),
        Family(
            UNSIGNED, "gauge", "entries", "Entries of the audit log that no checkpoint covers yet."
        ),
        Family(
            CHECKPOINT_AGE,
            "gauge",
            "seconds",
            "Age of the newest checkpoint; absent if there is none.",
        ),
        Family(
            HOLDS,
            "gauge",
            "0 or 1",
            "0 if the log is not what its head and checkpoints say; absent without the board.",
        ),
        Family(READY, "gauge", "0 or 1", "1 if this check of readiness holds.", ("check",)),
        Family(
            INFO,
            "gauge",
            "1",
            "Always 1; what this worker runs.",
            ("version", "engine", "policy", "policy_version", "digest"),
        ),
    )
}

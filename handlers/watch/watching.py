"""Who follows the flow and the relay: the metrics always, the tracer if there is one."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from nats.aio.msg import Msg

from handlers.settings import Settings, SettingsError
from handlers.watch.metrics import Metrics
from pathway.batch import Outcome
from pathway.policy import Policy
from pathway.store.base import OutboxRow

if TYPE_CHECKING:
    from handlers.watch.tracing import Tracer

NOTHING: Final[Mapping[str, str]] = {}


class Watching:
    """Told of every commit and of every message that goes out."""

    def __init__(self, policy: Policy, tracer: "Tracer | None" = None) -> None:
        self.metrics = Metrics(policy)
        self.tracer = tracer

    def committed(self, outcome: Outcome, messages: Sequence[Msg]) -> None:
        """A batch is durable; `messages` are those that it brought to an end."""
        self.metrics.committed(outcome, messages)
        if self.tracer is not None:
            self.tracer.committed(outcome)

    def sending(self, row: OutboxRow) -> Mapping[str, str]:
        """A message is about to be sent; returns more headers for it."""
        return self.tracer.sending(row) if self.tracer is not None else NOTHING

    def published(self, row: OutboxRow) -> None:
        """The broker has stored it."""
        self.metrics.published(row)
        if self.tracer is not None:
            self.tracer.published(row)


def follow(settings: Settings, policy: Policy) -> Watching:
    """What the settings ask for. Raises SettingsError if what they need is not installed."""
    if settings.traces == "off":
        return Watching(policy)
    try:
        from handlers.watch.tracing import otlp  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError(
            "PATHWAY_TRACES: install OpenTelemetry with: pip install 'care-pathway[otel]'"
        ) from None
    return Watching(policy, otlp())

"""What the events stream makes of a subject: stored by partition, read as it was published.

Publishers know `<prefix>.events.<entity>.<verb>.<patient>` alone. Where workers share the work,
the broker stores it as `<prefix>.part.<partition>.<entity>.<verb>.<patient>`. This module is the
only one that knows.
"""

from dataclasses import dataclass

from nats.js.api import SubjectTransform

from pathway.partitions import MOST


@dataclass(frozen=True, slots=True)
class Layout:
    """One program's subjects with so many partitions."""

    prefix: str
    partitions: int = 1

    @property
    def events(self) -> str:
        """Every event as it is published."""
        return f"{self.prefix}.events.>"

    @property
    def transform(self) -> SubjectTransform | None:
        """How the broker stores what it takes; with one partition, as it comes.

        A subject of another length is left as it is. The partition is by the patient.
        """
        if self.partitions == 1:
            return None
        tokens = ".".join(f"{{{{wildcard({place})}}}}" for place in (1, 2, 3))
        return SubjectTransform(
            src=f"{self.prefix}.events.*.*.*",
            dest=f"{self.prefix}.part.{{{{partition({self.partitions},3)}}}}.{tokens}",
        )

    def part(self, partition: int) -> str:
        """The stored events of one partition."""
        return f"{self.prefix}.part.{partition}.>"

    @property
    def rest(self) -> list[str]:
        """Stored events of no partition: of another length, or from before the present layout."""
        return [self.events, *(self.part(each) for each in range(self.partitions, MOST))]

    def about(self, patient: str) -> list[str]:
        """Every subject under which an event about a patient may be stored."""
        return [f"{self.prefix}.events.*.*.{patient}", f"{self.prefix}.part.*.*.*.{patient}"]

    def published(self, stored: str) -> str:
        """The subject under which a stored event was published."""
        before, _, after = stored.partition(".part.")
        if before != self.prefix:
            return stored
        return f"{self.prefix}.events.{after.partition('.')[2]}"

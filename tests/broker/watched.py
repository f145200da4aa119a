"""A worker's probes and numbers, asked for as a machine does: over HTTP."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from handlers.watch.site import ProbesBeside


@dataclass(slots=True)
class Probes:
    """What one worker serves beside itself."""

    beside: ProbesBeside

    @classmethod
    def make(cls) -> "Probes":
        return cls(ProbesBeside("127.0.0.1", None))

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of an answer."""

        def ask() -> tuple[int, str]:
            try:
                with urlopen(self.beside.url + path, timeout=10) as answer:  # noqa: S310 - of ours
                    return answer.status, answer.read().decode()
            except HTTPError as refused:
                with refused:
                    return refused.code, refused.read().decode()

        return await asyncio.to_thread(ask)

    async def ready(self) -> tuple[bool, dict[str, str]]:
        """Whether it is ready, and what is not."""
        status, body = await self.get("/readyz")
        answer: dict[str, Any] = json.loads(body)
        assert (status == 200) == answer["ready"]
        return answer["ready"], {k: v for k, v in answer["checks"].items() if v != "ok"}

    async def alive(self) -> tuple[bool, dict[str, str]]:
        status, body = await self.get("/livez")
        answer: dict[str, Any] = json.loads(body)
        assert (status == 200) == answer["alive"]
        return answer["alive"], {k: v for k, v in answer["checks"].items() if v != "ok"}

    async def until(self, *, lacking: dict[str, str], seconds: float = 20) -> None:
        """Wait until just this is lacking; nothing = ready."""
        found: object = None
        try:
            async with asyncio.timeout(seconds):
                while (found := (await self.ready())[1]) != lacking:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(found) from None

    async def numbers(self) -> "Numbers":
        status, body = await self.get("/metrics")
        assert status == 200
        return Numbers(body)

    async def number(self, name: str) -> float | None:
        """One sample without labels; None if it is not there."""
        return (await self.numbers()).get(name)


class Numbers:
    """One page of metrics."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.families = {each.name: each for each in text_string_to_metric_families(page)}
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def get(self, name: str, **labels: str) -> float | None:
        """One sample; None if it is not there."""
        return self.samples.get((name, tuple(sorted(labels.items()))))

    def risen(self, name: str) -> dict[str, float]:
        """What of a counter is not 0, by its labels' values."""
        return {
            " ".join(value for _, value in labels): number
            for (sample, labels), number in self.samples.items()
            if sample == name and number
        }

"""Which `source`s may publish, and under whose credentials."""

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, Self

_NAMED: Final = re.compile(r"([a-z][a-z0-9_]{0,31})=(.+)")


@dataclass(slots=True, frozen=True)
class Sources:
    """Patterns of `source`, by the publisher that may use them; None = those without a name.

    Nothing said allows everything. Otherwise what is not said is refused: another publisher's
    pattern, a publisher that is not named here, or no publisher where only names are.
    """

    patterns: dict[str | None, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `/lab/*, ehr=urn:ehr:*, ehr=/portal`: comma-separated, a name repeated for more."""
        patterns: dict[str | None, tuple[str, ...]] = {}
        for item in filter(None, (each.strip() for each in text.split(","))):
            named = _NAMED.fullmatch(item)
            name, pattern = (named[1], named[2]) if named else (None, item)
            patterns[name] = (*patterns.get(name, ()), pattern)
        return cls(patterns)

    def allow(self, source: str, publisher: str | None) -> bool:
        """Whether events of this source may come from this publisher."""
        if not self.patterns:
            return True
        return any(fnmatchcase(source, each) for each in self.patterns.get(publisher, ()))

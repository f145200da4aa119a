"""One patient's history out of an unsealed bundle: questions are answered without a database.

The bundle is verified first, so the answers rest on what was signed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pathway.audit.bundle import ENTRIES, POLICIES, BundleEntry
from pathway.audit.bundle_files import BundleFiles
from pathway.audit.errors import BundleBrokenError, BundleSealedError
from pathway.audit.problems import Report
from pathway.audit.public import ErasureEntry, EventEntry, read_public
from pathway.audit.verify import verify_bundle
from pathway.policy import Policy, load
from pathway.replay import Replayed, replay
from pathway.store.base import JournalRow
from schemas import outbound
from schemas.inbound import reread
from schemas.instants import parse_instant


@dataclass(slots=True, frozen=True)
class Bundled:
    """What a bundle tells of one patient.

    Attributes:
        rows: the journal as it was, in the order of the log; empty if nothing is there.
        policies: by digest.
    """

    rows: list[JournalRow]
    policies: Mapping[str, Policy]

    def replayed(self, prefix: str, until: int | None = None) -> Replayed | None:
        """Say again what was said by a recorded instant (µs); None if nothing was known then."""
        references = {
            digest: outbound.PolicyReference(name=each.name, version=each.version, digest=digest)
            for digest, each in self.policies.items()
        }
        rows = [row for row in self.rows if until is None or row.recorded_at <= until]
        return replay(rows, self.policies, references, prefix)


def read_bundle(directory: Path, patient: str) -> Bundled:
    """Verify a bundle and read one patient's history from it.

    Raises:
        BundleBrokenError: the bundle does not verify.
        BundleSealedError: it does not hold the patient's events, opened and from the beginning.
    """
    report = verify_bundle(directory)
    files = BundleFiles.open(directory, Report())
    if files is None or not report.ok:
        raise BundleBrokenError("the bundle does not verify: ask `pathway verify` why")
    if "from" in files.manifest.selection:
        raise BundleSealedError("the bundle begins in the middle: export it without --from")
    rows = [row for line in files.lines(ENTRIES) if (row := _row(line, patient)) is not None]
    texts = (directory / POLICIES / f"{digest}.yaml" for digest in sorted(files.policies))
    policies = [load(path.read_text(encoding="utf-8")) for path in texts]
    return Bundled(rows, {policy.digest: policy for policy in policies})


def _row(line: bytes, patient: str) -> JournalRow | None:
    entry = BundleEntry.parse(line)
    public = read_public(entry.leaf)
    if public.patient != patient:
        return None
    if isinstance(public, ErasureEntry):
        raise BundleSealedError("the patient was erased")
    if not isinstance(public, EventEntry):
        return None
    if entry.event is None:
        raise BundleSealedError("the bundle holds no opened events: export it with --unsealed")
    event = reread(entry.event)
    return JournalRow(
        source=event.source,
        id=event.id,
        patient=patient,
        type=event.type,
        identity=event.identity,
        revision=event.revision,
        time=event.time,
        raw=entry.event,
        # A patient's first entry names the policy that this entry pinned.
        policy=public.policy.digest,
        commit=entry.index if entry.commit is None else entry.commit,
        recorded_at=parse_instant(public.recorded_at),
    )

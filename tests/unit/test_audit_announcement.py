import msgspec

from pathway.audit.announcement import LARGEST, Appended
from pathway.audit.entry import parked_entry
from pathway.audit.tree import Tree, leaf_hash
from schemas.outbound import AuditAppended

NOW = 1_767_600_000_000_000


class _Data(msgspec.Struct):
    first: int
    entries: list[msgspec.Raw]


class _Message(msgspec.Struct):
    data: _Data


def leaves(count: int) -> list[bytes]:
    return [
        parked_entry(recorded_at=NOW, reason="not_json", stream_sequence=each, receipt="r").leaf
        for each in range(count)
    ]


def test_a_subscriber_rebuilds_the_tree_from_the_bytes() -> None:
    before = leaves(5)
    tree, _ = Tree().extend(map(leaf_hash, before))
    added = leaves(3000)
    announced = Appended(added, "care", NOW)
    grown, _ = tree.extend(map(leaf_hash, added))
    rows = announced.messages(grown)
    assert len(rows) == len(announced) > 1
    assert len({row.id for row in rows}) == len(rows)
    assert {row.subject for row in rows} == {"care.out.audit"}
    held, place = tree, 5
    for row in rows:
        message = AuditAppended.model_validate_json(row.body)
        assert message.data.head.size == grown.size
        raw = msgspec.json.decode(row.body, type=_Message).data
        assert raw.first == message.data.first == place
        assert sum(len(bytes(each)) for each in raw.entries) <= LARGEST
        held, _ = held.extend(leaf_hash(bytes(each)) for each in raw.entries)
        place += len(raw.entries)
        last = message.data.head
    assert (held.size, held.root().hex()) == (last.size, last.root)

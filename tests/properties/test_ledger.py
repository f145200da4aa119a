"""What was said: chains without gaps, and a subscriber who knows what the fold knows."""

import hashlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pathway.alerts import CONTRADICTED
from schemas.inbound import Event
from schemas.outbound import OUTBOUND_TYPES
from tests.properties.journeys import batches, journeys
from tests.properties.ward import Ward


def spoken(events: list[Event], data: st.DataObject) -> tuple[Ward, list[dict[str, Any]]]:
    ward = Ward(round_trip=data.draw(st.booleans()))
    for batch in data.draw(batches(events)):
        ward.take(batch)
    return ward, [json.loads(row.body) for row in ward.messages]


@given(journeys(), st.data())
def test_chains_are_gap_free_and_linked(events: list[Event], data: st.DataObject) -> None:
    ward, messages = spoken(events, data)
    heads: dict[str, tuple[int, str | None]] = {}
    for row, message in zip(ward.messages, messages, strict=True):
        OUTBOUND_TYPES[message["type"]].model_validate_json(row.body)
        sequence, previous = heads.get(row.subject, (0, None))
        assert message["data"]["sequence"] == row.sequence == sequence + 1
        assert message["data"]["previous"] == previous
        heads[row.subject] = (row.sequence, hashlib.sha256(row.body).hexdigest())
    assert len({message["id"] for message in messages}) == len(messages)


@given(journeys(), st.data())
def test_a_subscriber_knows_what_stands(events: list[Event], data: st.DataObject) -> None:
    ward, messages = spoken(events, data)
    alerts: set[str] = set()
    recommendations: set[str] = set()
    moves: dict[str, dict[str, Any]] = {}
    current = None
    for message in messages:
        said = message["data"]
        match message["type"]:
            case "care.alert.raised.v1":
                alerts.add(said["alert_id"])
            case "care.alert.cleared.v1":
                alerts.discard(said["alert_id"])
            case "care.recommendation.raised.v1":
                recommendations.add(said["recommendation_id"])
            case "care.recommendation.resolved.v1":
                recommendations.discard(said["recommendation_id"])
            case "care.transition.occurred.v1":
                moves[message["id"]] = said
                current = said["current"]["state"]
            case "care.transition.superseded.v1":
                del moves[said["supersedes"]]
                current = said["current"]["state"]
    snapshot = ward.chart.snapshot
    contradicted = {
        json.loads(row.said)["said"]["alert_id"]
        for row in ward.ledger.values()
        if CONTRADICTED.rule in row.key and row.status == "standing"
    }
    assert alerts == {each.id for each in snapshot.alerts.values()} | contradicted
    standing = snapshot.recommendation
    assert recommendations == ({standing.id} if standing else set())
    assert current == snapshot.record.state
    path = sorted(moves.values(), key=lambda said: said["effective_at"])
    assert len(path) == len(moves)
    if path:
        assert path[-1]["to"] == snapshot.record.state or any(
            said["to"] == snapshot.record.state for said in path
        )


@given(journeys(), st.data())
def test_within_a_commit_the_withdrawn_come_first(events: list[Event], data: st.DataObject) -> None:
    ward = Ward()
    for batch in data.draw(batches(events)):
        before = len(ward.messages)
        ward.take(batch)
        unit = [json.loads(row.body) for row in ward.messages[before:]]
        taken_back = [
            message["type"] == "care.transition.superseded.v1"
            or message["data"].get("resolution") == "withdrawn"
            for message in unit
        ]
        superseded = [m["type"] == "care.transition.superseded.v1" for m in unit]
        if any(superseded):
            last = len(superseded) - 1 - superseded[::-1].index(True)
            assert all(taken_back[: last + 1])

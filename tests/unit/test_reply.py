import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from handlers.reply import place, stored_at

SHORT = "$JS.ACK.CARE_EVENTS.pathway-worker.1.4711.12.1780272000123456789.3"
LONG = "$JS.ACK.hub.ACCOUNT.CARE_EVENTS.pathway-worker.1.4711.12.1780272000123456789.3.token"


@pytest.mark.parametrize("reply", [SHORT, LONG])
def test_a_reply_subject_says_the_same_as_the_librarys_metadata(reply: str) -> None:
    message = Msg(Client(), "care.events.referral.received.p1", reply)
    assert place(message) == message.metadata.sequence.stream == 4711
    assert stored_at(message) == pytest.approx(message.metadata.timestamp.timestamp(), abs=1e-5)

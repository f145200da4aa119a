"""A sender and subscriber in another language: nats.js and the CloudEvents SDK for JavaScript."""

import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from tests.acceptance.commands import Up
from tests.outside.conftest import Node


def test_a_journey_in_another_language(node: Node, clinic: Up) -> None:
    done = node("journey.js", BROKER=clinic.broker, PATIENT="js-1")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)

    assert report["stored"] == sorted(report["stored"])
    assert report["complaints"] == []
    moves = [
        (each["data"]["from"], each["data"]["to"])
        for each in report["seen"]
        if each["type"] == "care.transition.occurred.v1"
    ]
    assert moves == [
        (None, "referral"),
        ("referral", "screening"),
        ("screening", "iop"),
        ("iop", "discharged"),
    ]
    assert report["chains"]["care.out.transition.js-1"]["sequence"] == 4
    types = Counter(each["type"] for each in report["seen"])
    assert types["care.recommendation.raised.v1"] >= 1
    assert types["care.alert.raised.v1"] >= 1
    parked = [
        each["data"]
        for each in report["seen"]
        if each["type"] == "care.receipt.v1" and each["data"]["outcome"] == "parked"
    ]
    assert [(each["event"], each["reason"]) for each in parked] == [
        ({"source": "/foreign/scheduler", "id": "js-1-contact.made"}, "invalid_data")
    ]


def test_the_example_of_the_readme(node: Node, clinic: Up) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```js\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    broker = urlsplit(clinic.broker)
    assert "127.0.0.1:4222" in example
    script = node.directory / "readme.js"
    script.write_text(example.replace("127.0.0.1:4222", f"{broker.hostname}:{broker.port}"))
    variables = os.environ | {"TOKEN": str(broker.username)}
    with subprocess.Popen(
        [node.program, script], env=variables, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        told = [running.stdout.readline().split() for _ in range(5)]
        running.kill()
    moves = [
        [message.event["subject"], message.data["to"], str(message.data["sequence"])]
        for message in clinic.messages()
        if message.event["type"] == "care.transition.occurred.v1"
    ]
    assert told == moves[:5]

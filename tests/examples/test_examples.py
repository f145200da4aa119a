"""Every worked example in this folder comes out as written."""

import pytest

from tests.examples.reader import Example, differences, examples, policy_of

ALL = examples()


@pytest.mark.parametrize("example", ALL, ids=[each.id for each in ALL])
def test_example(example: Example) -> None:
    wrong = differences(example, policy_of(example))
    place = f"{example.heading.file}, line {example.heading.number}: example {example.title}"
    assert not wrong, "\n".join(["", place, *wrong])

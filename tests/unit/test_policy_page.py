"""docs/policy.md is the default policy, row by row."""

from pathlib import Path

import pytest

from pathway.policy import Rule, default, load
from pathway.policy_page import render

PAGE = Path(__file__).parents[2] / "docs" / "policy.md"


def test_the_committed_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(default()), (
        "write it anew: .venv/bin/pathway policy page pathway/policies/iop.yaml > docs/policy.md"
    )


@pytest.mark.parametrize("rule", default().rules, ids=lambda rule: rule.id)
def test_each_rule_is_one_row_with_source_status_and_limit(rule: Rule) -> None:
    [row] = [line for line in render(default()).splitlines() if f">{rule.id}, version" in line]
    cells = [cell.strip() for cell in row.strip("|").split(" | ")]
    assert len(cells) == 7
    assert rule.title in cells[0]
    assert cells[3] == ("" if rule.value is None else rule.threshold)
    assert cells[5:] == [rule.source, rule.status]


def test_another_number_is_another_page() -> None:
    old = "when: {since: {mark: referral, days: 14}}"
    text = default().text
    assert old in text
    place = text.index(old)
    changed = text[:place] + text[place:].replace("days: 14", "days: 17", 1).replace(
        "value: 14", "value: 17", 1
    )
    assert "17 days since the referral" in render(load(changed))


def test_a_rule_that_moves_by_itself_says_so() -> None:
    text = default().text
    old = "    mode: recommend\n    to: residential\n    urgency: urgent\n    value: 19"
    assert old in text
    page = render(load(text.replace(old, old.replace("recommend", "automatic"))))
    assert "**moves by itself** to residential" in page


def test_a_cell_cannot_break_the_table() -> None:
    text = default().text.replace("title: severe signs", 'title: "severe | signs"')
    assert "severe \\| signs" in render(load(text))

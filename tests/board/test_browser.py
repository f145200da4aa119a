"""Every page, as a person with a browser meets it."""

import json
from typing import Any

import pytest
from playwright.async_api import Browser, Error, expect

from handlers.simulation import STORY_PATIENT
from tests.acceptance import events
from tests.acceptance.commands import Up, rows
from tests.board.conftest import Looked, in_thread, link

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

PAGES = (
    "/",
    "/worklist",
    "/patients",
    f"/patients/{STORY_PATIENT}",
    "/flow",
    "/operations",
    "/asyncapi",
)
SOON = 15_000  # ms that a live update may take on a noisy machine


async def test_the_link_signs_in_and_leaves_no_token_behind(board: Looked) -> None:
    assert board.page.url == board.base + "/"
    (cookie,) = await board.page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert cookie["path"] == "/board"
    assert await board.page.evaluate("document.cookie") == ""


async def test_a_wrong_token_shows_nothing(up: Up, browser: Browser) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    for address in (link(up) + "x", link(up).partition("?")[0]):
        answer = await page.goto(address)
        assert answer is not None
        assert answer.status == 401
        await expect(page.locator("h1")).to_have_text("This board needs its link")
    assert await context.cookies() == []
    await context.close()


async def test_the_census_counts_what_the_command_counts(up: Up, board: Looked) -> None:
    page = await board.go("/")
    states = up.census()["states"]
    for state in ("iop", "php", "step_down", "aftercare"):
        shown = page.locator(f"[data-level={state}]")
        await expect(shown).to_have_text(str(states.get(state, 0)))
    await expect(page.locator("svg.weeks rect.part").first).to_be_visible()
    await expect(page.locator("#moves-table tbody tr").first).to_be_visible()


async def test_the_census_is_live(up: Up, board: Looked) -> None:
    page = await board.go("/")
    await expect(page.locator("#live")).to_have_text("Live")
    await page.evaluate("window.sameDocument = true")
    await page.locator("#weeks-table summary").click()
    shown = page.locator("[data-level=referral]")
    before = int(await shown.inner_text())
    patient = events.new_patient() + "-live"
    await in_thread(up, events.event(patient, "referral.received", time="2026-03-30T15:00:00Z"))
    await expect(shown).to_have_text(str(before + 1), timeout=SOON)
    await expect(page.locator("#moves-table")).to_contain_text(patient)
    assert await page.evaluate("window.sameDocument")
    assert await page.locator("#weeks-table").get_attribute("open") is not None


async def test_the_worklist_is_urgent_first_and_can_be_filtered(board: Looked) -> None:
    page = await board.go("/worklist")
    ranks = {"Urgent": 0, "Warning": 1, "Routine": 2, "Info": 3}
    shown = [ranks[text] for text in await page.locator("table .sev").all_inner_texts()]
    assert len(shown) > 5
    assert shown == sorted(shown)
    assert all(text.endswith(".") for text in await page.locator(".basis").all_inner_texts())
    await page.get_by_label("Urgency").select_option("warning")
    await page.get_by_label("Kind").select_option("alert")
    await page.get_by_role("button", name="Show").click()
    texts = await page.locator("table .sev").all_inner_texts()
    assert texts
    assert set(texts) == {"Warning"}
    await page.get_by_role("link", name="Clear").click()
    assert page.url.endswith("/worklist")


async def test_the_patient_page_tells_the_story(board: Looked) -> None:
    page = await board.go(f"/patients/{STORY_PATIENT}")
    await expect(page.locator("#explanation")).to_contain_text("is in aftercare since 27 Mar 2026")
    picture = page.locator("svg.timeline")
    for level in ("iop", "php", "step_down", "aftercare"):
        await expect(picture.locator(f"rect.level.l-{level}").first).to_be_attached()
    await expect(picture.locator("rect.band").first).to_be_visible()
    await expect(picture.locator("rect.superseded")).to_have_count(1)
    await expect(picture.locator("line.cutoff").first).to_be_attached()
    await expect(picture.locator("circle.dot")).not_to_have_count(0)
    await expect(picture.locator(".glyph.alert")).not_to_have_count(0)
    await expect(picture.locator(".mark.decision")).not_to_have_count(0)
    special = page.get_by_role("group", name="Late and corrected facts")
    await expect(special.locator("del")).to_contain_text("Step-down decided by physician")
    legal = await page.locator("table.next tbody th").all_inner_texts()
    assert legal == ["IOP", "PHP", "Residential", "Step-down", "Discharged"]
    await expect(page.locator("#proof-state")).to_contain_text("Proven")


async def test_reading_a_patient_is_recorded(up: Up, board: Looked) -> None:
    await board.go(f"/patients/{STORY_PATIENT}")
    looks = rows(
        up.database, 'SELECT leaf FROM audit WHERE CAST(leaf AS TEXT) LIKE \'%"kind":"access"%\''
    )
    told = [json.loads(leaf) for (leaf,) in looks]
    assert {(e["patient"], e["actor"], e["what"]) for e in told} >= {
        (STORY_PATIENT, "board", "board")
    }


async def test_a_patient_page_offers_news_instead_of_jumping(up: Up, board: Looked) -> None:
    patient = events.new_patient() + "-news"
    await in_thread(up, events.event(patient, "referral.received", time="2026-03-30T15:00:00Z"))
    page = await board.go(f"/patients/{patient}")
    await expect(page.locator("#live")).to_have_text("Live")
    await expect(page.locator("#news")).to_be_hidden()
    await in_thread(up, events.event(patient, "screening.started", time="2026-03-30T16:00:00Z"))
    await expect(page.locator("#news")).to_be_visible(timeout=SOON)
    await page.get_by_role("link", name="Show them").click()
    await expect(page.locator("h1")).to_contain_text("Screening")


async def test_a_patient_is_found_by_key(board: Looked) -> None:
    page = await board.go("/")
    await page.get_by_label("Find a patient by key").fill(STORY_PATIENT)
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_contain_text(STORY_PATIENT)


async def test_an_unknown_patient_is_told_so(board: Looked) -> None:
    page = await board.go("/patients/nobody-here", status=404)
    await expect(page.locator("h1")).to_have_text("Unknown patient")
    board.complaints.clear()  # the browser reports the 404 itself


async def test_the_flow_draws_every_span(board: Looked) -> None:
    for weeks in (4, 12, 26, 52):
        page = await board.go(f"/flow?weeks={weeks}")
        await expect(page.locator("svg.sankey path.ribbon").first).to_be_attached()
        await expect(page.locator("nav[aria-label=Span] [aria-current]")).to_have_text(
            f"{weeks} weeks"
        )
    await expect(page.locator("table.outcomes")).to_contain_text("37.7 %")
    await expect(page.locator("table.stays")).to_contain_text("IOP")


async def test_operations_shows_what_is_parked(up: Up, board: Looked) -> None:
    page = await board.go("/operations")
    await expect(page.get_by_role("row", name="Verification")).to_contain_text("Holds")
    await expect(page.get_by_role("row", name="Last checkpoint")).to_contain_text("entries signed")
    parked = up.parked()
    assert parked
    await expect(page.locator("#parked-count")).to_have_text(str(len(parked)))
    await expect(page.get_by_role("group", name="Parked events").first).to_contain_text(
        parked[-1]["reason"]
    )
    await expect(page.locator("body")).to_contain_text("CARE_EVENTS")


async def test_the_contract_is_shown_and_has_nothing_to_send_with(board: Looked) -> None:
    page = await board.go("/asyncapi")
    await expect(page.locator("h1")).to_have_text("Contract")
    section = page.locator("#attendance-recorded")
    await expect(section.locator("h3")).to_have_text("care.events.attendance.recorded.{patient}")
    await section.locator("summary").click()
    await expect(section.locator("table")).to_contain_text("cancelled_by_program")
    await expect(section.locator("pre")).to_be_visible()
    await expect(page.locator("main form, main button, main input, textarea")).to_have_count(0)
    async with page.expect_download() as download:
        await page.get_by_role("link", name="asyncapi.json").click()
    assert (await download.value).suggested_filename == "asyncapi.json"


@pytest.mark.parametrize("path", PAGES)
async def test_a_phone_needs_no_sideways_scrolling(board: Looked, path: str) -> None:
    await board.page.set_viewport_size({"width": 360, "height": 740})
    page = await board.go(path)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


async def test_the_keyboard_reaches_the_content_first(board: Looked) -> None:
    page = await board.go("/worklist")
    await page.keyboard.press("Tab")
    await expect(page.locator(":focus")).to_have_text("Skip to content")
    await page.keyboard.press("Enter")
    await expect(page.locator("main:focus")).to_have_count(1)


@pytest.mark.parametrize("board", ["light", "dark"], indirect=True)
async def test_axe_finds_nothing_serious(board: Looked, axe: str) -> None:
    """Contrast included, in both colour schemes."""
    for path in PAGES:
        page = await board.go(path)
        for summary in await page.locator("details summary").all():
            await summary.click()
        await page.evaluate(axe)
        found: dict[str, Any] = await page.evaluate("axe.run()")
        serious = [
            (path, each["id"], each["nodes"][0]["html"][:200])
            for each in found["violations"]
            if each["impact"] in {"serious", "critical"}
        ]
        assert serious == []
        assert len(found["passes"]) > 10


async def test_scripts_of_others_cannot_run(board: Looked) -> None:
    page = await board.go("/")
    with pytest.raises(Error, match=r"Content Security Policy|Failed"):
        await page.add_script_tag(content="window.foreign = true")
    assert await page.evaluate("window.foreign") is None
    board.complaints.clear()  # of the browser about just that

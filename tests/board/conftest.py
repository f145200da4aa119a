"""A real `pathway up` with a small clinic in it, and a real browser that looks at its board."""

import asyncio
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, async_playwright

from handlers.simulation import cohort, story
from schemas.instants import parse_instant
from tests.acceptance.commands import Up, running_up

CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NOW = "2026-03-31T00:00:00Z"
AXE = "axe-core@4.14.1"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The story's patient, and a cohort in the middle of its treatment."""
    with running_up(
        tmp_path_factory.mktemp("board"), clock=NOW, settle="0.1", checkpoint_every="0.2"
    ) as running:
        bodies = [message.body for message in story(date(2026, 1, 5))]
        taken_back = next(n for n, body in enumerate(bodies) if b"care.event.retracted" in body)
        cohorts = cohort(16, 7, date(2025, 12, 29), until=parse_instant(NOW))
        bodies[taken_back:taken_back] = [m.body for m in cohorts if b"\n" not in m.body]
        running.publish(*bodies[:taken_back])  # only what was announced can be taken back
        running.publish(*bodies[taken_back:])
        yield running


@dataclass
class Looked:
    """A page, and what the browser complained about or asked of other hosts meanwhile."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)

    async def go(self, path: str, status: int = 200) -> Page:
        """Open a page of the board; its main text is there afterwards."""
        answer = await self.page.goto(self.base + path)
        assert answer is not None
        assert answer.status == status
        return self.page

    def watch(self) -> None:
        """Note what must not happen."""
        host = urlsplit(self.base).netloc
        self.page.on("console", lambda m: m.type == "error" and self.complaints.append(m.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "request",
            lambda asked: urlsplit(asked.url).netloc != host and self.complaints.append(asked.url),
        )


def link(up: Up) -> str:
    """The board's link as `up` wrote it."""
    return str(json.loads(up.endpoints_file.read_text())["board"])


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        await browser.close()


@pytest.fixture(params=["light"])
async def board(up: Up, browser: Browser, request: pytest.FixtureRequest) -> AsyncIterator[Looked]:
    """Signed in by the link; the test fails if the browser complains. Takes a colour scheme."""
    context = await browser.new_context(
        color_scheme=request.param, viewport={"width": 1280, "height": 900}
    )
    page = await context.new_page()
    looked = Looked(page, link(up).partition("/?")[0])
    looked.watch()
    await page.goto(link(up))
    yield looked
    await context.close()
    assert looked.complaints == []


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, from npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm to fetch axe-core with")
    directory = tmp_path_factory.mktemp("axe")
    done = subprocess.run(
        [npm, "pack", "--silent", AXE], cwd=directory, capture_output=True, check=False, timeout=60
    )
    if done.returncode:
        pytest.skip(f"npm cannot fetch {AXE}")
    archive = next(directory.glob("*.tgz")).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        source = tar.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode()


async def in_thread(up: Up, *events: dict[str, object]) -> None:
    """Publish and wait until it is processed, while the browser goes on."""
    await asyncio.to_thread(up.publish, *events)

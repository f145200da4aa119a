"""Documents against the program: what they name exists, and what exists is named."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from handlers.cli import app
from handlers.settings import Settings
from pathway import policy
from schemas.envelope import Reason
from schemas.facts import EVENT_TYPES, EventType
from schemas.outbound import OUTBOUND_TYPES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "tests").rglob("*.md")], key=str)
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
ERROR_CODE = re.compile(
    r"""\bcode\s*=\s*"([a-z_]+)" | (?:Finding|EmbeddedError|RefusedError|_fail)\(\s*"([a-z_]+)" """,
    re.VERBOSE,
)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def rows(page: str, heading: str) -> dict[str, str]:
    """The table under a heading: what stands in backticks in its first cell, to the whole row."""
    section = re.split(r"^##+ ", page.split(f"\n## {heading}\n", 1)[1], flags=re.MULTILINE)[0]
    found = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            for name in re.findall(r"`([^`]+)`", line.split(" | ")[0]):
                found[name] = line
    return found


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        place = page.parent / name if name else page
        assert place.exists(), target
        if anchor:
            assert anchor in anchors(place), target


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_pages_name_no_absolute_path_of_a_machine(page: Path) -> None:
    assert not re.findall(r"(?<![\w:/.])/(?:home|root|work|tmp|Users)/", page.read_text("utf-8"))


# -- commands and settings -------------------------------------------------------------------------


def commands(group: Any, prefix: str = "pathway") -> Iterator[str]:  # noqa: ANN401
    for name, command in group.commands.items():
        if getattr(command, "commands", None):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}"


def test_every_command_is_described() -> None:
    known = set(commands(typer.main.get_command(app)))
    described = set(re.findall(r"`(pathway [a-z ]+)`", OPERATIONS.split("## Settings")[0]))
    assert known - described == set()


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_commands_that_pages_name_exist(page: Path) -> None:
    known = set(commands(typer.main.get_command(app)))
    groups = {command.rpartition(" ")[0] for command in known}
    text = page.read_text(encoding="utf-8")
    for words in re.findall(r"(?:`|bin/)(pathway(?: [a-z]+)+)", text):
        parts = words.split()
        assert " ".join(parts[:2]) in known or " ".join(parts[:3]) in known | groups, words


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_that_pages_name_exist(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))
    named = set(
        re.findall(r"(?:`|^)make ([a-z-]+)", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    )
    assert named
    assert named <= targets


def shown(value: object) -> str:
    """A default as the table of settings shows it."""
    if value in (None, "", PydanticUndefined):
        return "–"  # noqa: RUF001 - as the pages have it
    return f"`{value.get_secret_value() if isinstance(value, SecretStr) else value}`"


def test_every_setting_is_described_with_its_default() -> None:
    described = {name: row.split(" | ")[1] for name, row in rows(OPERATIONS, "Settings").items()}
    known = {
        f"PATHWAY_{name.upper()}": shown(field.default)
        for name, field in Settings.model_fields.items()
    }
    assert described == known


def test_variables_that_pages_name_exist() -> None:
    known = {f"PATHWAY_{name.upper()}" for name in Settings.model_fields}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = set(re.findall(r"(?<!_)PATHWAY_[A-Z][A-Z_]*[A-Z]", text))
        assert named <= known | {"PATHWAY_LOG_LEVEL"}, relative(page)


# -- the contract ----------------------------------------------------------------------------------


OUTSIDE = [kind for kind in EVENT_TYPES.values() if not kind.internal]


@pytest.mark.parametrize("kind", OUTSIDE, ids=lambda kind: kind.type)
def test_every_inbound_type_is_described_with_its_fields(kind: EventType) -> None:
    row = rows((DOCS / "publishing.md").read_text(encoding="utf-8"), "Types")[kind.type]
    for name, field in kind.model.model_fields.items():
        if name != "revision":
            mark = "" if field.is_required() else "?"
            assert f"`{field.alias or name}{mark}`" in row


def test_every_outbound_type_is_described() -> None:
    page = (DOCS / "subscribing.md").read_text(encoding="utf-8")
    assert {name for name in OUTBOUND_TYPES if f"`{name}`" not in page} == set()


def test_every_parked_reason_is_described() -> None:
    page = (DOCS / "publishing.md").read_text(encoding="utf-8")
    assert set(rows(page, "Parked, and why")) == {reason.value for reason in Reason}


def logged_codes() -> set[str]:
    """Codes that stand in logs only: no command ends with one."""
    told = OPERATIONS.split("In logs only:", 1)[1].partition("and the reasons of")[0]
    return set(re.findall(r"`([a-z_]+)`", told))


def error_codes() -> set[str]:
    """Every code that the program gives, as its source has them."""
    found = set()
    for package in ("schemas", "pathway", "handlers"):
        for file in (ROOT / package).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            found |= {code for match in ERROR_CODE.findall(text) for code in match if code}
    return found


def test_every_error_code_is_described_and_exists() -> None:
    found = error_codes()
    described = set(rows(OPERATIONS, "Exit codes and errors"))
    logged = set(re.findall(r"`([a-z_]+)`", OPERATIONS.split("In logs only:", 1)[1]))
    assert found - described - logged == set()
    assert described - found == set()


# -- the README ------------------------------------------------------------------------------------


def test_the_picture_has_the_edges_of_the_policy() -> None:
    chosen = policy.default()
    edges = {(each, move.to, move.by) for move in chosen.moves for each in move.from_}
    picture = re.search(r"```mermaid\n(.*?)```", README, re.DOTALL)
    assert picture
    drawn = re.findall(r"^  (\S+) --> (\w+): (\w+)$", picture[1], re.MULTILINE)
    assert len(drawn) == len(edges)
    assert {(source.replace("[*]", "none"), to, by) for source, to, by in drawn} == edges


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_code_in_pages_can_be_read(page: Path) -> None:
    for language, text in re.findall(
        r"^```(python|json)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        if language == "python":
            compile(text, relative(page), "exec")
        else:
            json.loads(text)


def test_every_package_has_its_line_in_the_house() -> None:
    house = README.split("## Where everything is", 1)[1]
    for file in ROOT.glob("*/__init__.py"):
        assert f"[`{file.parent.name}/`]" in house


# -- decisions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", DECISIONS, ids=relative)
def test_a_decision_has_its_parts_and_is_listed(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    number = int(page.name[:4])
    assert text.startswith(f"# {number}. ")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences"]
    title = text.splitlines()[0].partition(". ")[2]
    index = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    assert f"{number}. [{title}]({page.name})" in index


def test_every_dependency_has_its_sentence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {
        re.split(r"[<>=~! ]", each)[0]
        for each in [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    }
    page = (DOCS / "decisions" / "0017-dependencies.md").read_text(encoding="utf-8")
    assert wanted == set(rows(page, "Decision"))

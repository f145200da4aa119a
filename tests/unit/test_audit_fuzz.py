"""Any single flipped byte of a bundle is found."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pathway.audit.verify import verify_bundle
from tests.unit.audit_forgery import TRUSTED, remake_manifest
from tests.unit.audit_logs import small_log


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    small_log().write(tmp_path / "bundle", unsealed=True)
    return tmp_path / "bundle"


@pytest.fixture
def part(tmp_path: Path) -> Path:
    small_log().write_partial(tmp_path / "part", [1, 4, 5, 9])
    return tmp_path / "part"


def flip(path: Path, place: int, mask: int) -> bytes:
    raw = path.read_bytes()
    bent = bytearray(raw)
    bent[place % len(bent)] ^= mask
    path.write_bytes(bent)
    return raw


FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("kind", ["bundle", "part"])
@FUZZ
@given(which=st.integers(0, 20), place=st.integers(0, 10**6), mask=st.integers(1, 255))
def test_any_flipped_byte_is_found(
    request: pytest.FixtureRequest, kind: str, which: int, place: int, mask: int
) -> None:
    directory: Path = request.getfixturevalue(kind)
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    path = files[which % len(files)]
    raw = flip(path, place, mask)
    try:
        assert not verify_bundle(directory, TRUSTED).ok
    finally:
        path.write_bytes(raw)


@pytest.mark.parametrize("kind", ["bundle", "part"])
@FUZZ
@given(which=st.integers(0, 20), place=st.integers(0, 10**6), mask=st.integers(1, 255))
def test_any_flipped_byte_is_found_without_the_manifests_help(
    request: pytest.FixtureRequest, kind: str, which: int, place: int, mask: int
) -> None:
    """All but `commit`, which nothing proves."""
    directory: Path = request.getfixturevalue(kind)
    manifest = directory / "manifest.json"
    files = sorted(
        path for path in directory.rglob("*") if path.is_file() and path.name != manifest.name
    )
    path, kept = files[which % len(files)], manifest.read_bytes()
    raw = flip(path, place, mask)
    try:
        bent = path.read_bytes()
        line = bent[bent.rfind(b"\n", 0, place % len(raw)) + 1 : place % len(raw)]
        remake_manifest(directory)
        if line != b'{"commit":':
            assert not verify_bundle(directory, TRUSTED).ok
    finally:
        path.write_bytes(raw)
        manifest.write_bytes(kept)

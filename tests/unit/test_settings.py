from pathlib import Path

import pytest

from handlers.place import PlaceError, find, remove_endpoints, write_endpoints
from handlers.settings import Settings, SettingsError
from pathway.sources import Sources
from schemas.instants import parse_instant


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PATHWAY_{name.upper()}", raising=False)


def test_nothing_need_be_set() -> None:
    settings = Settings.read()
    assert settings.names.events == "CARE_EVENTS"
    assert settings.names.out_subject == "care.out.>"
    assert settings.terms.sources == Sources()
    assert not settings.terms.receipts
    assert settings.make_clock().start is None


def test_everything_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATHWAY_PREFIX", "north")
    monkeypatch.setenv("PATHWAY_SOURCES", "/ehr/*, /lab/1 ,")
    monkeypatch.setenv("PATHWAY_RECEIPTS", "all")
    monkeypatch.setenv("PATHWAY_CLOCK", "2020-01-01T00:00:00Z x20000")
    monkeypatch.setenv("PATHWAY_OUT_MAX_AGE_DAYS", "2")
    settings = Settings.read()
    assert settings.names.out == "NORTH_OUT"
    assert settings.terms.sources == Sources({None: ("/ehr/*", "/lab/1")})
    assert settings.terms.receipts
    assert settings.limits.out_max_age == 172_800
    assert settings.make_clock().start == parse_instant("2020-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PATHWAY_PREFIX", "Care.Events"),
        ("PATHWAY_CLOCK", "noon"),
        ("PATHWAY_RECEIPTS", "some"),
        ("PATHWAY_BATCH_SIZE", "0"),
        ("PATHWAY_REPLICAS", "many"),
    ],
)
def test_a_wrong_one_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        Settings.read()
    assert caught.value.code == "settings_invalid"
    assert "\n" not in str(caught.value)


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATHWAY_BROKER_URL", "nats://user:hunter2@host:4222")
    monkeypatch.setenv("PATHWAY_DATABASE_URL", "postgresql://user:hunter2@host/db")
    assert "hunter2" not in repr(Settings.read())


@pytest.mark.parametrize("name", ["broker_url", "database_url", "board_token"])
def test_a_secret_may_come_from_a_file_that_only_its_owner_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    variable = f"PATHWAY_{name.upper()}"
    file = tmp_path / "secret"
    file.write_text("hunter2-hunter2-hunter2\n")
    file.chmod(0o600)
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    settings = Settings.read()
    assert getattr(settings, name).get_secret_value() == "hunter2-hunter2-hunter2"
    assert "hunter2" not in repr(settings)
    for mode, also in ((0o644, None), (0o600, "hunter2-hunter2-other")):
        file.chmod(mode)
        if also:
            monkeypatch.setenv(variable, also)
        with pytest.raises(SettingsError, match=variable) as caught:
            Settings.read()
        assert "hunter2" not in str(caught.value)


def test_a_short_secret_is_refused_without_being_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATHWAY_BOARD_TOKEN", "hunter2")
    with pytest.raises(SettingsError, match="PATHWAY_BOARD_TOKEN") as caught:
        Settings.read()
    assert "hunter2" not in str(caught.value)


def test_every_secret_has_a_form_that_reads_it_from_a_file() -> None:
    secret = {
        name
        for name, field in Settings.model_fields.items()
        if "SecretStr" in str(field.annotation)
    }
    assert secret >= {"broker_url", "database_url", "board_token", "master_key"}
    assert {f"{name}_file" for name in secret} <= set(Settings.model_fields)


def test_a_certificate_needs_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATHWAY_BROKER_CERTIFICATE", "ours.pem")
    with pytest.raises(SettingsError, match="PATHWAY_BROKER_KEY"):
        Settings.read()


def test_subscribers_are_of_the_outbound_stream_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATHWAY_SUBSCRIBERS", "a=care.out.*.*, b=care.out.audit, a=care.out.audit")
    wanted = {"a": ("care.out.*.*", "care.out.audit"), "b": ("care.out.audit",)}
    assert Settings.read().subscribed == wanted
    for bad in ("a", "a=care.events.>", "A=care.out.>", "a=", "a=care.out.x y"):
        monkeypatch.setenv("PATHWAY_SUBSCRIBERS", bad)
        with pytest.raises(SettingsError, match="PATHWAY_SUBSCRIBERS"):
            Settings.read()


# -- where broker and database are -----------------------------------------------------------------


def test_a_directory_given_comes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATHWAY_BROKER_URL", "nats://elsewhere")
    (tmp_path / "pathway.db").touch()
    write_endpoints(tmp_path, {"broker": "nats://here", "database": None, "board": None})
    here = find(tmp_path, Settings.read())
    assert here.need_broker() == "nats://here"
    assert here.need_database() == f"sqlite:///{tmp_path}/pathway.db"


def test_the_environment_comes_before_the_default_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".pathway").mkdir()
    write_endpoints(tmp_path / ".pathway", {"broker": "nats://default"})
    assert find(None, Settings.read()).need_broker() == "nats://default"
    monkeypatch.setenv("PATHWAY_BROKER_URL", "nats://elsewhere")
    assert find(None, Settings.read()).need_broker() == "nats://elsewhere"


def test_after_a_stop_the_database_is_still_there_and_the_broker_is_not(tmp_path: Path) -> None:
    (tmp_path / "pathway.db").touch()
    write_endpoints(tmp_path, {"broker": "nats://here"})
    remove_endpoints(tmp_path)
    place = find(tmp_path, Settings.read())
    assert place.need_database()
    with pytest.raises(PlaceError, match="pathway up"):
        place.need_broker()


def test_the_file_is_for_the_owner_alone_from_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "endpoints.json").touch(mode=0o644)
    write_endpoints(tmp_path, {"broker": "nats://secret"})
    assert (tmp_path / "endpoints.json").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["endpoints.json"]

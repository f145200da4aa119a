"""Everything that can be set, from the environment: `PATHWAY_*`. Secrets never show."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from handlers.clocks import Clock, parse_clock
from handlers.streams import ACK_WAIT, StreamLimits, StreamNames
from handlers.subscribers import Subscribers
from handlers.subscribers import parse as parse_subscribers
from pathway.audit.errors import KeyFileError
from pathway.audit.keyfiles import read_secret
from pathway.batch import Terms
from pathway.partitions import MOST
from pathway.sources import Sources
from schemas.instants import DAY

UNSTATED = "unstated"  # why somebody looks, if nobody says so


class SettingsError(Exception):
    """A setting cannot be used; the text names it."""

    code = "settings_invalid"


class Settings(BaseSettings):
    """How one process is set up. `PATHWAY_BROKER_URL` may hold credentials."""

    model_config = SettingsConfigDict(env_prefix="PATHWAY_", extra="ignore")

    # A secret's file comes before the secret: validation goes in this order.
    broker_url_file: Path | None = Field(default=None, description="a file that holds it, 0600")
    broker_url: SecretStr | None = Field(
        default=None, validate_default=True, description="nats://… or tls://…"
    )
    broker_credentials: Path | None = Field(default=None, description="a NATS .creds file")
    broker_ca: Path | None = Field(default=None, description="CA certificate of the broker")
    broker_certificate: Path | None = Field(default=None, description="ours, for the broker")
    broker_key: Path | None = Field(
        default=None, validate_default=True, description="of our certificate, 0600"
    )
    database_url_file: Path | None = Field(default=None, description="a file that holds it, 0600")
    database_url: SecretStr | None = Field(
        default=None, validate_default=True, description="sqlite:///PATH or postgresql://…"
    )
    data: Path = Field(default=Path(".pathway"), description="the default data directory")
    master_key: SecretStr | None = Field(default=None, description="base64 of 32 bytes")
    master_key_file: Path | None = Field(default=None, description="a file that holds it, 0600")
    retired_master_key_files: str = Field(default="", description="still unwrap; by commas")
    audit_key_file: Path | None = Field(default=None, description="signs checkpoints, 0600")
    checkpoint_every: float = Field(default=60.0, gt=0, description="seconds")
    prefix: str = Field(default="care", pattern=r"^[a-z][a-z0-9_]{0,31}$")
    policy: Path | None = Field(default=None, description="a policy file; the shipped one if unset")
    actor: str | None = Field(default=None, max_length=128, description="who looks at patients")
    purpose: str = Field(default=UNSTATED, max_length=128, description="why, in one word")
    retention_days: int = Field(
        default=2192, ge=0, description="within it, erasing takes a legal basis"
    )
    clock: str = Field(default="", description="hold or speed up time; for tests and demos")
    receipts: Literal["parked", "all"] = "parked"
    sources: str = Field(default="", description="`source`s allowed: PATTERN or PUBLISHER=PATTERN")
    publisher: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]{0,31}$")
    subscribers: str = Field(default="", description="consumers of CARE_OUT: NAME=SUBJECT, …")
    batch_size: int = Field(default=4096, ge=1, le=4096)
    cached_charts: int = Field(default=20_000, ge=1, description="patients kept in memory")
    settle: float = Field(
        default=2.0, ge=0, description="seconds a patient must be quiet before timers fire"
    )
    ack_wait: float = Field(
        default=ACK_WAIT, ge=1, description="seconds until an unacknowledged event comes again"
    )
    events_max_bytes: int | None = Field(default=None, ge=1)
    out_max_bytes: int | None = Field(default=None, ge=1)
    out_max_age_days: float = Field(default=30, gt=0)
    replicas: int | None = Field(default=None, ge=1, le=5)
    partitions: int = Field(
        default=8, ge=1, le=MOST, description="parts of the work; on SQLite there is one"
    )
    board_token_file: Path | None = Field(default=None, description="a file that holds it, 0600")
    board_token: SecretStr | None = Field(default=None, validate_default=True, min_length=16)
    board_port: int | None = Field(
        default=None, ge=0, le=65535, description="serve the board; needs PATHWAY_BOARD_TOKEN"
    )
    board_host: str = Field(default="127.0.0.1", description="put TLS in front of any other")
    http_port: int | None = Field(
        default=None, ge=0, le=65535, description="serve /livez, /readyz and /metrics; 0 = any"
    )
    http_host: str = Field(default="127.0.0.1", description="where they listen")
    traces: Literal["off", "otlp"] = Field(default="off", description="needs the extra otel")

    @field_validator("subscribers")
    @classmethod
    def _known_subscribers(cls, text: str, others: ValidationInfo) -> str:
        parse_subscribers(text, others.data.get("prefix", "care"))
        return text

    @field_validator("clock")
    @classmethod
    def _known_clock(cls, text: str) -> str:
        parse_clock(text)
        return text

    @field_validator("broker_url", "database_url", "board_token", mode="before")
    @classmethod
    def _from_its_file(cls, value: object, others: ValidationInfo) -> object:
        path = others.data.get(f"{others.field_name}_file")
        if path is None:
            return value
        if value is not None:
            raise ValueError("is set, and its _FILE is too; keep one of them")
        try:
            return read_secret(path)
        except KeyFileError as error:
            raise ValueError(str(error)) from None

    @field_validator("broker_key")
    @classmethod
    def _with_its_certificate(cls, key: Path | None, others: ValidationInfo) -> Path | None:
        if (key is None) != (others.data.get("broker_certificate") is None):
            raise ValueError("goes together with PATHWAY_BROKER_CERTIFICATE")
        return key

    @field_validator("board_port")
    @classmethod
    def _guarded_board(cls, port: int | None, others: ValidationInfo) -> int | None:
        if port is not None and others.data.get("board_token") is None:
            raise ValueError("set PATHWAY_BOARD_TOKEN too, to 16 characters or more")
        return port

    @classmethod
    def read(cls) -> Self:
        """The settings of this process. Raises SettingsError."""
        try:
            return cls()
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            name = "PATHWAY_" + "_".join(str(part) for part in fault["loc"]).upper()
            message = fault["msg"].removeprefix("Value error, ")
            raise SettingsError(f"{name}: {message}") from None

    @property
    def retired_master_keys(self) -> tuple[Path, ...]:
        """Files of master keys that still unwrap."""
        names = self.retired_master_key_files.split(",")
        return tuple(Path(name.strip()) for name in names if name.strip())

    @property
    def names(self) -> StreamNames:
        """What the streams are called."""
        return StreamNames(self.prefix)

    @property
    def subscribed(self) -> Subscribers:
        """For whom the worker keeps a consumer, and of which subjects."""
        return parse_subscribers(self.subscribers, self.prefix)

    @property
    def limits(self) -> StreamLimits:
        """What the streams may hold."""
        return StreamLimits(
            events_max_bytes=self.events_max_bytes,
            out_max_bytes=self.out_max_bytes,
            out_max_age=self.out_max_age_days * 86_400,
            replicas=self.replicas,
        )

    @property
    def terms(self) -> Terms:
        """How the processor works."""
        return Terms(
            prefix=self.prefix,
            receipts=self.receipts == "all",
            sources=Sources.parse(self.sources),
            cached_charts=self.cached_charts,
            retention=self.retention_days * DAY,
        )

    def make_clock(self) -> Clock:
        """The worker's clock."""
        return parse_clock(self.clock)

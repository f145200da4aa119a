"""The CloudEvents 1.0 envelope of an inbound event, and why a message is parked."""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from schemas.instants import WIRE, Between, parse_instant

EARLIEST_TIME: Final = parse_instant("2000-01-01T00:00:00Z")

# CloudEvents strings hold no control characters, surrogates or noncharacters. (Surrogates cannot
# get this far: JSON with a lone one is refused as a whole.)
UNPRINTABLE: Final = r"\u0000-\u001F\u007F-\u009F\uFDD0-\uFDEF\uFFFE\uFFFF" + "".join(
    # literally, as Python, ECMA and Rust regexes agree on no escape above U+FFFF
    f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}"
    for plane in range(0x10000, 0x110000, 0x10000)
)

# RFC 3986, put together as its appendix A does. `$` is the very end in pydantic and ECMA regexes.
_CHAR = r"[A-Za-z0-9._~!$&'()*+,;=@-]|%[0-9A-Fa-f]{2}"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*:"
_AUTHORITY = rf"(?:(?:{_CHAR}|:)*@)?(?:\[[0-9A-Za-z:._~!$&'()*+,;=-]+\]|(?:{_CHAR})*)(?::[0-9]*)?"
_SEGMENTS = rf"(?:/(?:{_CHAR}|:)*)*"
_TAIL = rf"(?:\?(?:{_CHAR}|[:/?])*)?(?:#(?:{_CHAR}|[:/?])*)?"
URI: Final = (
    rf"^{_SCHEME}(?://{_AUTHORITY}{_SEGMENTS}|/(?:(?:{_CHAR}|:)+{_SEGMENTS})?"
    rf"|(?:{_CHAR}|:)+{_SEGMENTS}|){_TAIL}$"
)
URI_REFERENCE: Final = (
    rf"^(?:(?:{_SCHEME})?//{_AUTHORITY}{_SEGMENTS}|(?:{_SCHEME})?/(?:(?:{_CHAR}|:)+{_SEGMENTS})?"
    rf"|{_SCHEME}(?:{_CHAR}|:)+{_SEGMENTS}|(?:{_CHAR})+{_SEGMENTS}|(?:{_SCHEME})?){_TAIL}$"
)
JSON_MEDIA_TYPE: Final = (
    r"^[A-Za-z0-9!#$&^_.+-]+/(?:[A-Za-z0-9!#$&^_.+-]+\+)?[Jj][Ss][Oo][Nn]"
    rf"[ \t]*(?:;[^{UNPRINTABLE}]*)?$"
)

EXTENSION_NAME: Final = "^[a-z0-9]+$"

Id = Annotated[str, StringConstraints(pattern=f"^[^{UNPRINTABLE}]+$", max_length=128)]
Source = Annotated[
    str,
    StringConstraints(pattern=URI_REFERENCE, min_length=1, max_length=256),
    Field(json_schema_extra={"format": "uri-reference"}),
]
PatientKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
ExtensionName = Annotated[str, StringConstraints(pattern=EXTENSION_NAME)]
ExtensionValue = (
    Annotated[str, StringConstraints(pattern=f"^[^{UNPRINTABLE}]*$")]
    | bool
    | Annotated[int, Field(ge=-(2**31), lt=2**31)]  # the Integer of CloudEvents
    | None  # the JSON format's way to leave an attribute unset
)


class Reason(StrEnum):
    """Why a message was parked; stable, part of the contract."""

    NOT_JSON = "not_json"
    NOT_CLOUDEVENT = "not_cloudevent"
    UNKNOWN_TYPE = "unknown_type"
    BAD_PATIENT_KEY = "bad_patient_key"
    SUBJECT_MISMATCH = "subject_mismatch"
    TOO_LARGE = "too_large"
    BAD_TIME = "bad_time"
    TIME_IN_FUTURE = "time_in_future"
    ID_CONFLICT = "id_conflict"
    INTERNAL_TYPE = "internal_type"
    INVALID_DATA = "invalid_data"
    PATIENT_ERASED = "patient_erased"
    SOURCE_NOT_ALLOWED = "source_not_allowed"


class Rejected(Exception):  # noqa: N818  the outcome's name in the domain
    """A message that is parked. `detail` names the broken rule and never quotes the message.

    `source` and `id` are set when both were well-formed, else both are None.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.source: str | None = None
        self.id: str | None = None


class Envelope(BaseModel):
    """The attributes of an inbound event; whatever else it holds is an extension attribute."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    __pydantic_extra__: dict[ExtensionName, ExtensionValue]

    specversion: Literal["1.0"]
    id: Id
    source: Source
    type: Annotated[str, StringConstraints(pattern=f"^[^{UNPRINTABLE}]+$")]
    subject: PatientKey
    time: Annotated[int, Between(first=EARLIEST_TIME)]
    datacontenttype: Annotated[str, StringConstraints(pattern=JSON_MEDIA_TYPE)] | None = None
    dataschema: Annotated[str, StringConstraints(pattern=URI)] | None = None
    data: dict[str, Any]


_validate = Envelope.__pydantic_validator__.validate_python

_REASONS: Final = {
    "subject": Reason.BAD_PATIENT_KEY,
    "time": Reason.BAD_TIME,
    "data": Reason.INVALID_DATA,
}


class _Reference(BaseModel):
    source: Source
    id: Id


def faults(fields: dict[str, Any]) -> dict[Reason, str]:
    """Return each parked reason that the envelope gives, with the first rule broken; else {}."""
    try:
        _validate(fields, context=WIRE)
    except ValidationError as error:
        found: dict[Reason, str] = {}
        for fault in error.errors(include_url=False, include_input=False):
            name = str(fault["loc"][0])
            reason = _REASONS.get(name, Reason.NOT_CLOUDEVENT)
            shown = name if name in Envelope.model_fields else "extension attribute"
            found.setdefault(reason, f"{shown}: {rule(fault)}")
        return found
    return {}


def reference(fields: dict[str, Any]) -> tuple[str, str] | tuple[None, None]:
    """Return `source` and `id` if both are well-formed."""
    try:
        named = _Reference.model_validate(fields, strict=True)
    except ValidationError:
        return None, None
    return named.source, named.id


def rule(fault: ErrorDetails) -> str:
    """Return the rule that one pydantic error reports: our own words, else pydantic's code."""
    return str(fault.get("ctx", {}).get("error") or fault["type"])

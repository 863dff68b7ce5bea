"""What all kinds share: field helpers with units, text formats, metadata and conditions.

Models are strict: a number in quotes is text, text is not a number. What travels is camelCase.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from scheduler.config.calendar import holidays_of
from scheduler.domain.time import utc
from scheduler.units import S_PER_H, S_PER_MIN

GROUP = "heatdispatch.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
UNIT_KEY = "x-unit"
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(h|m|s))+$"
LOCAL_TIME_PATTERN = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
MONTH_DAY_PATTERN = r"^(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
# Seconds may be left out, which the API server's own format date-time does not allow.
INSTANT_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})$"
DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|m|s)")
MAX_ITEMS = 256


def unit(text: str) -> dict[str, Any]:
    """Schema note that carries a field's unit; numbers without one say `1` or `count`."""
    return {UNIT_KEY: text}


def about(description: str, unit_text: str = "", **limits: Any) -> Any:
    """A field with its description and unit; `limits` are pydantic's (gt, ge, le, default, ...)."""
    if limits.get("default_factory") is None:
        limits.setdefault("default", ...)
    if unit_text:
        limits["json_schema_extra"] = unit(unit_text)
    return Field(description=description, **limits)


def fraction(description: str, **limits: Any) -> Any:
    """A share between 0 and 1."""
    return about(description, "1", ge=0.0, le=1.0, **limits)


def _zone(name: str) -> str:
    """An IANA zone that exists."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise ValueError(f"the time zone {name[:60]!r} does not exist") from None
    return name


def _instant(text: str) -> str:
    """An instant with its offset."""
    try:
        utc(text)
    except (ValueError, OverflowError) as bad:
        raise ValueError(str(bad)[:200]) from None
    return text


def _country(name: str) -> str:
    """A country whose holidays are known, or a part of one."""
    holidays_of(name)
    return name


def _day(text: str) -> str:
    """A calendar day."""
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a day such as 2027-12-31") from None
    return text


Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=253)]
DurationText = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=32, examples=["48h", "1h30m"])]
LocalTime = Annotated[str, Field(pattern=LOCAL_TIME_PATTERN, max_length=5, examples=["10:30"])]
MonthDay = Annotated[str, Field(pattern=MONTH_DAY_PATTERN, max_length=5, examples=["10-01"])]
ZoneName = Annotated[str, Field(min_length=1, max_length=64, examples=["Europe/Copenhagen"]), AfterValidator(_zone)]
CountryName = Annotated[
    str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$", max_length=6, examples=["DK", "DE-BY"]), AfterValidator(_country)
]
InstantText = Annotated[str, Field(max_length=40, pattern=INSTANT_PATTERN), AfterValidator(_instant)]
DayText = Annotated[str, Field(max_length=10, json_schema_extra={"format": "date"}), AfterValidator(_day)]
Word = Annotated[str, Field(max_length=1024)]


def seconds(duration: str) -> float:
    """Seconds of a duration such as `48h`, `1h30m` or `90s`."""
    size_s = {"h": S_PER_H, "m": S_PER_MIN, "s": 1.0}
    return sum(float(amount) * size_s[letter] for amount, letter in DURATION_PART.findall(duration))


class Part(BaseModel):
    """A piece of a kind. `rules` are CEL: (rule, message), checked by the API server."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, strict=True, allow_inf_nan=False
    )
    rules: ClassVar[tuple[tuple[str, str], ...]] = ()


class Metadata(Part):
    """Kubernetes object metadata; only the name matters here."""

    name: Name = about("Name, unique in its kind; lower case letters, digits, - and .")
    labels: dict[str, str] = about("Labels.", default_factory=dict)
    annotations: dict[str, str] = about("Annotations.", default_factory=dict)
    generation: int | None = about("Counts changes of spec; set by the API server.", "count", default=None)
    uid: str | None = about("Set by the API server.", default=None)
    resource_version: str | None = about("Set by the API server.", default=None)
    creation_timestamp: str | None = about("Set by the API server.", default=None)
    deletion_timestamp: str | None = about("Set by the API server.", default=None)
    finalizers: list[str] = about("Set by controllers.", default_factory=list)
    owner_references: list[dict[str, Any]] = about("Set by controllers.", default_factory=list)
    managed_fields: list[dict[str, Any]] = about("Set by the API server.", default_factory=list)


class Condition(Part):
    """metav1.Condition: one observed fact with a stable reason."""

    type: Annotated[str, Field(max_length=316)] = about("What is observed, in CamelCase.")
    status: Literal["True", "False", "Unknown"] = about("Whether it holds.")
    observed_generation: int | None = about("Generation of spec that this speaks of.", "count", default=None, ge=0)
    last_transition_time: InstantText = about("When the status last changed.")
    reason: Annotated[str, Field(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=1024)] = about(
        "Stable reason in CamelCase."
    )
    message: Annotated[str, Field(max_length=32768)] = about("Why, in words.")


class Status(Part):
    """What is observed of an object."""

    observed_generation: int | None = about("Generation of spec that this status speaks of.", "count", default=None, ge=0)
    conditions: list[Condition] = about("Observed facts.", default_factory=list, max_length=32)


class Resource(Part):
    """A whole object. Subclasses name their kind, plural, short names and printer columns (name, type, JSON path)."""

    plural: ClassVar[str] = ""
    short_names: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[tuple[tuple[str, str, str], ...]] = ()

    api_version: Literal["heatdispatch.io/v1alpha1"] = about("API group and version.")
    metadata: Metadata = about("Name, labels, annotations.")

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata.name

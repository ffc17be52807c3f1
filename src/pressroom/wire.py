"""What every schema on the wire shares: the base model and the types of its fields."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, PlainSerializer, model_validator

from pressroom.json_values import storable

MAX_ID = 2**31 - 1
"""PostgreSQL's largest integer."""
MAX_EVENT_ID = 2**63 - 1
"""PostgreSQL's largest bigint."""


_LONGEST_ID = len(str(MAX_EVENT_ID))


def id_in(text: str, most: int = MAX_ID) -> int | None:
    """The id that a text is, from 1 to ``most``; ``None`` for all else. How long it is, is looked at first: to read an
    endless number takes as long."""
    if not 0 < len(text) <= _LONGEST_ID or not (text.isascii() and text.isdigit()) or text[0] == "0":
        return None
    found = int(text)
    return found if found <= most else None


def sentence_of(wrong: Mapping[str, Any]) -> str:
    """What pydantic says of one field, without the word that it puts before our own sentences."""
    return str(wrong["msg"]).removeprefix("Value error, ")


def checked(value: Any) -> Any:
    """``value``, if PostgreSQL can keep it; raises ``ValueError`` otherwise."""
    if why := storable(value):
        raise ValueError(why)
    return value


def _utc(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


Storable = Annotated[JsonValue, AfterValidator(checked)]
"""A JSON value that PostgreSQL can keep."""
StorableObject = Annotated[dict[str, JsonValue], AfterValidator(checked)]
Text = Annotated[str, AfterValidator(checked)]
Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(checked)]
Username = Annotated[
    str,
    Field(
        min_length=1, max_length=100, pattern=r"^[\w][\w.@+-]*$", description="The name of a user.", examples=["ana"]
    ),
]
Grantee = Annotated[
    str,
    Field(min_length=1, max_length=100, pattern=r"^[\w/][\w.@+/ -]*$", description="The name of a user or a group."),
]
"""Groups of an issuer may lie in others: ``finance/emea``."""
FilePath = Annotated[
    str,
    Field(min_length=1, max_length=512, examples=["/home/ana/reports/sales.ipynb"]),
    AfterValidator(checked),
]
Timestamp = Annotated[datetime, PlainSerializer(_utc, return_type=str, when_used="json")]
"""A time; it travels as ISO 8601 in UTC."""


def example(**fields: Any) -> ConfigDict:
    """The configuration of a model that is shown with this example in the documentation."""
    return ConfigDict(json_schema_extra={"example": fields})


class WireModel(BaseModel):
    """The base of what the API answers."""

    model_config = ConfigDict(from_attributes=True, extra="ignore")


class WireInput(BaseModel):
    """The base of what the API takes: a field that it does not know is refused, so that a misspelt one is not lost."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class WireUpdate(WireInput):
    """The base of a partial update: only the fields sent change."""

    @model_validator(mode="after")
    def _something(self) -> "WireUpdate":
        if not self.model_fields_set:
            raise ValueError("send at least one field to change")
        return self

    def changes(self) -> dict[str, Any]:
        """The fields that were sent, by name."""
        return {name: getattr(self, name) for name in self.model_fields_set}

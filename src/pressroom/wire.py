"""What every schema on the wire shares: the base model and the types of its fields."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, PlainSerializer, model_validator

from pressroom.json_values import storable

MAX_ID = 2**31 - 1
"""PostgreSQL's largest integer."""
MAX_EVENT_ID = 2**63 - 1
"""PostgreSQL's largest bigint."""


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

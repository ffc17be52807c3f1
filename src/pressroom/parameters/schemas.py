"""Definitions of parameters on the wire."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, JsonValue, StringConstraints

from pressroom.wire import MAX_ID, Storable, StorableObject, Text, Timestamp, WireInput, WireModel, WireUpdate, example

ParameterName = Annotated[Text, StringConstraints(min_length=1, max_length=100)]
TypeName = Annotated[
    Text,
    Field(
        max_length=50,
        description="string, integer, float, boolean, json, list, date or datetime.",
        examples=["string"],
        json_schema_extra={"enum": ["string", "integer", "float", "boolean", "json", "list", "date", "datetime"]},
    ),
]
Default = Annotated[
    Storable,
    Field(description="The value where a caller gives none; null is no default.", examples=["EMEA"]),
]
Rules = Annotated[
    StorableObject,
    Field(
        description="min, max; min_length, max_length; pattern (or regex); options (or choices, enum).",
        examples=[{"options": ["EMEA", "APAC", "AMER"]}],
    ),
]
Secret = Annotated[
    bool,
    Field(
        description="Its values are encrypted where they are kept, given to the kernel, and shown nowhere: `********` "
        "stands in their place. It has no default and no options."
    ),
]


class ParameterFields(WireInput):
    """The definition of a parameter, without its notebook."""

    param_name: ParameterName = Field(examples=["region"])
    param_type: TypeName
    default_value: Default = None
    description: Text | None = Field(default=None, examples=["Which region to report on."])
    required: bool = False
    validation_rules: Rules | None = None
    secret: Secret = False


class ParameterCreate(ParameterFields):
    """The definition of a parameter of a notebook."""

    notebook_id: int = Field(ge=1, le=MAX_ID)


class ParameterInList(ParameterFields):
    """The definition of a parameter; its notebook is in the path, and may stand here too."""

    notebook_id: int | None = Field(default=None, ge=1, le=MAX_ID)


class ParameterUpdate(WireUpdate):
    """The fields of a definition to change; those left out stay as they are."""

    param_name: ParameterName = Field(default_factory=str)
    param_type: TypeName = Field(default_factory=str)
    default_value: Default = None
    description: Text | None = None
    required: bool = False
    validation_rules: Rules | None = None
    secret: Secret = False


def _no_rules(value: Any) -> Any:
    return {} if value is None else value


_PROPOSAL: dict[str, Any] = {
    "param_name": "region",
    "param_type": "string",
    "default_value": "EMEA",
    "description": "Which region to report on.",
    "required": False,
    "validation_rules": {"options": ["EMEA", "APAC", "AMER"]},
}
PARAMETER: dict[str, Any] = {
    "id": 1,
    "notebook_id": 1,
    **_PROPOSAL,
    "secret": False,
    "created_at": "2026-10-31T08:00:00.000000Z",
    "updated_at": "2026-10-31T08:00:00.000000Z",
}
"""The definition that the documentation shows."""


class ParameterOut(WireModel):
    """The definition of a parameter."""

    model_config = example(**PARAMETER)
    id: int
    notebook_id: int
    param_name: str
    param_type: str
    default_value: JsonValue
    description: str | None
    required: bool
    validation_rules: Annotated[dict[str, JsonValue], BeforeValidator(_no_rules)]
    secret: bool
    created_at: Timestamp
    updated_at: Timestamp


class Proposal(WireModel):
    """A definition proposed from a notebook's parameters cell; it can be posted as it is."""

    param_name: str
    param_type: str
    default_value: JsonValue
    description: str | None
    required: bool
    validation_rules: dict[str, JsonValue] | None


class InferenceOut(WireModel):
    """What a notebook's parameters cell proposes. ``notes`` say in words what could not be told, and why."""

    model_config = example(notebook_id=1, has_parameters_cell=True, parameters=[_PROPOSAL], notes=[])
    notebook_id: int
    has_parameters_cell: bool
    parameters: list[Proposal]
    notes: list[str]

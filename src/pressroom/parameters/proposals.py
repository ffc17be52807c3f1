"""What a notebook's parameters cell proposes, as it can be saved."""

from pressroom.notebooks import files
from pressroom.parameters.infer import infer
from pressroom.parameters.schemas import ParameterFields


def propose(data: bytes, path: str) -> tuple[list[ParameterFields], bool, list[str]]:
    """The definitions that the notebook in ``data`` proposes, whether it has a parameters cell, and notes in words.

    Raises :class:`NotebookInvalid`, naming ``path``.
    """
    found = infer(files.parse(data, path))
    proposed = [
        ParameterFields(
            param_name=d.name,
            param_type=d.type,
            default_value=d.default,
            description=d.description,
            required=d.required,
            validation_rules=dict(d.rules) or None,
        )
        for d in found.definitions
    ]
    return proposed, found.has_parameters_cell, found.notes

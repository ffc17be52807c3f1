"""The pages of the API, made from its OpenAPI document: one for each tag, and one for the schemas."""

import json
from collections.abc import Mapping
from typing import Any

from pressroom.app import create_app
from pressroom.identity.rights import Level
from pressroom.rights_table import OPEN, Endpoint, endpoints
from pressroom.settings import Settings
from table_text import cell, prose

FRONT = "<!-- Made from the OpenAPI document; change the endpoints instead. -->\n\n"
METHODS = ("get", "post", "put", "patch", "delete")
Document = Mapping[str, Any]


def pages() -> dict[str, str]:
    """The text of each page, by its name."""
    application = create_app(Settings())
    document = application.openapi()
    needed = {(each.method, described_path(each)): each for each in endpoints(application)}
    made = {tag["name"]: f"{FRONT}# {tag['name'].capitalize()}\n\n{tag['description']}\n" for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method in METHODS:
            if (operation := methods.get(method)) is not None:
                right = right_of(needed[method.upper(), path])
                made[operation["tags"][0]] += f"\n{operation_section(method, path, operation, right)}"
    schemas = document["components"]["schemas"]
    made["schemas"] = f"{FRONT}# Schemas\n\n" + "\n".join(schema_section(name, schemas[name]) for name in schemas)
    return made


def described_path(endpoint: Endpoint) -> str:
    """The path of an endpoint as the document spells it: a name that takes slashes, too, does not say so."""
    return endpoint.path.replace(":path}", "}")


def right_of(endpoint: Endpoint) -> str:
    """What a caller needs, in words."""
    if endpoint.right is None:
        return "nothing" + (f": {OPEN[endpoint.path]}" if OPEN.get(endpoint.path) else "")
    of = endpoint.right.of
    also = f", and the level `{of}` on the notebook" if isinstance(of, Level) else ", acting for the user" if of else ""
    return f"the scope `{endpoint.right.scope}`{also} ([rights](../rights.md))"


def operation_section(method: str, path: str, operation: Document, right: str) -> str:
    """What the reference says of an operation."""
    lines = [f"## {method.upper()} {path}", "", prose(operation["description"]), ""]
    lines += [f"Needs {right}.", ""]
    if operation.get("parameters"):
        lines += ["| parameter | in | type | what it is |", "| --- | --- | --- | --- |"]
        lines += [parameter_row(each) for each in operation["parameters"]]
        lines.append("")
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        lines += [f"Body, `{media}`: {type_of(content['schema'])}", "", *example(content)]
    lines += ["| answer | body | what it means |", "| --- | --- | --- |"]
    lines += [answer_row(status, each) for status, each in sorted(operation["responses"].items())]
    for status, answer in operation["responses"].items():
        for media, content in answer.get("content", {}).items():
            if status.startswith("2") and media == "application/json":
                lines += ["", *example(content)]
    return "\n".join(lines).rstrip() + "\n"


def parameter_row(parameter: Document) -> str:
    """The row of a parameter of the path, the query or a header."""
    required = ", required" if parameter.get("required") else ""
    schema = parameter["schema"]
    text = cell(parameter.get("description") or schema.get("description", ""))
    default = f" Default: `{json.dumps(schema['default'])}`." if schema.get("default") is not None else ""
    return f"| `{parameter['name']}` | {parameter['in']}{required} | {type_of(schema)} | {text}{default} |"


def answer_row(status: str, answer: Document) -> str:
    """The row of an answer: its status, what is in it, and its meaning."""
    content = answer.get("content", {})
    kinds = dict.fromkeys(
        type_of(each["schema"]) if each.get("schema") else f"`{media}`" for media, each in content.items()
    )
    headers = "".join(
        f" `{name}`: {cell(each.get('description', ''))}" for name, each in answer.get("headers", {}).items()
    )
    return f"| {status} | {', '.join(kinds)} | {cell(answer['description'])}{headers} |"


def schema_section(name: str, schema: Document) -> str:
    """What the reference says of a schema: its fields, or its values."""
    lines = [f"({anchor(name)})=", f"## {name}", "", prose(schema.get("description", "")), ""]
    if "enum" in schema:
        lines += ["One of " + ", ".join(f"`{value}`" for value in schema["enum"]) + ".", ""]
    if fields := schema.get("properties"):
        required = schema.get("required", ())
        lines += ["| field | type | what it is |", "| --- | --- | --- |"]
        lines += [field_row(field, fields[field], required=field in required) for field in fields]
        lines.append("")
    return "\n".join(lines)


def field_row(name: str, schema: Document, *, required: bool) -> str:
    """The row of a field."""
    default = f" Default: `{json.dumps(schema['default'])}`." if schema.get("default") is not None else ""
    kind = type_of(schema) + (", required" if required else "")
    return f"| `{name}` | {kind} | {cell(schema.get('description', ''))}{cell(default)} |"


def type_of(schema: Document) -> str:
    """The type of a value, in a few words; a schema of ours is a link."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{anchor(name)})"
    if parts := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return " or ".join(dict.fromkeys(type_of(part) for part in parts))
    if schema.get("type") == "array":
        return f"array of {type_of(schema.get('items', {}))}"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = str(schema.get("type", "any value"))
    return f"{kind} ({schema['format']})" if "format" in schema else kind


def example(content: Document) -> list[str]:
    """The first example of a body, as a block; nothing where there is none."""
    given = content.get("example")
    if given is None and content.get("examples"):
        given = next(iter(content["examples"].values())).get("value")
    return [] if given is None else ["```json", json.dumps(given, indent=2), "```", ""]


def anchor(name: str) -> str:
    """The target of a schema's section."""
    return f"schema-{name.lower().replace('_', '-')}"

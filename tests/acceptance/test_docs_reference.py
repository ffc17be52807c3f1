"""The reference lacks nothing, and the pictures show what there is.

The pages are made when the site is built (``make docs``), by the modules of ``docs/extensions``; what is looked for in
them here is read from the code by another way.
"""

import inspect
import re
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from fastapi.routing import iter_route_contexts

import api_reference
import command_reference
from pressroom.app import create_app
from pressroom.cli.main import COMMANDS
from pressroom.client import AsyncClient, Client
from pressroom.rights_table import OPEN, endpoints
from pressroom.settings import Settings
from pressroom.web.router import router as web

ROOT = Path(__file__).parents[2]
PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.svg"))
_SVG = "{http://www.w3.org/2000/svg}"


def test_every_endpoint_is_in_the_reference_with_what_it_needs() -> None:
    text = "\n".join(api_reference.pages().values())
    application = create_app(Settings())
    described = application.openapi()["paths"]
    pages = {str(route.path) for route in iter_route_contexts(web.routes)}
    for endpoint in endpoints(application):
        path = api_reference.described_path(endpoint)
        if path not in described and path in pages:
            continue
        if endpoint.method == "HEAD" or path not in described:
            assert endpoint.method == "HEAD" or path in OPEN, f"{path} is described nowhere"
            continue
        _, heading, section = text.partition(f"\n## {endpoint.method} {path}\n")
        section = section.partition("\n## ")[0]
        assert heading, f"{endpoint.method} {path} is missing"
        assert f"Needs {api_reference.right_of(endpoint)}." in section
        operation = described[path][endpoint.method.lower()]
        wanted = [parameter["name"] for parameter in operation.get("parameters", [])] + list(operation["responses"])
        assert [name for name in wanted if name not in section] == []


def test_every_schema_and_each_of_its_fields_is_in_the_reference() -> None:
    page = api_reference.pages()["schemas"]
    for name, schema in create_app(Settings()).openapi()["components"]["schemas"].items():
        _, heading, section = page.partition(f"\n## {name}\n")
        assert heading, name
        section = section.partition("\n## ")[0]
        assert [field for field in schema.get("properties", {}) if f"| `{field}` |" not in section] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_each_of_its_options_is_in_the_reference(name: str) -> None:
    page = command_reference.pages()[name]
    for words, command in command_reference.commands():
        if words.split()[0] == name:
            _, heading, section = page.partition(f"# pressroom {words}\n")
            assert heading, words
            section = section.partition("\n#")[0]
            flags = [flag for each in command_reference.shown(command) for flag in command_reference.names(each)]
            assert [flag for flag in flags if f"`{flag}`" not in section] == [], words


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_every_method_of_a_client_says_what_it_does(client: type) -> None:
    """What has no docstring is left out of the reference; the build warns of it, too."""
    public = {name: member for name, member in inspect.getmembers(client) if not name.startswith("_")}
    assert [name for name, member in public.items() if callable(member) and not inspect.getdoc(member)] == []
    assert f"autoclass:: pressroom.client.{client.__name__}" in (ROOT / "docs" / "reference" / "client.md").read_text()


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_a_picture_names_only_what_there_is(picture: Path) -> None:
    package = ROOT / "src" / "pressroom"
    code = "\n".join(path.read_text() for path in package.rglob("*") if path.suffix in {".py", ".sql"})
    names = [text.text or "" for text in Xml.parse(picture).iter(f"{_SVG}text") if text.get("class") == "code"]
    assert names
    for name in names:
        if "/" in name:
            assert (package / name).exists(), name
        elif name.startswith("pressroom "):
            assert name.split()[1] in COMMANDS
        else:
            assert re.search(rf"\b{name}\b", code), name


def test_a_picture_is_described_in_the_page_and_in_itself() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    for picture in PICTURES:
        assert re.search(rf"!\[[^\]]{{40,}}\]\(pictures/{picture.name}\)", page), picture.name
        assert Xml.parse(picture).find(f"{_SVG}desc") is not None


def test_the_tests_that_the_security_model_names_are_there() -> None:
    page = (ROOT / "docs" / "explanation" / "security.md").read_text()
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", page))
    assert len(named) > 20
    assert {name for name in named if not (ROOT / name).exists()} == set()

"""docs/http.md is what the router serves, and /docs publishes the schema of every body."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scripts import generate_http_doc
from settlement.edge.http.app import openapi_document
from settlement.edge.http.routing import routes_of
from tests.edge.calls import PAGES, SIGNED, calls
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from tests.edge.world import World

_NAMED = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/[\w/{}<>.*-]*)")


def test_the_page_of_endpoints_is_fresh() -> None:
    page = generate_http_doc.PAGE
    assert page.read_text("utf-8") == generate_http_doc.page(), "run scripts/generate_http_doc.py"


def test_the_page_of_endpoints_lists_every_route(quiet: World) -> None:
    text = generate_http_doc.PAGE.read_text("utf-8")
    listed = set(re.findall(r"^\| `(\w+ /\S*)` \|", text, re.MULTILINE))
    assert listed == {call.name for call in calls(quiet)} | {f"{m} {path}" for m, path in SIGNED}


def test_the_published_document_names_every_route_and_body(quiet: World) -> None:
    document = openapi_document(quiet.app)
    for call in calls(quiet):
        operation = document["paths"][call.route][call.method.lower()]
        assert operation["summary"], call.name
        assert {"200", "400", "401", "403", "404", "409", "422", "503"} <= {*operation["responses"]}
        if call.method == "POST":
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            name = schema["$ref"].rsplit("/", 1)[1]
            properties = document["components"]["schemas"][name].get("properties", {})
            assert set(call.required) - {call.actor} <= set(properties), call.name
        shown = {part["name"] for part in operation.get("parameters", [])}
        assert set(re.findall(r"{(\w+)}", call.route)) <= shown
        assert set(call.query) <= shown


def test_an_amount_is_published_as_number_or_text(quiet: World) -> None:
    schemas = openapi_document(quiet.app)["components"]["schemas"]
    amount = str(schemas["SettleBody"]["properties"]["amount"])
    assert "number" in amount
    assert "string" in amount


def test_the_api_page_is_served(quiet: World) -> None:
    assert "swagger" in quiet.call("GET", "/docs").text
    assert quiet.call("GET", "/docs/openapi.json").json()["info"]["title"] == "Settlement"
    assert PAGES


def test_every_endpoint_that_a_page_names_exists(quiet: World) -> None:
    """Broken build: the runbook sends an operator, at night, to a refund that is not there."""
    known = [(method, path.strip("/").split("/")) for method, path, _ in routes_of(quiet.app)]

    def exists(method: str, named: str) -> bool:
        parts = named.rstrip(".").strip("/").split("/")
        return any(
            method == served and len(parts) == len(path) and all(map(_fits, parts, path))
            for served, path in known
        )

    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = [(page, *one) for page in pages for one in _NAMED.findall(page.read_text("utf-8"))]
    assert len(named) > 100
    missing = [
        (page.name, method, path) for page, method, path in named if not exists(method, path)
    ]
    assert not missing


def _fits(named: str, served: str) -> bool:
    """A part of a path as a page writes it: a parameter may be an example, or have another name."""
    return served.startswith("{") or named == served

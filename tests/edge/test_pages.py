"""The front page, the pages of problems, and an API page that loads nothing from elsewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from settlement.core.errors import BY_CODE, Kind, Retry
from settlement.core.errors.meanings import KINDS, RETRIES
from settlement.edge.http.routes.pages import ASSETS

if TYPE_CHECKING:
    from tests.edge.world import World


def test_the_front_page_leads_to_what_is_there(quiet: World) -> None:
    links = quiet.ok("GET", "/")["links"]
    assert {"docs", "health", "register"} <= set(links)
    for name, link in links.items():
        path = re.sub(r"^https?://[^/]+", "", link)
        # Registering is a POST; the page must be there all the same.
        assert quiet.call("GET", path).status_code == (405 if name == "register" else 200), link


def test_the_type_of_a_problem_leads_to_its_meaning(quiet: World) -> None:
    """Catches a `type` that is 404, which is what a careful client opens first."""
    refused = quiet.call("GET", "/protocol/reputation/agent_unknown").json()
    page = quiet.ok("GET", refused["type"])
    assert (page["error"], page["title"]) == (refused["error"], refused["title"])
    assert page["usual_status"] == refused["status"]
    for code in BY_CODE:
        assert quiet.ok("GET", f"/problems/{code}")["error"] == code
    assert quiet.call("GET", "/problems/no_such_code").status_code == 404
    assert set(KINDS) == set(Kind)
    assert set(RETRIES) == set(Retry)


def test_the_api_page_loads_nothing_from_elsewhere(quiet: World) -> None:
    """Catches scripts from a network of somebody else's on a page into which keys are put."""
    page = quiet.call("GET", "/docs").text
    head = page[: page.index("</head>")]
    loaded = re.findall(r'(?:src|href)="([^"]+)"', head)
    assert {link.rpartition("/")[2] for link in loaded} >= set(ASSETS)
    assert [link for link in loaded if not link.startswith(("/docs/static/", "data:"))] == []
    for link in loaded:
        if link.startswith("/"):
            answer = quiet.call("GET", link)
            assert answer.status_code == 200, link
            assert len(answer.content) > 10_000
    assert quiet.call("GET", "/docs/static/..%2fcore.py").status_code == 404
    assert quiet.call("GET", "/docs/static/other.js").status_code == 404

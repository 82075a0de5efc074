"""A full disk under a running server: 503, nothing half done, and the same call works afterwards.

The disk is full for one process: the kernel lets it make no file longer. SQLite only; PostgreSQL's
files belong to a server that the whole run shares.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from tests.chaos.once import one_original
from tests.chaos.site import Site
from tests.support import wire
from tests.support.callers import read, send

if TYPE_CHECKING:
    from tests.support.server import Deployment, Server

pytestmark = pytest.mark.chaos
CALLS = 20


def room(server: Server, size: int) -> None:
    """How long the server's files may get."""
    _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, hard))


@pytest.mark.parametrize("deployment", ["sqlite"], indirect=True)
def test_a_full_disk_is_503_and_what_was_asked_happens_once_there_is_room(
    deployment: Deployment,
) -> None:
    """Broken builds: a 200 whose commit did not fit; a 500, after which a client gives up; a server
    that stays broken when there is room again."""
    server = deployment.server()
    site = Site(bases=[server.url], deployment=deployment)
    seller = site.agent()
    packs = [site.pack(seller) for _ in range(2)]
    deals = [str(pack["deal_id"]) for pack in packs]
    settle = {"amount": 99, "actor_id": seller.agent_id, "counterparty_id": "buyer"}
    site.post("/protocol/settle", {**settle, "deal_id": deals[0]}, seller.headers)

    room(server, 0)
    body = {**settle, "deal_id": deals[1]}
    row = send(server.url, site.plan("/protocol/settle", body, seller.headers))
    assert row.get("status") == 503, row
    assert read(row)["retry"] == "same_key"
    assert "retry-after" in row["headers"]
    wire.settled_once(site.timeline(deals[0]), "99.00")  # it reads

    room(server, resource.RLIM_INFINITY)
    one_original(site.race(CALLS, "/protocol/settle", body, seller.headers))
    wire.settled_once(site.timeline(deals[1]), "99.00")
    assert site.rail_kinds(deals[1]) == ["charge"]
    site.audit()

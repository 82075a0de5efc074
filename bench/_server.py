"""The server that is measured, with one more route: a POST that does nothing.

Guarantees: the no-op has everything an ordinary keyed route has (size and JSON checks, key look-up,
scope, JSON answer), in the same process and on the same port as the settles it is compared with.
Does not: exist outside the benchmark.
"""

from __future__ import annotations

import signal
import sys

import msgspec
import uvicorn
from litestar.params import JSONBody
from litestar.response.base import ASGIResponse

from settlement.config import load
from settlement.edge.http.app import create_app
from settlement.edge.http.auth import keyed
from settlement.edge.http.money import encode
from settlement.edge.http.request import EdgeRequest
from settlement.edge.http.routing import endpoint
from settlement.edge.http.schemas import SettleBody
from settlement.wiring import build

NOOP = "/bench/noop"


class Nothing(msgspec.Struct):
    """What the no-op answers."""

    ok: bool


@endpoint("POST", NOOP, access=keyed("settle"), answer=Nothing, body=SettleBody)
async def noop(request: EdgeRequest, data: JSONBody[SettleBody]) -> ASGIResponse:
    """Read a settle's body, find the key, do nothing."""
    del request
    return ASGIResponse(
        body=encode({"ok": True, "deal_id": data.deal_id}), media_type="application/json"
    )


def main(port: int) -> None:
    """Serve until SIGTERM."""
    import os

    services = build(load(os.environ))
    services.start()
    app = create_app(services)
    app.register(noop)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            loop="uvloop",
            http="httptools",
            log_config=None,
            access_log=False,
            server_header=False,
        )
    )
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
    server.run()
    services.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))

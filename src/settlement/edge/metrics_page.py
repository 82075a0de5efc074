"""The metrics page of a process that serves nothing else: `settlement worker`.

Guarantees: the same figures under the same names as the server's page; it listens only when a port
is set, and ends with the process.
Does not: serve anything but `/metrics`, or know keys.

Contract §3.8. Change colour: green.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from settlement.edge.http import counters
from settlement.edge.http.operations_metrics import refresh_now

if TYPE_CHECKING:
    from settlement.edge.http.services import HttpServices

PATH: Final = "/metrics"
_READ_SECONDS: Final = 10


class MetricsPage:
    """Listens from its making until `close`; raises OSError when it cannot."""

    def __init__(self, services: HttpServices, host: str, port: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = _READ_SECONDS

            def do_GET(self) -> None:
                """The page, or nothing."""
                if self.path != PATH:
                    self.send_error(404)
                    return
                refresh_now(services)
                page = generate_latest()
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE_LATEST)
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_: Any) -> None:
                """A scrape is no news."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="settlement-metrics", daemon=True
        )
        services.engine.add_listener(counters.committed)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.server_address[1]
        return port

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

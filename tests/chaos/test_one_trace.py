"""A real server with a real exporter: the collector gets one trace, and the debug log no secret."""

from __future__ import annotations

import gzip
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.key_search import assert_no_keys
from tests.support.server import deployed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

pytestmark = pytest.mark.chaos
TRACE = "0af7651916cd43dd8448eb211c80319c"
_plain = build_opener(ProxyHandler({}))


@contextmanager
def collector() -> Iterator[tuple[str, list[Span]]]:
    """Something that takes OTLP over HTTP on loopback, and what it was sent."""
    spans: list[Span] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/traces":
                sent = ExportTraceServiceRequest.FromString(body)
                spans.extend(
                    span
                    for resource in sent.resource_spans
                    for scope in resource.scope_spans
                    for span in scope.spans
                )
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def post(url: str, body: dict[str, Any], key: str = "", **headers: str) -> tuple[Any, str]:
    """The answer's members, and its request id."""
    sent = {"Content-Type": "application/json", **headers}
    if key:
        sent["X-API-Key"] = key
    request = Request(url, json.dumps(body).encode(), sent, method="POST")
    with _plain.open(request, timeout=30) as answer:
        return json.loads(answer.read()), answer.headers["X-Request-Id"]


def test_a_collector_gets_one_trace_and_the_log_has_its_id_and_no_key(
    tmp_path: Path, database_url: str
) -> None:
    """Broken build: spans are made and never sent; or the last ones are lost at the stop."""
    with collector() as (address, spans):
        settings = {
            "SETTLEMENT_TRACE_ENDPOINT": address,
            "SETTLEMENT_LOG_LEVEL": "debug",
            "SETTLEMENT_LOG_FORMAT": "json",
        }
        with deployed(tmp_path, database_url, **settings) as deployment:
            server = deployment.server()
            seller, first = post(f"{server.url}/protocol/register", {"name": "seller"})
            pack, _ = post(
                f"{server.url}/protocol/proof-pack",
                {
                    "agent_username": seller["agent_id"],
                    "proof_type": "creative_preview",
                    "proof_data": {"preview_url": "https://example.org/p"},
                },
                seller["api_key"],
            )
            go = {name: pack[name] for name in ("deal_id", "quote_id", "scope_lock_hash")}
            post(f"{server.url}/protocol/go", go)
            _, settled = post(
                f"{server.url}/protocol/settle",
                {"deal_id": pack["deal_id"]},
                seller["api_key"],
                traceparent=f"00-{TRACE}-b7ad6b7169203331-01",
            )
            server.stop()
            raw = server.log.read_bytes()
        mine = {span.name: span for span in spans if span.trace_id.hex() == TRACE}
    chain = ["rail send", "job effect", "operation settle", "POST /protocol/settle"]
    for name, above in pairwise(chain):
        assert mine[name].parent_span_id == mine[above].span_id, name
    assert mine["operation record_charge"].parent_span_id == mine["job effect"].span_id
    assert_no_keys(
        [seller["api_key"]],
        {"log": raw, "spans": b"".join(span.SerializeToString() for span in spans)},
    )
    assert pack["quote_id"].encode() not in raw
    lines = [json.loads(line) for line in raw.decode().splitlines() if line.startswith("{")]
    asked = {line["request_id"]: line for line in lines if "request_id" in line}
    assert {first, settled} <= asked.keys()
    assert asked[settled]["trace_id"] == TRACE

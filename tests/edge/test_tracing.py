"""One trace from the request to the rail: through the engine's queue, the commit and the job.

Spans are kept in memory by the real SDK; the world is served over HTTP on each database.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from settlement import tracing
from settlement.config import ConfigError, load
from settlement.edge.otel import OtelTracer
from tests.support.notes import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from tests.edge.world import World


class Kept:
    """The spans of a test, by trace and by name."""

    def __init__(self, ratio: float) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracer = OtelTracer(self.exporter, ratio=ratio)

    def spans(self) -> list[ReadableSpan]:
        self.tracer.flush()
        return list(self.exporter.get_finished_spans())

    def trace(self, trace_id: str) -> dict[str, list[ReadableSpan]]:
        found: dict[str, list[ReadableSpan]] = {}
        for span in self.spans():
            if id_of(span) == trace_id:
                found.setdefault(span.name, []).append(span)
        return found


def id_of(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


def number_of(span: ReadableSpan) -> int:
    return int(span.context.span_id)


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else int(span.parent.span_id)


@pytest.fixture
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    spans = Kept(getattr(request, "param", 1.0))
    tracing.install(spans.tracer)
    yield spans
    tracing.install(None)
    spans.tracer.close()


CALLER = "0af7651916cd43dd8448eb211c80319c"


def test_one_trace_leads_from_the_settle_to_its_rail(either: World, kept: Kept) -> None:
    """Broken build: the trace ends at the queue, and nobody sees which call a charge was for."""
    pack = either.proof()
    either.go(pack)
    headers = {"traceparent": f"00-{CALLER}-b7ad6b7169203331-01"}
    body = {"deal_id": pack["deal_id"]}
    answer = either.call("POST", "/protocol/settle", body, who="seller", headers=headers)
    assert answer.status_code == 200, answer.text
    until(lambda: "job effect" in kept.trace(CALLER))
    trace = kept.trace(CALLER)

    request, charge = trace["POST /protocol/settle"][0], trace["operation settle"][0]
    job, call = trace["job effect"][0], trace["rail send"][0]
    record = trace["operation record_charge"][0]
    assert parent_of(charge) == number_of(request)
    assert parent_of(job) == number_of(charge)
    assert parent_of(call) == number_of(job)
    assert parent_of(record) == number_of(job)
    batches = {number_of(batch): batch for batch in trace["batch"]}
    for operation in (charge, record):
        batch = batches[operation.links[0].context.span_id]
        assert number_of(operation) in {link.context.span_id for link in batch.links}
        assert batch.attributes is not None
        assert batch.attributes["settlement.operations"] == len(batch.links)
    assert request.attributes is not None
    assert request.attributes["settlement.request_id"] == answer.headers["X-Request-Id"]
    assert request.attributes["http.response.status_code"] == 200
    assert call.attributes is not None
    assert call.attributes["settlement.rail"] == "simulated"


def test_no_span_holds_a_key_a_price_or_a_path(either: World, kept: Kept) -> None:
    """Broken build: the whole address, or a header, becomes an attribute."""
    key = either.agents["seller"].key
    sent = "order-4711-of-a-customer"
    pack = either.proof(price=12_345.67)
    headers = {"Idempotency-Key": sent}
    body = {name: pack[name] for name in ("deal_id", "quote_id", "scope_lock_hash")}
    either.ok("POST", "/protocol/go", body, who="buyer", headers=headers)
    either.call("GET", f"/protocol/idempotency/{sent}", who="buyer")
    either.call("GET", "/protocol/fee-estimate?amount=12345.67")
    spans = kept.spans()
    assert {"POST /protocol/go", "GET /protocol/idempotency/{key}"} <= {s.name for s in spans}
    text = "\n".join(span.to_json() for span in spans)
    for secret in (key, key[21:], sent, "12345", pack["quote_id"]):
        assert secret not in text
    allowed = {"http.request.method", "http.route", "http.response.status_code"}
    allowed |= {f"settlement.{name}" for name in ("request_id", "operations", "rail", "attempt")}
    allowed |= {f"settlement.{name}_id" for name in ("job", "deal", "effect")}
    allowed |= {"settlement.effect_kind"}
    assert {name for span in spans for name in span.attributes or {}} <= allowed


@pytest.mark.parametrize("kept", [0.0], indirect=True)
def test_what_is_not_sampled_stays_so_to_its_end(either: World, kept: Kept) -> None:
    """Broken build: each part draws anew, and traces begin in the middle."""
    headers = {"traceparent": f"00-{CALLER}-b7ad6b7169203331-01"}
    pack = either.proof()
    either.go(pack)
    body = {"deal_id": pack["deal_id"]}
    either.ok("POST", "/protocol/settle", body, who="seller", headers=headers)
    assert kept.spans() == []


def test_without_a_tracer_nothing_is_carried(either: World) -> None:
    """Broken build: jobs grow a member, and requests a cost, although nobody traces."""
    deal_id = either.settled()["deal_id"]
    rows = either.services.db.read(lambda tx: tx.all("operator_jobs", state="", limit=1000))
    jobs = [row["job_id"] for row in rows if row["deal_id"] == deal_id]
    assert jobs
    for job_id in jobs:
        job = either.services.jobs.get(job_id)
        assert job is not None
        assert tracing.TRACEPARENT not in job.payload
    assert tracing.begin("x") is tracing.NOTHING


def test_a_collector_is_named_or_nothing_is_imported() -> None:
    assert load({}).trace_endpoint == ""
    with pytest.raises(ConfigError):
        load({"SETTLEMENT_TRACE_RATIO": "1.5"})
    assert re.fullmatch(
        r"http://\S+", load({"SETTLEMENT_TRACE_ENDPOINT": "http://c:4318/"}).trace_endpoint
    )

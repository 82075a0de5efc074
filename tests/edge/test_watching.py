"""What watches the service names only what there is: dashboard, alerts and docs against a page.

The page is that of a world in which deals were settled and paid, on each database.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from settlement.edge.http import operations_metrics
from settlement.service import health
from settlement.service.archive import digest_path
from settlement.store.database import StatementFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.edge.world import World

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "settlement.json"
DOC = ROOT / "docs" / "observability.md"
NAME = re.compile(r"\b(?:settlement|process|python)_[a-z0-9_]+\b")
SELECTOR = re.compile(r"\b((?:settlement|process)_[a-z0-9_]+)\{([^}]*)\}")
#: Prometheus adds these when it scrapes; `le` belongs to every histogram.
FROM_OUTSIDE = {"instance", "job", "le"}
yaml = pytest.importorskip("yaml")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    board = json.loads(DASHBOARD.read_text("utf-8"))
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


def page(live: World, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(operations_metrics, "CACHE_SECONDS", 0.0)
    return live.call("GET", "/metrics").text


def labels_by_name(text: str) -> dict[str, set[str]]:
    """Every series a page offers, under the names a query uses, with the labels it has."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        for suffix in suffixes.get(family.type, [""]):
            found[family.name + suffix] = set()
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_dashboard_and_alerts_name_only_what_a_live_page_has(
    either: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken build: a metric is renamed, and its alert is silent for ever after."""
    either.call("GET", "/protocol/fee-tiers/agent_nobody")
    known = labels_by_name(page(either, monkeypatch))
    for text in expressions():
        names = set(NAME.findall(text))
        assert names or text.startswith("up{"), text
        assert not names - known.keys(), text
        for name, inside in SELECTOR.findall(text):
            labels = {part.split("=")[0].rstrip("!~ ").strip() for part in inside.split(",")}
            if known[name]:
                assert not labels - known[name] - FROM_OUTSIDE, text


def test_the_page_tells_of_what_was_done(either: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken build: a figure is always zero because nobody sets it."""
    deal = either.settled()
    again = {"deal_id": deal["deal_id"]}
    either.ok("POST", "/protocol/settle", again, who="seller")
    text = page(either, monkeypatch)
    values = values_of(text)
    assert values["settlement_operations_total", "settle", "replayed"] >= 1
    assert values["settlement_events_total", "SETTLED"] >= 2
    assert values["settlement_effect_outcomes_total", "charge", "confirmed"] >= 2
    assert values["settlement_engine_batches_total",] >= 10
    assert values["settlement_engine_batch_operations_count",] >= 10
    assert values["settlement_database_size_bytes",] > 10_000
    assert values["settlement_exchange_open_intents",] == 1
    assert values["settlement_disk_free_bytes", "checkpoint"] > 0
    assert values["settlement_worker_loop_alive", "effects"] == 1
    assert values["settlement_backup_age_seconds",] == float("inf")
    kind = either.services.db.kind
    assert f'database="{kind}",mode="sandbox"' in text


def test_backup_and_audit_are_as_old_as_their_files(
    either: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken build: a failed audit, or a backup that stopped weeks ago, looks like a good one."""
    settings = either.services.settings
    settings.backup_dir.mkdir(exist_ok=True)
    archive = settings.backup_dir / "backup_20260101T000000Z.tar.gz"
    archive.write_bytes(b"")
    digest_path(archive).write_text("x")
    verdict = {"ok": False, "audited_at": "2026-01-01T00:00:00.000000Z", "failed": [7]}
    settings.audit_file.write_text(json.dumps(verdict))
    try:
        values = values_of(page(either, monkeypatch))
        assert values["settlement_audit_clean",] == 0
        assert 3600 < values["settlement_audit_age_seconds",] < float("inf")
        assert 3600 < values["settlement_backup_age_seconds",] < float("inf")
        settings.audit_file.write_text("{")
        assert values_of(page(either, monkeypatch))["settlement_audit_age_seconds",] == float("inf")
    finally:
        for path in (archive, digest_path(archive), settings.audit_file):
            path.unlink()


def test_half_an_answer_of_the_database_is_none(
    either: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken build: a role that may not read one table leaves figures at zero, which look well."""

    def refused(_tx: object) -> None:
        raise StatementFailed("permission denied for table intent")

    monkeypatch.setattr(health, "read_stock", refused)
    assert values_of(page(either, monkeypatch))["settlement_database_up",] == 0
    monkeypatch.undo()
    assert values_of(page(either, monkeypatch))["settlement_database_up",] == 1


def values_of(text: str) -> Mapping[tuple[str, ...], float]:
    """Value by name and label values, in the order of the labels' names."""
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_no_label_tells_of_an_agent_a_deal_or_a_price(
    either: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken build: a counter is given the deal it counts."""
    text = page(either, monkeypatch)
    for agent in either.agents.values():
        assert agent.agent_id not in text
        assert agent.key not in text
    assert not re.search(r"\b(deal|pay|eff|evt|job|hook|key|intent)_[0-9a-f]{8}", text)
    allowed = {"method", "path", "status_code", "operation", "outcome", "code", "bucket", "le"}
    allowed |= {"event_type", "kind", "state", "status", "switch", "loop", "place"}
    allowed |= {"version", "python", "database", "mode"}
    ours = {n: found for n, found in labels_by_name(text).items() if n.startswith("settlement_")}
    assert set().union(*ours.values()) <= allowed


def test_the_docs_list_every_metric_and_no_other(
    either: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page(either, monkeypatch)
    families = {f.name: f.type for f in text_string_to_metric_families(text)}
    live = {
        name + ("_total" if kind == "counter" else "")
        for name, kind in families.items()
        if name.startswith("settlement_") and not name.endswith("_created")
    }
    listed = set(re.findall(r"^\| `(settlement_[a-z0-9_]+)`", DOC.read_text("utf-8"), re.M))
    assert listed == live


def test_every_alert_says_how_urgent_it_is_and_what_to_do() -> None:
    found = rules()
    names = [rule["alert"] for rule in found]
    assert len(set(names)) == len(names)
    for rule in found:
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert len(rule["annotations"]["summary"]) > 20, rule["alert"]
        assert len(rule["annotations"]["description"]) > 40, rule["alert"]


def test_the_dashboard_has_what_grafana_needs() -> None:
    board = json.loads(DASHBOARD.read_text("utf-8"))
    assert board["uid"]
    assert board["schemaVersion"] >= 36
    assert {one["name"] for one in board["templating"]["list"]} == {"datasource", "instance"}
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, f"{panel['title']} lies over another panel"
        taken |= cells
        if panel["type"] != "row":
            assert panel["targets"], panel["title"]


def test_promtool_takes_the_rules() -> None:
    """Where promtool is installed; elsewhere the rules are read as YAML only."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [tool, "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

"""Settings of what watches the service: traces, where backups lie, what the last audit said.

For: `config.Settings`, `/metrics`, `settlement doctor`, `settlement backup`, `settlement audit`.
Guarantees: nothing here changes what the service does with money.
Does not: hold a secret.
Change colour: green.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from settlement.config import readers
from settlement.config.table import setting

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ObservingSettings:
    """What the operator's eyes look at."""

    trace_endpoint: str = field(
        metadata=setting(
            "",
            readers.url,
            "Collector that takes traces (OTLP over HTTP), such as http://127.0.0.1:4318; empty:"
            " nothing is traced. Needs the extra `otel`.",
        )
    )
    trace_ratio: str = field(
        metadata=setting(
            "1",
            readers.matching(r"0(\.[0-9]{1,6})?|1(\.0{1,6})?", "a share from 0 to 1, such as 0.05"),
            "Share of requests that are traced, with all that follows from them.",
        )
    )
    worker_metrics_port: int = field(
        metadata=setting(
            "0",
            readers.whole(0, 65_535),
            "Port on which `settlement worker` shows /metrics, at SETTLEMENT_HOST; 0: none.",
        )
    )
    backup_dir: Path = field(
        metadata=setting(
            "var/backups",
            readers.path,
            "Where `settlement backup` puts archives; `/metrics` tells the age of the newest.",
        )
    )
    audit_file: Path = field(
        metadata=setting(
            "var/audit.json",
            readers.path,
            "Where `settlement audit` leaves its verdict, which `/metrics` shows.",
        )
    )

"""Settings of what watches the service: where backups lie and what the last audit said.

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

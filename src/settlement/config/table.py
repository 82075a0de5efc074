"""The table of settings: each declared once, by group, with its default, reader and meaning.

For: `config.Settings`, which is all groups together; a new part of the service brings a group of
its own, in a module of its own.
Guarantees: a default goes through the same reader as a value from outside; what is secret is not
part of a repr. No slots: classes with slots cannot be inherited together.
Does not: check one setting against another; `Settings` does.
Change colour: amber (a name here is part of every deployment).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from settlement.config import readers
from settlement.core.checkpoint import DEFAULT_KEY_ID, DEFAULT_LOG_ID
from settlement.core.feed import ECON_FEED_DELAY_SECONDS
from settlement.core.fees import POLICIES
from settlement.core.money import DEFAULT_ASSET_CODE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIMULATED: Final = "simulated"
STRIPE: Final = "stripe"


class Mode(StrEnum):
    """Pretend money, or real (contract §0.1)."""

    SANDBOX = "sandbox"
    LIVE = "live"


class LogLevel(StrEnum):
    """How much the server says."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """Readable on a terminal and JSON lines elsewhere, or one of them always."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


def setting(default: str, read: Callable[[str], object], meaning: str) -> dict[str, object]:
    """Declare one setting. The default goes through the same reader as a value from outside."""
    return {"default": default, "read": read, "meaning": meaning}


@dataclass(frozen=True, kw_only=True)
class ServingSettings:
    """Where the server listens, what it believes and what it says."""

    mode: Mode = field(
        metadata=setting(
            "sandbox",
            readers.one_of(Mode),
            "`sandbox`: pretend money, most calls open; `live`: keys and funds are required.",
        )
    )
    host: str = field(
        metadata=setting("127.0.0.1", readers.required, "Address the HTTP server listens on.")
    )
    port: int = field(
        metadata=setting(
            "10000",
            readers.whole(0, 65_535),
            "Port the HTTP server listens on; 0 takes a free one.",
        )
    )
    public_url: str = field(
        metadata=setting(
            "",
            readers.url,
            "Address under which clients reach the server; empty: the listening address.",
        )
    )
    admin_token: str = field(
        repr=False,
        metadata=setting(
            "",
            readers.token,
            "Secret of the X-Admin-Token header; empty: only keys with scope admin are operators.",
        ),
    )
    trusted_proxies: tuple[str, ...] = field(
        metadata=setting(
            "", readers.proxies, "Addresses, comma-separated, whose X-Forwarded-For is believed."
        )
    )
    log_level: LogLevel = field(
        metadata=setting("info", readers.one_of(LogLevel), "`debug`, `info`, `warning` or `error`.")
    )
    log_format: LogFormat = field(
        metadata=setting(
            "auto",
            readers.one_of(LogFormat),
            "`auto` (readable on a terminal, JSON elsewhere), `text`, `json`.",
        )
    )


@dataclass(frozen=True, kw_only=True)
class StorageSettings:
    """Where the books are, and how work on them is shared out."""

    database: str = field(
        repr=False,
        metadata=setting(
            "sqlite:///var/settlement.db",
            readers.database,
            "`sqlite:///PATH` (three slashes: relative, four: absolute) or `postgresql://...`.",
        ),
    )
    queue_limit: int = field(
        metadata=setting(
            "4096",
            readers.whole(1, 1_000_000),
            "Operations that may wait in one process before 503 `busy`.",
        )
    )
    batch_limit: int = field(
        metadata=setting("256", readers.whole(1, 10_000), "Operations that may share one commit.")
    )
    job_lease_seconds: int = field(
        metadata=setting(
            "60",
            readers.whole(5, 3_600),
            "How long a worker holds a job before another may take it over.",
        )
    )


@dataclass(frozen=True, kw_only=True)
class LogKeySettings:
    """The transparency log and its key."""

    signing_key_file: Path = field(
        metadata=setting(
            "var/keys/log_signing.key",
            readers.path,
            "Ed25519 key (PEM) that signs tree heads; a sandbox makes one, live never does.",
        )
    )
    checkpoint_file: Path = field(
        metadata=setting(
            "var/checkpoint.json",
            readers.path,
            "Where the last signed tree head is also kept, outside the database and its backups.",
        )
    )
    log_id: str = field(
        metadata=setting(
            DEFAULT_LOG_ID,
            readers.matching(r"[A-Za-z0-9_.:-]{1,128}", "1 to 128 letters, digits and _ . : -"),
            "Name of the transparency log, part of every signed tree head.",
        )
    )
    log_key_id: str = field(
        metadata=setting(
            DEFAULT_KEY_ID,
            readers.matching(r"[A-Za-z0-9_.:-]{1,128}", "1 to 128 letters, digits and _ . : -"),
            "Name of the signing key, part of every signed tree head.",
        )
    )


@dataclass(frozen=True, kw_only=True)
class TermsSettings:
    """What a deal costs when nobody says otherwise."""

    default_asset: str = field(
        metadata=setting(
            DEFAULT_ASSET_CODE, readers.asset, "Asset of deals that name none, with its scale."
        )
    )
    default_price: str = field(
        metadata=setting(
            "99.00",
            readers.matching(r"(0|[1-9][0-9]*)(\.[0-9]+)?", "a plain decimal amount such as 99.00"),
            "Price, in the default asset, of a proof pack that names none.",
        )
    )
    prices: tuple[tuple[str, str, str], ...] = field(
        metadata=setting(
            "",
            readers.prices,
            "Prices of known work, in the default asset: `vertical/sku=49.00,...`.",
        )
    )
    fee_policy: str = field(
        metadata=setting(
            "discounts-1",
            readers.name_in(POLICIES, "fee policy"),
            "Fee policy of new approvals; approved deals keep theirs.",
        )
    )
    quote_days: int = field(
        metadata=setting("7", readers.whole(1, 365), "Days for which a quote can be approved.")
    )


@dataclass(frozen=True, kw_only=True)
class RailSettings:
    """The payment provider, and what it may tell us."""

    rail: str = field(
        metadata=setting(
            SIMULATED,
            readers.matching(r"[a-z][a-z0-9_]{0,31}", "a lower-case name such as simulated"),
            "The payment provider: `simulated`, or in live mode `stripe`.",
        )
    )
    rail_dir: Path = field(
        metadata=setting("var/rail", readers.path, "Where the simulated rail keeps its own book.")
    )
    simulated_webhook_secret: str = field(
        repr=False,
        metadata=setting(
            "",
            readers.webhook_secret,
            "Signs what the simulated rail sends (Standard Webhooks); empty: nothing is taken in.",
        ),
    )
    simulated_webhook_secret_previous: str = field(
        repr=False,
        metadata=setting(
            "", readers.webhook_secret, "The secret before, accepted too during a rotation."
        ),
    )
    webhook_loopback: bool = field(
        metadata=setting(
            "0",
            readers.flag,
            "`1`: webhooks may go to http:// on loopback; a sandbox on loopback allows it anyway.",
        )
    )


@dataclass(frozen=True, kw_only=True)
class FeedSettings:
    """What is published about the economy as a whole."""

    econ_feed_delay_seconds: int = field(
        metadata=setting(
            str(ECON_FEED_DELAY_SECONDS),
            readers.whole(ECON_FEED_DELAY_SECONDS, 604_800),
            "Seconds between the end of an hour and the release of its figures; never less than"
            " an hour.",
        )
    )

"""Settings: what an operator may choose, each declared once with its meaning.

For: `wiring`, which reads them from the environment; `settlement settings`, which lists them; and
docs/settings.md, which a test compares with this table.
Guarantees: a value that cannot be used raises `ConfigError` naming the setting, the value and what
to do; pretend money never meets a real rail (contract §0.1); secrets are never printed.
Does not: open anything. Whether a path or a database works is told by `settlement doctor`.
Change colour: amber (a name here is part of every deployment).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import Field, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from settlement.config import readers
from settlement.config.exchange import ExchangeSettings
from settlement.config.limits import LimitSettings
from settlement.config.observing import ObservingSettings
from settlement.config.stripe import StripeSettings, find_missing
from settlement.config.table import (
    SIMULATED,
    STRIPE,
    FeedSettings,
    LogFormat,
    LogKeySettings,
    LogLevel,
    Mode,
    RailSettings,
    ServingSettings,
    StorageSettings,
    TermsSettings,
)
from settlement.core.errors import SettlementError
from settlement.core.limits import limits_of
from settlement.core.misconfigured import ConfigError
from settlement.core.money import Asset, parse_amount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settlement.core.limits import Limit

__all__ = [
    "SIMULATED",
    "STRIPE",
    "ConfigError",
    "LogFormat",
    "LogLevel",
    "Mode",
    "Settings",
    "describe",
    "load",
    "unknown_settings",
    "variable_of",
    "with_port",
]

PREFIX: Final = "SETTLEMENT_"
#: Rails this version can drive. A real one is added here with its adapter.
RAILS: Final = frozenset({SIMULATED, STRIPE})


@dataclass(frozen=True, kw_only=True)
class Settings(
    ObservingSettings,
    StripeSettings,
    ExchangeSettings,
    LimitSettings,
    FeedSettings,
    RailSettings,
    TermsSettings,
    LogKeySettings,
    StorageSettings,
    ServingSettings,
):
    """Every choice an operator has; a field's variable is SETTLEMENT_ and its name in capitals."""

    def __post_init__(self) -> None:
        """Check what one setting alone cannot tell."""
        if self.mode is Mode.SANDBOX and self.rail != SIMULATED:
            raise ConfigError(
                "SETTLEMENT_RAIL",
                self.rail,
                f"SETTLEMENT_MODE is {self.mode.value!r}, whose money is pretended, and a real"
                " rail would be asked for it",
                "Set SETTLEMENT_MODE=live for real money, or SETTLEMENT_RAIL=simulated.",
            )
        if self.rail not in RAILS:
            raise ConfigError(
                "SETTLEMENT_RAIL",
                self.rail,
                f"this version has no such rail; it has {', '.join(sorted(RAILS))}",
                "Choose one of those.",
            )
        if self.rail == STRIPE and (missing := find_missing(self)):
            raise ConfigError(missing.setting, "", missing.reason, missing.advice)
        if self.batch_limit > self.queue_limit:
            raise ConfigError(
                "SETTLEMENT_BATCH_LIMIT",
                str(self.batch_limit),
                f"it is more than SETTLEMENT_QUEUE_LIMIT, {self.queue_limit}",
                "A batch is taken from the queue; lower it or raise the queue's limit.",
            )
        assert self.default_price_minor > 0, "it was read"
        assert self.prices_minor is not None, "they were read"

    def _minor(self, setting: str, amount: str) -> int:
        try:
            return parse_amount(amount, Asset.parse(self.default_asset), "price")
        except SettlementError as error:
            raise ConfigError(
                setting,
                amount,
                f"it is no amount of {self.default_asset} ({error.code})",
                "Name an amount above zero, no finer than the asset's scale.",
            ) from error

    @property
    def default_price_minor(self) -> int:
        """The default price in minor units of the default asset."""
        return self._minor("SETTLEMENT_DEFAULT_PRICE", self.default_price)

    @property
    def prices_minor(self) -> dict[tuple[str, str], int]:
        """(vertical, sku) -> price in minor units of the default asset."""
        return {
            (vertical, sku): self._minor("SETTLEMENT_PRICES", amount)
            for vertical, sku, amount in self.prices
        }

    @property
    def sandbox(self) -> bool:
        """True when money is pretended."""
        return self.mode is Mode.SANDBOX

    @property
    def seal_key_file(self) -> Path:
        """Where the seal key is when no setting holds it."""
        return self.signing_key_file.with_name("seal.key")

    @property
    def limits(self) -> Mapping[str, Limit | None]:
        """Rate limits by bucket; None is no limit."""
        return limits_of(sandbox=self.sandbox, named=dict(self.rate_limits))

    @property
    def webhooks_to_loopback(self) -> bool:
        """Whether webhooks may use plain http to this machine (contract §0.1); live never."""
        return self.sandbox and (self.webhook_loopback or readers.is_loopback(self.host))

    @property
    def base_url(self) -> str:
        """The address given to clients; a server that listens everywhere is called on loopback."""
        if self.public_url:
            return self.public_url
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  # a name to replace, not to bind
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def sqlite_path(self) -> Path | None:
        """The database's file, when it is one."""
        prefix = "sqlite:///"
        return Path(self.database[len(prefix) :]) if self.database.startswith(prefix) else None


def variable_of(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def load(env: Mapping[str, str], **overrides: str) -> Settings:
    """Read settings from an environment; `overrides` (field -> text) come from a command line.

    An empty variable is an unset one. Raises ConfigError for the first value that cannot be used.
    """
    found: dict[str, Any] = {}
    for one in fields(Settings):
        variable = variable_of(one.name)
        text = overrides.get(one.name) or env.get(variable) or one.metadata["default"]
        found[one.name] = _read(one, variable, text)
    return Settings(**found)


def _read(one: Field[Any], variable: str, text: str) -> object:
    try:
        value: object = one.metadata["read"](text)
    except ValueError as error:
        shown = text if one.repr else "(hidden)"
        default = one.metadata["default"] or "empty"
        advice = f"The default is {default}; `settlement settings` lists all."
        raise ConfigError(variable, shown, str(error), advice) from None
    return value


def with_port(settings: Settings, port: int) -> Settings:
    """The same settings on another port, once the system has chosen one for port 0."""
    return replace(settings, port=port)


def unknown_settings(env: Mapping[str, str]) -> list[tuple[str, str | None]]:
    """Variables that look like ours and are not, each with the name it may have meant."""
    known = {variable_of(one.name) for one in fields(Settings)}
    strangers = sorted(name for name in env if name.startswith(PREFIX) and name not in known)
    return [
        (name, next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.75)), None))
        for name in strangers
    ]


def describe(settings: Settings | None = None) -> list[dict[str, str]]:
    """Name, default and meaning of every setting, and its value when settings are given."""
    rows: list[dict[str, str]] = []
    for one in fields(Settings):
        row = {
            "name": variable_of(one.name),
            "default": one.metadata["default"],
            "meaning": one.metadata["meaning"],
        }
        if settings is not None:
            row["value"] = _shown(getattr(settings, one.name), secret=not one.repr)
        rows.append(row)
    return rows


def _part(value: object) -> str:
    """One of a list; a price is written as it is read."""
    return "{}/{}={}".format(*value) if isinstance(value, tuple) else str(value)


def _shown(value: object, *, secret: bool) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple):
        return ",".join(_part(part) for part in value)
    text = str(value)
    if not secret or not text:
        return text
    # A database URL may carry a password; where it leads is no secret, an SQLite path even less.
    if text.startswith(("sqlite:", "postgres")):
        return re.sub(r"(//[^:/@]*):[^@]*@", r"\1:(hidden)@", text)
    return "(hidden)"

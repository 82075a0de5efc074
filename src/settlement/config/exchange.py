"""Settings of the exchange.

For: `config.Settings`. Guarantees: the seal key is never printed.
Does not: make a key; `wiring` does, in sandbox.
Change colour: amber.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from settlement.config import readers
from settlement.config.table import setting


@dataclass(frozen=True, kw_only=True)
class ExchangeSettings:
    """How bids are kept secret until their intent is closed."""

    seal_key: str = field(
        repr=False,
        metadata=setting(
            "",
            readers.seal_key,
            "Key that seals bids, 32 bytes in base64; empty: `seal.key` beside the signing key,"
            " which a sandbox makes, live never. Without any, bids get 503.",
        ),
    )

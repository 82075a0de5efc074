"""Top-ups by name: the stream of one, and what was asked for.

For: the operations that ask for and book a top-up, the payment page, and the inbox.
Guarantees: a top-up's stream `sys_topup_<id>` holds its request and names it at rails, where no
deal can have that name; what came in is told on the stream of the agent who has it now.
Does not: move money.

Spec §4.2, §5.2. Change colour: red.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from settlement.core.ids import SYSTEM_PREFIX, TopupId, system_stream

if TYPE_CHECKING:
    from settlement.core.rows import Effect

_STREAM_PREFIX: Final = SYSTEM_PREFIX + TopupId.prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class TopupRequest:
    """Whose balance is to grow, and by how much."""

    topup_id: str
    agent_id: str
    asset: str
    amount_minor: int
    rail: str

    @property
    def stream(self) -> str:
        """The stream of the request; also its name at the rail."""
        return system_stream(self.topup_id)


def is_topup(stream: str | None) -> bool:
    """Tell whether this names a top-up's stream."""
    return stream is not None and stream.startswith(_STREAM_PREFIX)


def is_topup_charge(effect: Effect) -> bool:
    """Tell a charge for a balance from a charge for a deal."""
    return is_topup(effect.deal_id)


def read_request(payload: str) -> TopupRequest:
    """The request, as its event or its effect's plan has it."""
    members = json.loads(payload)
    return TopupRequest(**{name: members[name] for name in TopupRequest.__dataclass_fields__})

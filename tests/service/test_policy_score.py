"""A deal whose policy asks for a reputation settles by what the books say of the seller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from settlement.core.errors import PolicyNotMet
from settlement.core.operations import Settle
from tests.support.house import Play, house

if TYPE_CHECKING:
    from pathlib import Path


def _settle(play: Play, policy: str) -> None:
    seller, buyer = play.agent("seller"), play.agent("buyer")
    deal = play.proof(seller, policy=policy)
    play.go(deal, buyer)
    settle = Settle(principal=seller, deal_id=deal["deal_id"])
    answer = play.services.engine.execute(settle)
    if answer.error is not None:
        raise answer.error


def test_a_new_agent_meets_a_policy_of_fifty_and_not_of_more(
    tmp_path: Path, database_url: str
) -> None:
    """Breaks when nobody loads the score: then no such policy could ever pass."""
    with house(tmp_path, database_url) as services:
        play = Play(services)
        _settle(play, '[{"field": "ocs_min", "op": ">=", "value": 50}]')
        with pytest.raises(PolicyNotMet) as refused:
            _settle(play, '[{"field": "ocs_min", "op": ">=", "value": 50.01}]')
        assert refused.value.field == "ocs_min"

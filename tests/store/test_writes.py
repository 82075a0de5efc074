"""Write sets: changes that lost their row say so, claims finish or are released, order is safe."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from settlement.core.proof_rows import ProofTotals
from settlement.core.rows import EffectState, Party
from settlement.core.state import Footprint, Needs, State
from settlement.core.writeset import ClaimFinish, EffectChange, WriteSet
from settlement.store.database import ConstraintViolated, LostRow
from settlement.store.loading import load_claims, load_footprint, load_needs
from tests.store import make
from tests.store.make import LATER, NOW, Story
from tests.support.raw import open_raw

if TYPE_CHECKING:
    from settlement.core.rows import Claim
    from settlement.store.database import Database


def write(db: Database, writes: WriteSet) -> None:
    db.transaction(lambda tx: tx.write(writes))


def claims(db: Database, *wanted: Claim) -> dict[tuple[str, str, str], Claim]:
    keys = [(claim.scope, claim.operation, claim.key) for claim in wanted]
    return db.read(lambda tx: load_claims(tx, keys))


def state_of(db: Database, footprint: Footprint, needs: Needs | None = None) -> State:
    def load(tx: object) -> State:
        state = State()
        load_footprint(tx, footprint, state)  # type: ignore[arg-type]  # a Tx
        load_needs(tx, needs or Needs(), state)  # type: ignore[arg-type]  # a Tx
        return state

    return db.transaction(load)


def test_an_empty_write_set_writes_nothing(db: Database) -> None:
    write(db, WriteSet())


def test_a_whole_settlement_comes_back_as_it_was_written(db: Database) -> None:
    story = Story()
    write(db, story.world("agent_a"))
    write(db, story.funded("deal_a", "agent_a"))
    settled = story.settled("deal_a")
    write(db, settled)
    escrow, entity = ("escrow:deal_a", "USD/2"), ("entity:agent_a", "USD/2")
    needs = Needs(accounts=(entity, escrow), settlements=("deal_a",), parties=("deal_a",))
    state = state_of(db, Footprint(deals=("deal_a",)), needs)
    assert state.deals["deal_a"] == settled.deals_changed[0]
    view = state.settlements["deal_a"]
    assert view is not None
    assert (view.settlement, view.payees) == (settled.settlements[0], tuple(settled.payees))
    emptied, earned = state.accounts[escrow], state.accounts[entity]
    assert emptied is not None
    assert earned is not None
    assert emptied.debits_posted == emptied.credits_posted == 10_000
    assert earned.credits_posted == view.settlement.net_minor


def test_events_wait_for_the_sequencer_in_order(db: Database, database_url: str) -> None:
    story = Story()
    write(db, story.world("agent_a"))
    both = story.funded("deal_a", "agent_a")
    both.extend(story.funded("deal_b", "agent_a"))
    write(db, both)
    with open_raw(database_url) as raw:
        found = raw.rows("SELECT deal_id, version FROM event_pending ORDER BY seq")
    assert found == [("deal_a", 0), ("deal_a", 1), ("deal_b", 0), ("deal_b", 1)]


def test_a_party_named_twice_is_one(db: Database) -> None:
    story = Story()
    write(db, story.world("agent_a"))
    write(db, story.funded("deal_a", "agent_a"))
    seller = Party(deal_id="deal_a", agent_id="agent_a", role="seller")
    write(db, WriteSet(parties=[seller, seller]))
    state = state_of(db, Footprint(), Needs(parties=("deal_a",)))
    assert state.parties["deal_a"] == {("agent_a", "seller")}


def test_a_job_enqueued_twice_is_one(db: Database, database_url: str) -> None:
    write(db, WriteSet(jobs=[make.job("job_1", "deal_a"), make.job("job_2", "deal_a")]))
    write(db, WriteSet(jobs=[make.job("job_3", "deal_a")]))
    with open_raw(database_url) as raw:
        assert raw.rows("SELECT job_id FROM job") == [("job_1",)]


def test_several_changes_of_a_row_in_one_batch_are_the_last(db: Database) -> None:
    new, between, last = (make.deal("deal_a", policy=text) for text in ("[0]", "[1]", "[2]"))
    write(db, WriteSet(deals_new=[new], deals_changed=[between, last]))
    assert state_of(db, Footprint(deals=("deal_a",))).deals["deal_a"] == last
    write(db, WriteSet(deals_changed=[new, between]))
    assert state_of(db, Footprint(deals=("deal_a",))).deals["deal_a"] == between


def test_a_change_of_a_deal_that_is_not_there_is_lost(db: Database) -> None:
    with pytest.raises(LostRow, match="deal_update"):
        write(db, WriteSet(deals_changed=[make.deal("deal_none")]))


@pytest.mark.parametrize(
    ("fence", "state"), [(3, "planned"), (4, "sent"), (5, "planned")], ids=["old", "state", "new"]
)
def test_an_effect_changes_only_under_its_fence_and_state(
    db: Database, fence: int, state: str
) -> None:
    effect = make.effect("eff_a", "deal_a", fence=4)
    write(db, WriteSet(effects_new=[effect]))
    sent = replace(effect, state=EffectState.SENT, fence=5, sent_at=LATER)

    def change(fence: int, state: str) -> WriteSet:
        made = EffectChange(effect=sent, expected_fence=fence, expected_state=state)
        return WriteSet(jobs=[make.job("job_a", "deal_a")], effects_changed=[made])

    with pytest.raises(LostRow, match="effect_update"):
        write(db, change(fence, state))
    assert state_of(db, Footprint(effects=("eff_a",))).effects["eff_a"] == effect
    write(db, change(4, "planned"))
    assert state_of(db, Footprint(effects=("eff_a",))).effects["eff_a"] == sent


def test_two_changes_of_an_effect_expect_what_the_first_did(db: Database) -> None:
    effect = make.effect("eff_a", "deal_a")
    sent = replace(effect, state=EffectState.SENT)
    unknown = replace(effect, state=EffectState.UNKNOWN)
    write(db, WriteSet(effects_new=[effect]))
    changes = [
        EffectChange(effect=sent, expected_fence=0, expected_state="planned"),
        EffectChange(effect=unknown, expected_fence=0, expected_state="sent"),
    ]
    write(db, WriteSet(effects_changed=changes))
    assert state_of(db, Footprint(effects=("eff_a",))).effects["eff_a"] == unknown


DERIVED = make.claim("deal_a", state="running", outcome=None, finished_at=None)
SENT = make.claim(
    "deal_a",
    scope="agent_a",
    key="mine",
    state="running",
    outcome=None,
    finished_at=None,
    target_scope=DERIVED.scope,
    target_key=DERIVED.key,
)
OTHER = replace(SENT, scope="agent_b")
KEY = (DERIVED.scope, DERIVED.operation, DERIVED.key)


def finish(*, release: bool) -> WriteSet:
    made = ClaimFinish(
        scope=KEY[0], operation=KEY[1], key=KEY[2], outcome="{}", finished_at=LATER, release=release
    )
    return WriteSet(claims_finished=[made])


def test_a_sent_key_brings_the_claim_it_names(db: Database) -> None:
    write(db, WriteSet(claims=[SENT, DERIVED]))
    assert set(claims(db, SENT)) == {("agent_a", "settle", "mine"), KEY}


def test_a_claim_is_taken_once(db: Database) -> None:
    write(db, WriteSet(claims=[DERIVED]))
    with pytest.raises(ConstraintViolated) as refusal:
        write(db, WriteSet(claims=[DERIVED]))
    assert refusal.value.name == "unique: claim(scope, operation, key)"


def test_a_finished_claim_has_its_outcome_once(db: Database) -> None:
    write(db, WriteSet(claims=[SENT, DERIVED]))
    write(db, finish(release=False))
    found = claims(db, SENT)[KEY]
    assert (found.state, found.outcome, found.finished_at) == ("done", "{}", LATER)
    with pytest.raises(LostRow):
        write(db, finish(release=False))


def test_a_released_claim_leaves_its_outcome_to_the_sent_keys(db: Database) -> None:
    write(db, WriteSet(claims=[SENT, OTHER, DERIVED]))
    write(db, finish(release=True))
    found = claims(db, SENT, OTHER, DERIVED)
    assert KEY not in found
    assert len(found) == 2
    for claim in found.values():
        assert (claim.state, claim.outcome, claim.target_scope, claim.target_key) == (
            "done", "{}", None, None,
        )  # fmt: skip
    write(db, WriteSet(claims=[DERIVED]))


def test_counting_receipts_are_compared_as_decimals(db: Database) -> None:
    story = Story()
    write(db, story.world("agent_a"))
    write(db, story.funded("deal_a", "agent_a"))
    made = [
        make.receipt("rcpt_1", "deal_a", confidence="0.95", provider="a"),
        make.receipt("rcpt_2", "deal_a", confidence="1", provider="b"),
        make.receipt("rcpt_3", "deal_a", confidence="0.9", provider="a", authority="operator"),
        make.receipt("rcpt_4", "deal_a", confidence="2", provider="c", verified=0),
        make.receipt("rcpt_5", "deal_a", confidence="3", provider="d", authority="party"),
        make.receipt("rcpt_6", "deal_a", confidence="4", provider="e", authority="open"),
    ]
    write(db, WriteSet(receipts=made))
    known = (made[0].receipt_digest, "verifier")
    needs = Needs(receipts=("deal_a", "deal_b"), known_receipts=(known, ("none", "open")))
    state = state_of(db, Footprint(), needs)
    assert (state.receipts["deal_a"].best_confidence, state.receipts["deal_a"].providers) == (
        "1",
        2,
    )
    assert (state.receipts["deal_b"].best_confidence, state.receipts["deal_b"].providers) == (
        None,
        0,
    )
    assert state.known_receipts == {known: made[0], ("none", "open"): None}


def test_volume_is_what_came_after_the_windows_start(db: Database) -> None:
    story = Story()
    write(db, story.world("agent_a"))
    times = ("2026-01-01T00:00:00.000000Z", "2026-01-02T00:00:00.000000Z", NOW)
    for n, at in enumerate(times, start=1):
        deal_id = f"deal_{n}"
        write(db, story.funded(deal_id, "agent_a"))
        settled = story.settled(deal_id, volume_n=n)
        settled.volumes = [replace(settled.volumes[0], at=at)]
        write(db, settled)
    keys = tuple(
        (agent_id, "USD/2", since)
        for agent_id, since in [
            ("agent_a", "2025-12-31T00:00:00.000000Z"),
            ("agent_a", times[0]),
            ("agent_a", times[2]),
            ("agent_b", times[0]),
        ]
    )
    state = state_of(db, Footprint(), Needs(volumes=keys))
    found = [(v.n, v.total_minor, v.before_window_minor) for v in map(state.volumes.get, keys) if v]
    assert found == [(3, 30_000, 0), (3, 30_000, 10_000), (3, 30_000, 30_000), (0, 0, 0)]


def test_what_does_not_exist_is_loaded_as_nothing(db: Database) -> None:
    needs = Needs(
        accounts=(("entity:x", "USD/2"),),
        agents=("x",),
        names=("x",),
        chains=("x",),
        payouts=(("x", "y"),),
        destinations=(("x", None), ("x", "y")),
        settlements=("x",),
        proofs=("x",),
    )
    state = state_of(db, Footprint(deals=("x",), effects=("x",)), needs)
    assert state.deals == {"x": None}
    assert state.effects == {"x": None}
    assert state.accounts == {("entity:x", "USD/2"): None}
    assert state.agents == {"x": None}
    assert state.names == {"x": ()}
    assert (state.chains["x"].version, state.chains["x"].head_hash) == (0, "")
    assert state.payouts == {("x", "y"): None}
    assert state.settlements == {"x": None}
    assert state.proofs == {"x": ProofTotals()}


def test_a_chain_without_a_deal_is_found_by_its_events(db: Database) -> None:
    story = Story()
    story.deals["sys_a"] = make.deal("sys_a")
    events = [story.event("sys_a", "A"), story.event("sys_a", "B")]
    write(db, WriteSet(events=events))
    head = state_of(db, Footprint(), Needs(chains=("sys_a",))).chains["sys_a"]
    assert (head.version, head.head_hash) == (2, events[-1].hash)

"""Every route against no key, bad keys, a key without scopes and a foreign actor (contract §0)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from settlement.core.errors import ActorMismatch, KeyRequired, ScopeMissing
from settlement.core.principal import ANONYMOUS, Principal, PrincipalKind
from settlement.edge.http.auth import (
    ACCESS_OPT,
    ADMIN,
    GO,
    PUBLIC,
    WRITE,
    Access,
    AccessClass,
    acting_as,
    acting_name,
    check_access,
    keyed,
    open_to,
)
from settlement.edge.http.routing import routes_of
from tests.edge.calls import PAGES, Call, calls
from tests.edge.test_transport import problem
from tests.edge.world import unknown_key
from tests.support.rows import count_rows

if TYPE_CHECKING:
    from tests.edge.world import World

IGNORES_KEYS = {"/health", "/ready"}


def access_of(live: World) -> dict[tuple[str, str], Access]:
    return {
        (method, path): handler.opt[ACCESS_OPT]
        for method, path, handler in routes_of(live.app)
        if path not in PAGES
    }


def letters(live: World, *wanted: AccessClass) -> list[Call]:
    known = access_of(live)
    return [call for call in calls(live) if known[call.method, call.route].letter in wanted]


def test_without_a_key_only_keyed_routes_refuse(quiet: World) -> None:
    before = count_rows(quiet.url)
    for call in letters(quiet, AccessClass.KEYED, AccessClass.ADMIN):
        problem(quiet.call(call.method, call.url, call.body), 401, "key_required")
    assert count_rows(quiet.url) == before
    for call in letters(quiet, AccessClass.PUBLIC, AccessClass.OPEN, AccessClass.GO):
        response = quiet.call(call.method, call.url, call.body)
        assert response.status_code not in (401, 403), f"{call.name}: {response.text}"


def bad_keys(live: World) -> dict[str, str]:
    good = live.agents["seller"].key
    revoked = live.key_with(["read", "audit"], "revoked", status="revoked")
    expired = live.key_with(["read"], "expired", expires_at="2020-01-01T00:00:00.000000Z")
    over = live.key_with(
        ["read"], "grace over", status="grace", grace_until="2020-01-01T00:00:00.000000Z"
    )
    return {
        "malformed": "not a key",
        "cut": good[:-1],
        "last digit changed": good[:-1] + ("0" if good[-1] != "0" else "1"),
        "unknown": unknown_key(),
        "sent twice": f"{good}, {good}",
        "revoked": revoked.key,
        "expired": expired.key,
        "grace over": over.key,
    }


def test_a_bad_key_is_401_everywhere_and_never_anonymous(quiet: World) -> None:
    keys = bad_keys(quiet)
    before = count_rows(quiet.url)
    for call in calls(quiet):
        for why, key in keys.items():
            response = quiet.call(call.method, call.url, call.body, headers={"X-API-Key": key})
            if call.route in IGNORES_KEYS:
                assert response.status_code == 200, f"{call.name}, {why}"
            else:
                problem(response, 401, "key_invalid")
    assert count_rows(quiet.url) == before


def test_right_digits_with_another_secret_are_401(quiet: World) -> None:
    from settlement.core.keys import format_key

    forged = format_key(quiet.agents["seller"].key[4:20], bytes(32))
    response = quiet.call("GET", "/protocol/payouts", headers={"X-API-Key": forged})
    problem(response, 401, "key_invalid")


def test_an_empty_key_header_is_no_key(quiet: World) -> None:
    for text in ("", "  "):
        assert quiet.call("GET", "/protocol/info", headers={"X-API-Key": text}).status_code == 200
        response = quiet.call("GET", "/protocol/payouts", headers={"X-API-Key": text})
        problem(response, 401, "key_required")


def test_a_key_without_the_scope_is_403(quiet: World) -> None:
    known = access_of(quiet)
    before = count_rows(quiet.url)
    for call in letters(quiet, AccessClass.KEYED):
        body = problem(
            quiet.call(call.method, call.url, call.body, who="scopeless"), 403, "scope_missing"
        )
        assert body["scope"] == known[call.method, call.route].scope
    assert count_rows(quiet.url) == before


def test_a_key_of_any_agent_changes_nothing_about_public_reads(quiet: World) -> None:
    for call in letters(quiet, AccessClass.PUBLIC):
        if call.method == "GET":
            open_status = quiet.call("GET", call.url).status_code
            assert quiet.call("GET", call.url, who="scopeless").status_code == open_status


def test_a_foreign_actor_is_403_and_writes_nothing(quiet: World) -> None:
    foreign = quiet.agents["stranger"].agent_id
    spoilt = [call for call in calls(quiet) if call.actor is not None]
    assert len(spoilt) >= 6
    before = count_rows(quiet.url)
    for call in spoilt:
        assert call.body is not None
        assert call.actor is not None
        body = {**call.body, call.actor: foreign}
        found = problem(
            quiet.call(call.method, call.url, body, who="seller"), 403, "actor_mismatch"
        )
        assert found["field"] == call.actor
    assert count_rows(quiet.url) == before


def test_what_belongs_to_others_does_not_exist_for_a_stranger(quiet: World) -> None:
    deal, seller = quiet.deals["settled"]["deal_id"], quiet.agents["seller"].agent_id
    paid = quiet.deals["paid"]
    hidden = {
        f"/protocol/deals/{deal}/ledger": "deal_not_found",
        f"/protocol/deals/{deal}/attribution": "deal_not_found",
        f"/protocol/deals/{deal}/replay": "deal_not_found",
        f"/protocol/agents/{seller}/revenue-audit": "agent_not_found",
        f"/protocol/agents/{seller}/balances": "agent_not_found",
        f"/protocol/payouts/{paid['payout_id']}": "payout_not_found",
    }
    for path, code in hidden.items():
        problem(quiet.call("GET", path, who="stranger"), 404, code)
        quiet.ok("GET", path, who="seller")
        quiet.ok("GET", path, who="operator")
    assert quiet.ok("GET", "/protocol/payouts", who="stranger")["payouts"] == []
    assert (
        quiet.ok("GET", f"/protocol/payouts?deal_id={paid['deal_id']}", who="stranger")["payouts"]
        == []
    )


def test_a_settle_that_replays_shows_payouts_to_parties_only(either: World) -> None:
    """Catches a build in which a stranger repeats a settle to learn where its payees are paid."""
    payee = either.register("paid at once")
    body = {"rail": "SIMULATED", "address": "acct_0001", "auto": True}
    either.ok("POST", "/protocol/payout-destinations", body, who=payee)
    settle = {"deal_id": either.settled("paid at once")["deal_id"], "to_agent": payee.agent_id}
    shown = {
        who: either.ok("POST", "/protocol/settle", settle, who=who)["payouts"]
        for who in ("paid at once", "buyer", "operator", "stranger")
    }
    assert shown.pop("stranger") == []
    assert all(len(payouts) == 1 for payouts in shown.values())


def test_a_buyer_is_a_party_of_the_deal_it_approved(quiet: World) -> None:
    deal = quiet.deals["settled"]["deal_id"]
    for page in ("ledger", "attribution", "replay"):
        quiet.ok("GET", f"/protocol/deals/{deal}/{page}", who="buyer")


def test_another_agents_destinations_are_403(quiet: World) -> None:
    path = f"/protocol/payout-destinations/{quiet.agents['owner'].agent_id}"
    problem(quiet.call("GET", path, who="stranger"), 403, "not_owner")
    made = quiet.deals["destination"]["destination_id"]
    for verb in ("pause", "verify"):
        response = quiet.call(
            "POST", f"/protocol/payout-destinations/{made}/{verb}", who="stranger"
        )
        problem(response, 404, "destination_not_found")


def test_in_live_mode_what_is_open_in_sandbox_needs_a_key(live_mode: World) -> None:
    body = {"deal_id": "deal_x", "proof_hash": "x", "proof_type": "creative_preview"}
    path = "/protocol/verify/provider"
    problem(live_mode.call("POST", path, body), 401, "key_required")
    live_mode.ok("POST", path, body, who="seller")
    scopeless = live_mode.key_with(["read"], "reader")
    problem(live_mode.call("POST", path, body, who=scopeless), 403, "scope_missing")


def test_in_live_mode_go_needs_the_scope_or_the_right_quote(live_mode: World) -> None:
    pack = live_mode.proof()
    right = {name: pack[name] for name in ("deal_id", "quote_id", "scope_lock_hash")}
    wrong = {**right, "quote_id": "quote_" + 32 * "0"}
    reader = live_mode.key_with(["read"], "another reader")
    problem(live_mode.call("POST", "/protocol/go", right, who=reader), 403, "scope_missing")
    problem(live_mode.call("POST", "/protocol/go", wrong), 409, "quote_mismatch")
    live_mode.ok("POST", "/protocol/go", right)


def test_in_live_mode_a_settle_without_money_waits_for_it(live_mode: World) -> None:
    pack = live_mode.proof()
    body = {"deal_id": pack["deal_id"]}
    problem(live_mode.call("POST", "/protocol/settle", body, who="seller"), 409, "go_required")


# --- the rules by themselves ---------------------------------------------------------------------

AGENT = Principal(
    kind=PrincipalKind.AGENT, agent_id="agent_a", name="Ada", scopes=frozenset({"go", "read"})
)
OPERATOR = Principal(
    kind=PrincipalKind.OPERATOR, agent_id="agent_o", name="Op", scopes=frozenset({"admin"})
)


@pytest.mark.parametrize("sandbox", [True, False])
@pytest.mark.parametrize("access", [PUBLIC, WRITE])
def test_public_and_write_ask_for_nothing(access: Access, *, sandbox: bool) -> None:
    for caller in (ANONYMOUS, AGENT, OPERATOR):
        check_access(caller, access, sandbox=sandbox)


@pytest.mark.parametrize("sandbox", [True, False])
def test_keyed_asks_for_key_and_scope_in_both_modes(*, sandbox: bool) -> None:
    check_access(AGENT, keyed("read"), sandbox=sandbox)
    check_access(OPERATOR, keyed("read"), sandbox=sandbox)
    with pytest.raises(KeyRequired):
        check_access(ANONYMOUS, keyed("read"), sandbox=sandbox)
    with pytest.raises(ScopeMissing):
        check_access(AGENT, keyed("settle"), sandbox=sandbox)


def test_open_and_go_depend_on_the_mode() -> None:
    check_access(ANONYMOUS, open_to("verify"), sandbox=True)
    check_access(AGENT, open_to("verify"), sandbox=True)
    with pytest.raises(KeyRequired):
        check_access(ANONYMOUS, open_to("verify"), sandbox=False)
    with pytest.raises(ScopeMissing):
        check_access(AGENT, open_to("verify"), sandbox=False)
    check_access(ANONYMOUS, GO, sandbox=False)
    check_access(AGENT, GO, sandbox=False)


def test_admin_is_for_operators() -> None:
    check_access(OPERATOR, ADMIN, sandbox=True)
    with pytest.raises(KeyRequired):
        check_access(ANONYMOUS, ADMIN, sandbox=True)
    with pytest.raises(ScopeMissing):
        check_access(AGENT, ADMIN, sandbox=True)


def test_with_a_key_the_caller_is_the_keys_agent() -> None:
    assert acting_as(AGENT, None, "actor_id") == "agent_a"
    assert acting_as(AGENT, "agent_a", "actor_id") == "agent_a"
    assert acting_as(ANONYMOUS, "anyone", "actor_id") == "anyone"
    assert acting_as(ANONYMOUS, None, "actor_id") is None
    assert acting_as(OPERATOR, "agent_b", "actor_id") == "agent_b"
    with pytest.raises(ActorMismatch):
        acting_as(AGENT, "agent_b", "actor_id")
    with pytest.raises(ActorMismatch):
        acting_as(AGENT, "Ada", "actor_id")
    assert acting_name(AGENT, "Ada", "agent_username") == "agent_a"

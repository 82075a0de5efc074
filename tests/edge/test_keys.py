"""API keys over HTTP: their life, races of one process, and what an answer says and does not."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.edge.test_transport import problem
from tests.edge.world import Agent, unknown_key
from tests.support.rows import read_rows

if TYPE_CHECKING:
    import httpx

    from tests.edge.world import World

AT_ONCE = 12


def make(live: World, holder: Agent, **wishes: Any) -> tuple[str, Agent]:
    """A further key of the holder's agent: its id, and the agent with that key."""
    made = live.ok("POST", "/protocol/keys", wishes, who=holder)
    return made["key_id"], Agent(made["agent_id"], made["api_key"], holder.name)


def own(live: World, holder: Agent) -> str:
    """The id of the key that is shown."""
    key_id: str = live.ok("POST", "/protocol/keys/validate", {}, who=holder)["key_id"]
    return key_id


def test_a_keys_life(either: World) -> None:
    """Catches a step that is not there, a text shown twice, a revoked key that still opens."""
    first = either.register("life")
    key_id, second = make(either, first, name="second")
    rotated = either.ok("POST", f"/protocol/keys/{key_id}/rotate", {}, who=first)
    assert rotated["rotated_from"] == key_id
    third = Agent(first.agent_id, rotated["api_key"], "life")

    # The old key goes on, without the scope that makes keys.
    either.ok("GET", "/protocol/payouts", who=second)
    problem(either.call("GET", "/protocol/keys", who=second), 403, "scope_missing")
    listed = either.ok("GET", "/protocol/keys", who=third)["keys"]
    assert [one["status"] for one in listed] == ["active", "grace", "active"]
    assert listed[1]["grace_until"] == rotated["grace_until"]
    assert not any("api_key" in one or "digest" in one for one in listed)

    body = {"reason": "left behind"}
    revoked = either.ok("POST", f"/protocol/keys/{key_id}/revoke", body, who=first)
    assert revoked["status"] == "revoked"
    # This process did it, so here it counts with the answer.
    problem(either.call("GET", "/protocol/payouts", who=second), 401, "key_invalid")
    assert either.ok("POST", f"/protocol/keys/{key_id}/revoke", {}, who=first) == revoked
    problem(
        either.call("POST", f"/protocol/keys/{key_id}/rotate", {}, who=first), 409, "key_not_active"
    )
    either.ok("GET", "/protocol/payouts", who=third)


def test_an_answer_with_a_key_is_never_remembered(either: World) -> None:
    """Catches a claim on a key operation: its stored outcome would hold the plaintext."""
    holder = either.register("forgetful")
    claims = "SELECT count(*) FROM claim"
    before = read_rows(either.url, claims)
    same = {"Idempotency-Key": "the-same-twice", **holder.headers}
    answers = [either.ok("POST", "/protocol/keys", {}, headers=same) for _ in range(2)]
    assert len({one["api_key"] for one in answers}) == 2
    assert read_rows(either.url, claims) == before


def test_many_who_rotate_one_key_with_itself_make_one_successor(either: World) -> None:
    """Catches two successors, and a 403 or 500 for those who came second."""
    holder = either.register("crowd")
    path = f"/protocol/keys/{own(either, holder)}/rotate"
    start, answers = threading.Barrier(AT_ONCE), list[Any]()

    def rotate() -> None:
        start.wait()
        answers.append(either.call("POST", path, {}, who=holder))

    threads = [threading.Thread(target=rotate) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won: list[httpx.Response] = [one for one in answers if one.status_code == 200]
    assert len(won) == 1
    for one in answers:
        if one is not won[0]:
            assert problem(one, 409, "already_rotated")["retry"] == "never"
    # And whoever comes late, with the old key, which cannot do anything else about keys.
    problem(either.call("POST", path, {}, who=holder), 409, "already_rotated")
    problem(either.call("POST", "/protocol/keys", {}, who=holder), 403, "scope_missing")


def test_scopes_are_given_from_what_one_has(either: World) -> None:
    holder = either.register("giver")
    _, narrow = make(either, holder, scopes=["keys", "read"])
    told = problem(
        either.call("POST", "/protocol/keys", {"scopes": ["go"]}, who=narrow), 403, "scope_missing"
    )
    assert told["scope"] == "go"
    wish = {"scopes": ["admin"]}
    for who in (holder, either.agents["operator"]):
        problem(either.call("POST", "/protocol/keys", wish, who=who), 403, "admin_not_grantable")
    for wrong in ([], ["all"], ["read", 5]):
        told = problem(either.call("POST", "/protocol/keys", {"scopes": wrong}, who=holder), 422)
        assert told["field"].startswith("scopes")


@pytest.mark.parametrize("grace", [-1, 604_801, 1.5, "60", True])
def test_a_grace_is_whole_seconds_up_to_a_week(quiet: World, grace: object) -> None:
    path = f"/protocol/keys/{quiet.deals['key']['key_id']}/rotate"
    told = problem(quiet.call("POST", path, {"grace_seconds": grace}, who="keeper"), 422)
    assert told["field"] == "grace_seconds"


def test_a_strangers_key_does_not_exist(quiet: World) -> None:
    key_id = quiet.deals["key"]["key_id"]
    for verb in ("rotate", "revoke"):
        for name in (key_id, "key_" + "0" * 32, "key_x", unknown_key(), "%00"):
            path = f"/protocol/keys/{name}/{verb}"
            problem(quiet.call("POST", path, {}, who="stranger"), 404, "key_not_found")


def test_validate_looks_at_the_body_then_the_header_and_tells_nothing_of_bad_keys(
    either: World,
) -> None:
    """Catches a bad key in the body answered 401, or told apart from an unknown one."""
    path, holder = "/protocol/keys/validate", either.register("asker")
    problem(either.call("POST", path, {}), 401, "key_required")
    problem(either.call("POST", path, {}, headers={"X-API-Key": unknown_key()}), 401, "key_invalid")
    mine = either.ok("POST", path, {}, who=holder)
    assert (mine["valid"], mine["agent_id"], mine["status"]) == (True, holder.agent_id, "active")
    key_id, other = make(either, holder, scopes=["read"])
    body = {"api_key": other.key, "scope": "payout"}
    told = either.ok("POST", path, body, who=holder)
    assert (told["valid"], told["reason"], told["key_id"]) == (False, "scope_missing", key_id)
    either.ok("POST", f"/protocol/keys/{key_id}/revoke", {}, who=holder)
    for bad in (other.key, unknown_key(), "a2a_", "x" * 5_000):
        assert either.ok("POST", path, {"api_key": bad}) == {"ok": True, "valid": False}


def test_a_key_in_the_wrong_place_is_not_repeated(quiet: World) -> None:
    """Catches an error answer that a log of errors turns into a way in."""
    key = quiet.agents["keeper"].key
    answers = [
        quiet.call("POST", f"/protocol/keys/{key}/revoke", {}, who="keeper"),
        quiet.call("GET", f"/protocol/reputation/{key}"),
        quiet.call("GET", f"/nowhere/{key}"),
        quiet.call("GET", f"/proof/{key}"),
        quiet.call("POST", "/protocol/stamp", {"agent_id": key}, who="keeper"),
        quiet.call("POST", "/protocol/settle", {"deal_id": key}, who="keeper"),
    ]
    for one in answers:
        assert one.status_code >= 400
        assert key[21:60] not in one.text, one.text


def test_a_key_sent_as_idempotency_key_is_refused(quiet: World) -> None:
    """Catches a plaintext key that is kept for good as the name of an outcome."""
    holder = quiet.agents["seller"]
    sent = {**holder.headers, "Idempotency-Key": holder.key}
    told = problem(quiet.call("POST", "/protocol/settle", {"deal_id": "deal_x"}, headers=sent), 422)
    assert told["field"] == "Idempotency-Key"
    # A name of the caller's own that begins alike is a name.
    sent["Idempotency-Key"] = "a2a_job_2026"
    body = {"deal_id": "deal_x"}
    problem(quiet.call("POST", "/protocol/settle", body, headers=sent), 404, "deal_not_found")

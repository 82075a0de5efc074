"""The bad-input matrix: every call, spoilt in one way, is refused as documented and writes nothing.

Rows of all tables are counted past the store, before and after (contract §1.1, §1.2, spec §1.3).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.edge.calls import Call, calls
from tests.edge.test_transport import problem
from tests.support.rows import count_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.edge.world import World

DEEP = b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}"
NOT_JSON: dict[str, tuple[bytes, str]] = {
    "cut": (b'{"deal_id": ', "json_malformed"),
    "a list": (b"[]", "json_malformed"),
    "a string": (b'"x"', "json_malformed"),
    "NaN": (b'{"amount": NaN}', "json_malformed"),
    "Infinity": (b'{"amount": Infinity}', "json_malformed"),
    "a duplicate": (b'{"deal_id": "a", "deal_id": "a"}', "json_malformed"),
    "a lone surrogate": (b'{"deal_id": "\\ud800"}', "json_malformed"),
    "a NUL": (b'{"deal_id": "\\u0000"}', "json_malformed"),
    "not UTF-8": (b'{"deal_id": "\xff"}', "json_malformed"),
    "deep": (DEEP, "body_too_deep"),
    "a megabyte": (b'{"a": "' + b"x" * 2**20 + b'"}', "body_too_large"),
}
AMOUNTS: dict[str, tuple[str, str]] = {
    "negative": ("-1", "amount_malformed"),
    "an exponent": ("1e2", "amount_malformed"),
    "above 2^53": ("9007199254740993", "amount_malformed"),
    "a large fraction": ("90071992547409.92", "amount_malformed"),
    "too fine": ("10.001", "amount_over_scale"),
    "seventeen digits": ("0.10000000000000001", "amount_over_scale"),
    "text": ('"ten"', "amount_malformed"),
    "blank text": ('" 10"', "amount_malformed"),
    "a boolean": ("true", "amount_malformed"),
    "a list": ("[10]", "amount_malformed"),
    "an object": ('{"value": 10}', "amount_malformed"),
}
WRONG_TYPES: list[object] = [5, 5.5, True, ["x"], {"x": 1}, "x"]


@pytest.fixture(autouse=True)
def _nothing_is_written(quiet: World) -> Iterator[None]:
    before = count_rows(quiet.url)
    yield
    assert count_rows(quiet.url) == before


def posts(live: World) -> list[Call]:
    return [call for call in calls(live) if call.method == "POST"]


def spoilt(call: Call, member: str, text: str) -> str:
    """The call's body with one member replaced by JSON text."""
    body = {name: value for name, value in (call.body or {}).items() if name != member}
    rest = json.dumps(body)[1:-1]
    return f'{{"{member}": {text}{", " if rest else ""}{rest}}}'


@pytest.mark.parametrize("why", NOT_JSON)
def test_a_body_that_is_not_acceptable_json(quiet: World, why: str) -> None:
    content, code = NOT_JSON[why]
    for call in posts(quiet):
        response = quiet.call("POST", call.url, who=call.who, headers=call.headers, content=content)
        problem(response, 400, code)


@pytest.mark.parametrize("why", AMOUNTS)
def test_an_amount_that_is_none(quiet: World, why: str) -> None:
    text, code = AMOUNTS[why]
    checked = 0
    for call in posts(quiet):
        for member in call.amounts:
            body = spoilt(call, member, text)
            found = problem(
                quiet.call("POST", call.url, who=call.who, headers=call.headers, content=body),
                422,
                code,
            )
            assert found["field"] == member
            checked += 1
    assert checked >= 6


def test_an_amount_of_zero_where_one_is_named(quiet: World) -> None:
    for call in posts(quiet):
        if call.route in ("/protocol/go", "/protocol/proof-pack"):
            body = spoilt(call, call.amounts[0], "0.00")
            response = quiet.call(
                "POST", call.url, who=call.who, headers=call.headers, content=body
            )
            problem(response, 422, "amount_not_positive")


def test_a_required_member_that_is_missing_null_or_empty(quiet: World) -> None:
    for call in posts(quiet):
        for member in call.required:
            if member == call.actor and call.who is not None:
                continue  # absent means the key's own agent
            for text in (None, "null", '""'):
                body = dict(call.body or {})
                body.pop(member, None)
                content = json.dumps(body) if text is None else spoilt(call, member, text)
                response = quiet.call(
                    "POST", call.url, who=call.who, headers=call.headers, content=content
                )
                found = problem(response, 422, "member_missing")
                assert found["field"] == member, call.name


def test_a_member_of_another_type(quiet: World) -> None:
    for call in posts(quiet):
        for member, value in (call.body or {}).items():
            for wrong in WRONG_TYPES:
                if type(wrong) is type(value) or member in call.amounts:
                    continue
                body = {**(call.body or {}), member: wrong}
                response = quiet.call("POST", call.url, body, who=call.who, headers=call.headers)
                found = problem(response, 422)
                assert found["error"] in ("field_invalid", "malformed_id", "member_missing"), found
                assert found["field"].split("[")[0].split(".")[0] == member


BAD_IDS = ["with blank", "a|b", "x" * 200, "né", "a/b", "deal_" + "x" * 65, "<script>"]


@pytest.mark.parametrize("text", BAD_IDS)
def test_an_id_that_cannot_be_one(quiet: World, text: str) -> None:
    for call in posts(quiet):
        for member in ("deal_id", "quote_id", "scope_lock_hash", "agent_id", "agent_username"):
            if member not in (call.body or {}):
                continue
            if len(text) < 128 and text.startswith("deal_") and member != "deal_id":
                continue  # a name of allowed letters
            if call.route == "/protocol/verify/provider" and text.startswith("deal_x"):
                continue  # any name of a deal is judged there
            response = quiet.call(
                "POST",
                call.url,
                {**(call.body or {}), member: text},
                who=call.who,
                headers=call.headers,
            )
            assert response.status_code in (403, 422), f"{call.name} {member}: {response.text}"
            problem(response)


UNKNOWN_IN_PATH = {
    "/proof/{deal_id}": "deal_not_found",
    "/proof/{deal_id}/verify": "deal_not_found",
    "/proof/{deal_id}/badge": "deal_not_found",
    "/protocol/proofs/{deal_id}/export": "deal_not_found",
    "/protocol/deals/{deal_id}/timeline": "deal_not_found",
    "/protocol/deals/{deal_id}/splits": "deal_not_found",
    "/protocol/deals/{deal_id}/attribution": "deal_not_found",
    "/protocol/deals/{deal_id}/ledger": "deal_not_found",
    "/protocol/deals/{deal_id}/replay": "deal_not_found",
    "/protocol/merkle/deal/{deal_id}/proof": "deal_not_found",
    "/pay/{deal_id}": "deal_not_found",
    "/protocol/intents/{intent_id}": "intent_not_found",
    "/protocol/intents/{intent_id}/reveal": "intent_not_found",
    "/protocol/reputation/{agent_id}": "agent_not_found",
    "/protocol/fee-tiers/{agent_id}": "agent_not_found",
    "/protocol/agents/{agent_id}/balances": "agent_not_found",
    "/protocol/agents/{agent_id}/revenue-audit": "agent_not_found",
    "/protocol/payouts/{payout_id}": "payout_not_found",
    "/protocol/idempotency/{key}": "claim_not_found",
    "/protocol/claims/{key}": "claim_not_found",
    "/protocol/merkle/sth/{size}": "tree_size_unknown",
    "/protocol/merkle/leaf/{index}": "tree_size_unknown",
}
#: What may stand in a path and is nobody's: unknown, malformed, hostile.
STRANGE = [
    "deal_unknown",
    "agent_01a20c2701347ba880000b06071fd8b6",
    "pay_01a20c2701347ba880000b06071fd8b6",
    "idem_000000000000000000000000",
    "99999999",
    "999999999999999999999999",
    "-1",
    "%00",
    "%ED%A0%80",
    "a%20b",
    "%F0%9F%98%80",
    "x" * 300,
    "..",
    "'%20OR%201=1--",
]


@pytest.mark.parametrize("route", UNKNOWN_IN_PATH)
def test_what_nobody_has_is_404(quiet: World, route: str) -> None:
    start, _, rest = route.partition("{")
    for text in STRANGE:
        if text == "..":
            continue
        path = start + text + rest.partition("}")[2]
        problem(quiet.call("GET", path, who="seller"), 404, UNKNOWN_IN_PATH[route])


def test_a_proof_that_is_not_there_never_verifies(quiet: World) -> None:
    body = problem(quiet.call("GET", "/proof/deal_none/verify"), 404, "deal_not_found")
    assert body["verified"] is False
    assert body["errors"]


def test_an_unknown_deal_in_a_body_is_404(quiet: World) -> None:
    for call in posts(quiet):
        if call.route not in (
            "/protocol/go",
            "/protocol/settle",
            "/protocol/settle/multi",
            "/protocol/payouts",
        ):
            continue
        body = {**(call.body or {}), "deal_id": "deal_unknown"}
        problem(
            quiet.call("POST", call.url, body, who=call.who, headers=call.headers),
            404,
            "deal_not_found",
        )


def test_a_deal_nobody_made_is_judged_and_not_recorded(quiet: World) -> None:
    body = {
        "deal_id": "deal_unknown",
        "proof_hash": "",
        "proof_type": "creative_preview",
        "proof_data": {"preview_url": "https://example.org/x"},
    }
    found = quiet.ok("POST", "/protocol/verify/provider", body)
    assert found["recorded"] is False
    assert found["receipt_id"] is None
    assert found["verification"]["verified"] is True


def test_providers_and_proof_types_nobody_knows(quiet: World) -> None:
    body: dict[str, Any] = {"deal_id": "deal_x", "proof_type": "creative_preview"}
    path = "/protocol/verify/provider"
    problem(quiet.call("POST", path, {**body, "provider": "nobody"}), 400, "provider_unknown")
    problem(quiet.call("POST", path, {**body, "proof_type": "dance"}), 422, "no_provider")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/protocol/fee-estimate", 422, "member_missing"),
        ("/protocol/fee-estimate?amount=", 422, "member_missing"),
        ("/protocol/fee-estimate?amount=1e2", 422, "amount_malformed"),
        ("/protocol/fee-estimate?amount=-1", 422, "amount_malformed"),
        ("/protocol/fee-estimate?amount=0", 422, "amount_not_positive"),
        ("/protocol/fee-estimate?amount=1.001", 422, "amount_over_scale"),
        ("/protocol/fee-estimate?amount=0.29", 409, "net_below_minimum"),
        ("/protocol/fee-estimate?amount=NaN", 422, "amount_malformed"),
        ("/protocol/fee-estimate?amount=100&agent_id=nobody", 404, "agent_not_found"),
        ("/protocol/payouts?limit=0", 422, "field_invalid"),
        ("/protocol/payouts?limit=x", 422, "field_invalid"),
        ("/protocol/payouts?limit=100000", 422, "field_invalid"),
        ("/protocol/payouts?state=dancing", 422, "field_invalid"),
        ("/protocol/payouts?cursor=yesterday", 422, "cursor_malformed"),
        ("/protocol/merkle/inclusion", 422, "member_missing"),
        ("/protocol/merkle/inclusion?leaf_index=-1", 422, "field_invalid"),
        ("/protocol/merkle/inclusion?leaf_index=x", 422, "field_invalid"),
        ("/protocol/merkle/inclusion?leaf_index=99999999999999999999", 422, "field_invalid"),
        ("/protocol/merkle/inclusion?leaf_index=99999999", 404, "tree_size_unknown"),
        ("/protocol/merkle/consistency", 422, "member_missing"),
        ("/protocol/merkle/entries?start=5", 422, "member_missing"),
        ("/protocol/merkle/entries?start=5&end=1", 404, "tree_size_unknown"),
        ("/protocol/deals/{deal_id}/timeline?cursor=x", 422, "cursor_malformed"),
        ("/protocol/agents/{agent_id}/revenue-audit?from=x", 422, "field_invalid"),
        ("/protocol/agents/{agent_id}/revenue-audit?to=2026-13-01", 422, "field_invalid"),
        ("/protocol/agents/{agent_id}/revenue-audit?cursor=a%20b", 422, "cursor_malformed"),
    ],
)
def test_queries_that_cannot_be_answered(quiet: World, path: str, status: int, code: str) -> None:
    path = path.replace("{deal_id}", quiet.deals["settled"]["deal_id"])
    path = path.replace("{agent_id}", quiet.agents["seller"].agent_id)
    problem(quiet.call("GET", path, who="seller"), status, code)


def test_another_agents_deal_in_a_body(quiet: World) -> None:
    pack = quiet.deals["proof"]
    other = {"deal_id": quiet.deals["approved"]["deal_id"]}
    mine = {name: pack[name] for name in ("deal_id", "quote_id", "scope_lock_hash")}
    cases: list[tuple[str, dict[str, Any], str, int, str]] = [
        ("/protocol/settle", other, "stranger", 403, "party_mismatch"),
        ("/protocol/go", mine, "seller", 403, "self_approval"),
        (
            "/protocol/proof-pack",
            {"agent_username": quiet.agents["stranger"].agent_id, **other},
            "stranger",
            403,
            "party_mismatch",
        ),
    ]
    for path, body, who, status, code in cases:
        problem(quiet.call("POST", path, body, who=who), status, code)


def test_a_payout_of_another_deal_is_refused(quiet: World) -> None:
    body = {"deal_id": quiet.deals["settled"]["deal_id"]}
    response = quiet.call("POST", "/protocol/payouts", body, who="stranger")
    assert response.status_code in (403, 404), response.text
    problem(response)


@pytest.mark.parametrize("text", ["x" * 256, "with blank", "é", "\x01"])
def test_an_idempotency_key_that_cannot_be_one(quiet: World, text: str) -> None:
    headers = {"Idempotency-Key": text}
    body = {"deal_id": quiet.deals["approved"]["deal_id"]}
    response = quiet.client.request(
        "POST",
        "/protocol/settle",
        content=json.dumps(body),
        headers=[
            (b"Idempotency-Key", text.encode("utf-8")),
            (b"X-API-Key", quiet.agents["seller"].key.encode()),
        ],
    )
    del headers
    assert problem(response, 422, "malformed_id")["field"] == "Idempotency-Key"


def test_a_derived_key_of_another_call_is_refused(quiet: World) -> None:
    body = {"deal_id": quiet.deals["approved"]["deal_id"]}
    headers = {"Idempotency-Key": "idem_" + 24 * "0"}
    response = quiet.call("POST", "/protocol/settle", body, who="seller", headers=headers)
    problem(response, 422, "derived_key_reserved")


def test_shares_that_do_not_add_up(quiet: World) -> None:
    deal, seller = quiet.deals["approved"]["deal_id"], quiet.agents["seller"].agent_id
    buyer = quiet.agents["buyer"].agent_id

    def multi(*shares: object) -> Any:
        splits = [
            {"agent_id": agent, "role": "payee", "share": share}
            for agent, share in zip((seller, buyer), shares, strict=False)
        ]
        return quiet.call(
            "POST", "/protocol/settle/multi", {"deal_id": deal, "splits": splits}, who="seller"
        )

    problem(multi(0.5, 0.4), 422, "shares_not_one")
    problem(multi(1, 1), 422, "shares_not_one")
    problem(multi(), 422, "field_invalid")
    problem(multi("half", "half"), 422, "field_invalid")
    problem(multi(-1, 2), 422, "field_invalid")
    problem(multi([], 1), 422)

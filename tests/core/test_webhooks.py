"""Names, bytes, signatures and schedule of webhooks; the published vectors literally."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.core import webhooks
from settlement.core.errors import InvalidField
from settlement.core.event_types import EVENT_TYPES
from settlement.core.webhooks import AfterTry, Message, Next

SECRET, BODY, NOW = "topsecret", b'{"a":1}', 1_767_225_600
NOW_US = NOW * 1_000_000 + 999_999
HEX = "bf1e6501b7fa928ec2391fea9dd90af3c9ad1b7b1ef6ff319c25940cec746bf8"
B64 = "vrU46b1p5nkTDMqIVRRXaA/JI5KXoNe/r9X8ciiH4B0="
MESSAGE = Message(
    event_id="evt_1",
    name="settled",
    deal_id="deal_1",
    created_at="2026-01-01T00:00:00.000000Z",
    log_index=7,
    data={"net_minor": 9692, "note": "café"},
)


DOCUMENTED = [
    *("proof.created", "proof.verified", "proof.chain_linked", "go.approved", "go.auto_approved"),
    *("settled", "settled.multiparty", "payout.initiated", "payout.confirmed", "payout.failed"),
    *("mandate.created", "mandate.revoked", "dispute.opened", "agent.registered"),
    *("agent.suspended", "outcome.recorded", "graph.stage_settled"),
]
OURS = ["accepted", "rejected", "refunded", "intent.awarded", "webhook.test", "webhook.disabled"]


def standard(**changes: str) -> dict[str, str]:
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(NOW),
        "webhook-signature": f"v1,{B64}",
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }


def stripe(at: int = NOW, secret: str = "whsec_stripe", body: bytes = BODY) -> str:
    signed = f"{at}.".encode() + body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


# --- names ---------------------------------------------------------------------------------------


def test_every_type_of_event_that_is_sent_has_its_documented_name() -> None:
    assert webhooks.event_names("PROOF_READY", {}) == ("proof.created",)
    assert webhooks.event_names("AUTO_GO_APPROVED", {}) == ("go.auto_approved",)
    assert webhooks.event_names("PAYMENT_AUTHORIZED", {}) == ()
    silent = {name for name in EVENT_TYPES if not webhooks.event_names(name, {})}
    assert silent == {
        "ACCEPTANCE_PENDING",
        "PAYMENT_AUTHORIZED",
        "OUTCOME_RECONCILED",
        "DISPUTE_RESOLVED",
        "REFUND_INITIATED",
        "REFUND_FAILED",
        "CHARGED_BACK",
        "AUDITED",
        "TOPUP_REQUESTED",
        "TOPPED_UP",
        "RECEIVABLE_RECOVERED",
        "RECEIVABLE_WRITTEN_OFF",
        "DEAL_CANCELLED",
        "HOLD_EXPIRED",
        "INTENT_CREATED",
        "BID_RECEIVED",
        "INTENT_CLOSED",
        "BIDS_REVEALED",
        "DELIVERIES_RELEASED",
        "GAP_ACCEPTED",
        "RECONCILED",
        "RECOVERED",
        "SWITCH_PAUSED",
        "SWITCH_RESUMED",
        "KEY_CREATED",
        "KEY_ROTATED",
        "KEY_REVOKED",
        "AGENT_RESUMED",
        "VERIFIER_APPROVED",
        "VERIFIER_WITHDRAWN",
    }


def test_the_seventeen_documented_names_and_ours_may_be_asked_for() -> None:
    assert len(DOCUMENTED) == 17
    assert {*DOCUMENTED, *OURS} == webhooks.NAMES
    assert webhooks.find_unknown_name(["*", *DOCUMENTED, *OURS]) is None
    assert webhooks.find_unknown_name(["settled", "settle", "x"]) == "settle"


def test_a_settlement_of_several_payees_reaches_whoever_asked_for_settlements() -> None:
    """Broken build: it has one name only, so hooks for `settled` miss it."""
    seller: dict[str, Any] = {"agent_id": "agent_a", "net_minor": 1}
    one: dict[str, Any] = {"payees": [seller]}
    two: dict[str, Any] = {"payees": [seller, {**seller, "agent_id": "agent_b"}]}
    name = webhooks.find_delivered_name
    for wanted, single, several in (
        (["*"], "settled", "settled.multiparty"),
        (["settled"], "settled", "settled"),
        (["settled.multiparty"], None, "settled.multiparty"),
        (["settled", "settled.multiparty"], "settled", "settled.multiparty"),
        (["go.approved"], None, None),
        ([], None, None),
    ):
        assert name(wanted, "SETTLED", one) == single
        assert name(wanted, "SETTLED", two) == several
    assert name(["*"], "PAYMENT_AUTHORIZED", {}) is None


# --- body ----------------------------------------------------------------------------------------


def test_the_body_is_these_bytes() -> None:
    assert webhooks.body_bytes(MESSAGE) == (
        b'{"created_at":"2026-01-01T00:00:00.000000Z","data":{"net_minor":9692,'
        b'"note":"caf\\u00e9"},"deal_id":"deal_1","id":"evt_1","log_index":7,"type":"settled"}'
    )


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def with_data(data: dict[str, Any]) -> Message:
    return Message(
        event_id="evt_1", name="x", deal_id=None, created_at="", log_index=None, data=data
    )


@given(data=st.dictionaries(TEXTS, st.none() | st.integers() | TEXTS | st.booleans()))
def test_the_body_does_not_depend_on_the_order_of_members(data: dict[str, Any]) -> None:
    """Broken build: members are written as they come, so a retry may differ from the first try."""
    body = webhooks.body_bytes(with_data(data))
    assert body == webhooks.body_bytes(with_data(dict(reversed(data.items()))))
    assert json.loads(body)["data"] == data


# --- signatures ----------------------------------------------------------------------------------


def test_the_published_vectors() -> None:
    assert webhooks.body_signature(SECRET, BODY) == f"sha256={HEX}"
    assert webhooks.standard_signature(SECRET, "msg_1", NOW, BODY) == f"v1,{B64}"
    assert webhooks.verify_standard(standard(), BODY, [SECRET], NOW_US)


def test_the_vector_of_standard_webhooks() -> None:
    """The example of the Standard Webhooks reference libraries."""
    body = b'{"test": 2432232314}'
    signature = webhooks.standard_signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_is_base64_after_its_prefix_else_text() -> None:
    key = bytes(range(32))
    assert webhooks.secret_bytes(webhooks.secret_text(key)) == key
    assert webhooks.secret_bytes("café") == "café".encode()
    for bad in ("whsec_%%%", "whsec_a", "whsec_", "", "\ud800"):
        with pytest.raises(InvalidField):
            webhooks.secret_bytes(bad)


def test_one_try_has_all_headers_and_in_rotation_two_signatures() -> None:
    """Broken build: only the new secret signs, so receivers that lag refuse everything."""
    old = webhooks.secret_text(b"old")
    headers = webhooks.delivery_headers(MESSAGE, BODY, [SECRET, old], NOW_US)
    assert headers["X-AiGentsy-Event"] == "settled"
    assert headers["X-AiGentsy-Signature"] == f"sha256={HEX}"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("evt_1", str(NOW))
    assert len(headers["webhook-signature"].split(" ")) == 2
    lower = {name.lower(): value for name, value in headers.items()}
    for receiver in ([SECRET], [old], ["other", old]):
        assert webhooks.verify_standard(lower, BODY, receiver, NOW_US)
    assert not webhooks.verify_standard(lower, BODY, ["other"], NOW_US)
    assert not webhooks.verify_standard(lower, BODY + b" ", [SECRET, old], NOW_US)


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook_id": "msg_2"},
        {"webhook_id": ""},
        {"webhook_timestamp": str(NOW + 1)},
        {"webhook_timestamp": f"{NOW}.0"},
        {"webhook_timestamp": f"0{NOW}"},
        {"webhook_timestamp": f" {NOW}"},
        {"webhook_timestamp": "١٧٦٧٢٢٥٦٠٠"},
        {"webhook_timestamp": "-1"},
        {"webhook_timestamp": ""},
        {"webhook_timestamp": "9" * 5000},
        {"webhook_signature": ""},
        {"webhook_signature": B64},
        {"webhook_signature": f"v2,{B64}"},
        {"webhook_signature": f"v1a,{B64}"},
        {"webhook_signature": f"v1,{B64[:-1]}"},
        {"webhook_signature": "v1,"},
        {"webhook_signature": "v1,\ud800é"},
        {"webhook_signature": f"v1,{HEX}"},
    ],
)
def test_a_standard_message_changed_in_any_part_is_refused(changes: dict[str, str]) -> None:
    """Broken build: id or timestamp is not signed; the version is not looked at."""
    assert not webhooks.verify_standard(standard(**changes), BODY, [SECRET], NOW_US)


def test_a_message_is_good_for_five_minutes_both_ways() -> None:
    """Broken build: no tolerance, so a message caught once can be sent for ever."""
    for off in (-300, 0, 300):
        now_us = (NOW + off) * 1_000_000
        assert webhooks.verify_standard(standard(), BODY, [SECRET], now_us)
        assert webhooks.verify_stripe(f"t={NOW},v1={stripe()}", BODY, ["whsec_stripe"], now_us)
    for off in (-301, 301, 86_400):
        now_us = (NOW + off) * 1_000_000
        assert not webhooks.verify_standard(standard(), BODY, [SECRET], now_us)
        assert not webhooks.verify_stripe(f"t={NOW},v1={stripe()}", BODY, ["whsec_stripe"], now_us)


def test_stripe_signs_with_the_characters_of_its_secret() -> None:
    """Broken build: the part after whsec_ is decoded, as Standard Webhooks would have it."""
    good, secret = stripe(), "whsec_stripe"
    old = stripe(secret="whsec_old")
    for header in (
        f"t={NOW},v1={good}",
        f"t={NOW}, v1={good}",
        f"t={NOW},v1={'0' * 64},v1={good},v0=abc",
        f"v1={good},t={NOW}",
    ):
        assert webhooks.verify_stripe(header, BODY, [secret], NOW_US)
    assert webhooks.verify_stripe(f"t={NOW},v1={old}", BODY, [secret, "whsec_old"], NOW_US)
    assert not webhooks.verify_stripe(f"t={NOW},v1={old}", BODY, [secret], NOW_US)


@pytest.mark.parametrize(
    "header",
    [
        "",
        ",",
        f"t={NOW}",
        f"v1={stripe()}",
        f"t={NOW},v0={stripe()}",
        f"t={NOW},v1={stripe().upper()}",
        f"t={NOW},v1={stripe()}0",
        f"t={NOW},v1=é",
        f"t={NOW + 1},v1={stripe()}",
        f"t={NOW + 1},t={NOW},v1={stripe()}",
        f"t={NOW},t={NOW},v1={stripe()}",
        f"t=x{NOW},v1={stripe()}",
    ],
)
def test_a_stripe_header_of_another_shape_is_refused(header: str) -> None:
    """Broken build: the last t wins; any scheme's signature counts."""
    assert not webhooks.verify_stripe(header, BODY, ["whsec_stripe"], NOW_US)
    assert not webhooks.verify_stripe(
        f"t={NOW},v1={stripe()}", BODY + b"x", ["whsec_stripe"], NOW_US
    )


@given(flip=st.integers(1, 255), at=st.integers(0, len(BODY) - 1))
def test_no_byte_of_the_body_can_be_changed(flip: int, at: int) -> None:
    changed = bytearray(BODY)
    changed[at] ^= flip
    assert not webhooks.verify_standard(standard(), bytes(changed), [SECRET], NOW_US)


def test_no_secret_verifies_nothing() -> None:
    """Broken build: without a secret everything is let in."""
    empty = base64.b64encode(hmac.new(b"", b"", hashlib.sha256).digest()).decode()
    assert not webhooks.verify_standard(standard(webhook_signature=f"v1,{empty}"), BODY, [], NOW_US)
    assert not webhooks.verify_stripe(f"t={NOW},v1={stripe()}", BODY, [], NOW_US)


def test_the_same_message_of_a_rail_has_the_same_event_id() -> None:
    domain = b"settlement/webhook-event/v1\x00"
    framed = b"\x00\x00\x00\x06stripe" + b"\x00\x00\x00\x05evt_1"
    wanted = "evt_" + hashlib.sha256(domain + framed).hexdigest()[:32]
    assert webhooks.inbound_event_id("stripe", "evt_1") == wanted
    assert webhooks.inbound_event_id("stripee", "vt_1") != wanted


# --- tries ---------------------------------------------------------------------------------------


def test_the_schedule_is_ten_tries_over_three_days() -> None:
    assert webhooks.TRY_DELAYS == (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    assert [webhooks.try_delay_us(1, draw) for draw in (0, webhooks.DRAW_MAX)] == [4500000, 5500000]


@given(tries=st.integers(1, 9), draw=st.integers(0, webhooks.DRAW_MAX))
def test_every_delay_is_within_a_tenth_of_the_schedule(tries: int, draw: int) -> None:
    base = webhooks.TRY_DELAYS[tries] * 1_000_000
    assert 9 * base <= 10 * webhooks.try_delay_us(tries, draw) <= 11 * base


def test_what_follows_a_try() -> None:
    """Broken build: a redirect counts as success; 410 is tried again; the last failure is too."""
    retry = Next(then=AfterTry.RETRY, delay_us=270_000_000)
    for status in (None, 100, 199, 301, 302, 307, 400, 404, 429, 500, 503):
        assert webhooks.after_try(2, status, 0) == retry
        assert webhooks.after_try(10, status, 0) == Next(then=AfterTry.DISABLE)
    for tries in (1, 10):
        for status in (200, 204, 299):
            assert webhooks.after_try(tries, status, 0) == Next(then=AfterTry.DELIVERED)
        assert webhooks.after_try(tries, 410, 0) == Next(then=AfterTry.DISABLE)

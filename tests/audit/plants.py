"""Violations to plant, one line each: the check that must name it, and the statements that do it.

Written once for both databases. `<name>` stands for the id of a deal of the history.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plant:
    """One violation. `why`: a part of the sentence by which it must be named."""

    check: int
    name: str
    why: str
    statements: tuple[str, ...]


def _plant(check: int, name: str, why: str, *statements: str) -> Plant:
    return Plant(check, name, why, statements)


_TX = "(SELECT tx_id FROM settlement WHERE deal_id = '<paid>')"
_AGENT = "(SELECT min(ref) FROM account WHERE account_class = 'agent' AND credits_posted > 0)"
_LOGGED = "(SELECT event_id FROM event WHERE deal_id = '<paid>' AND event_type = 'SETTLED')"

PLANTS = (
    # --- the books
    _plant(
        1,
        "an amount of nothing",
        "amount is not between",
        f"UPDATE transfer SET amount_minor = 0 WHERE tx_id = {_TX} AND leg = 1",
    ),
    _plant(
        1,
        "one account on both sides",
        "debits and credits one account",
        f"UPDATE transfer SET credit_ref = debit_ref WHERE tx_id = {_TX} AND leg = 1",
    ),
    _plant(
        1,
        "an account of another asset",
        "credit account does not exist",
        "UPDATE account SET asset = 'USDC/6' WHERE ref = 'fee_protocol:platform'",
    ),
    _plant(
        2,
        "a credit without a debit",
        "debits and credits differ",
        f"UPDATE account SET credits_posted = credits_posted + 1 WHERE ref = {_AGENT}",
    ),
    _plant(
        3,
        "a movement off the list",
        "not on the list",
        f"UPDATE transfer SET kind = 'topup' WHERE tx_id = {_TX} AND kind = 'release'",
    ),
    _plant(
        3,
        "a rule between agents",
        "the specification does not",
        "INSERT INTO movement_rule (kind, debit_class, credit_class)"
        " VALUES ('gift', 'agent', 'agent')",
    ),
    _plant(
        4,
        "a gap between legs",
        "not 1 to n",
        f"UPDATE transfer SET leg = 3 WHERE tx_id = {_TX} AND leg = 2",
    ),
    _plant(
        4, "a transaction without legs", "not 1 to n", f"DELETE FROM transfer WHERE tx_id = {_TX}"
    ),
    _plant(
        5,
        "transfers of no transaction",
        "does not exist",
        f"DELETE FROM ledger_tx WHERE tx_id = {_TX}",
    ),
    _plant(
        5,
        "a payout of no effect",
        "effect does not exist",
        "DELETE FROM effect WHERE kind = 'payout' AND deal_id = '<paid>'",
    ),
    _plant(
        6,
        "a fee changed afterwards",
        "hash to something else",
        f"UPDATE transfer SET amount_minor = amount_minor + 1 WHERE tx_id = {_TX} AND leg = 1",
    ),
    _plant(
        6,
        "a hash its event does not carry",
        "event does not name it",
        "UPDATE event SET payload = '{}' WHERE deal_id = '<paid>' AND event_type = 'SETTLED'",
    ),
    _plant(
        7,
        "a balance typed in",
        "posted counter is not the sum",
        f"UPDATE account SET debits_posted = debits_posted - 1 WHERE ref = {_AGENT}",
    ),
    _plant(
        8,
        "money spent before it came",
        "the account was overdrawn",
        "UPDATE log_entry SET log_index = log_index + 1000 WHERE event_id = "
        "(SELECT event_id FROM event WHERE deal_id = '<paid>'"
        " AND event_type = 'PAYMENT_AUTHORIZED')",
    ),
    _plant(
        10,
        "an overdraft",
        "less than nothing",
        f"UPDATE account SET debits_held = credits_posted + 1 WHERE ref = {_AGENT}",
    ),
    _plant(
        11,
        "a transfer nobody saw",
        "not the number of its transfers",
        f"UPDATE account SET version = version + 1 WHERE ref = {_AGENT}",
    ),
    _plant(
        12,
        "a post above its hold",
        "resolves no hold",
        "UPDATE transfer SET amount_minor = amount_minor + 1"
        " WHERE phase = 'post' AND deal_id = '<paid>'",
    ),
    _plant(
        12,
        "a hold resolved twice",
        "more than once",
        "INSERT INTO transfer SELECT 'xfer_again', tx_id, leg + 5, deal_id, event_id, kind, phase,"
        " asset, amount_minor, debit_ref, debit_class, credit_ref, credit_class, hold_id,"
        " expires_at, booked_at FROM transfer WHERE phase = 'post' AND deal_id = '<paid>'",
    ),
    _plant(
        13,
        "held without a hold",
        "not what its open holds say",
        f"UPDATE account SET debits_held = debits_held + 1 WHERE ref = {_AGENT}",
    ),
    _plant(
        14,
        "a hold left unswept",
        "not swept",
        "UPDATE transfer SET expires_at = '2020-01-01T00:00:00.000000Z'"
        " WHERE phase = 'hold' AND transfer_id IN (SELECT hold_id FROM payout"
        " WHERE state IN ('sent', 'unknown'))",
    ),
    _plant(
        14,
        "a hold posted late",
        "after it had expired",
        "UPDATE transfer SET expires_at = '2020-01-01T00:00:00.000000Z'"
        " WHERE phase = 'hold' AND deal_id = '<paid>'",
    ),
    _plant(
        15,
        "a mandate that spent more than it had",
        "put aside is not its reserve",
        "UPDATE mandate SET reserve_minor = reserve_minor - 1 WHERE reserve_minor IS NOT NULL",
    ),
    _plant(
        15,
        "a spend booked twice",
        "more was spent",
        "UPDATE transfer SET amount_minor = amount_minor + 1 WHERE kind = 'mandate_return'",
    ),
    _plant(
        15,
        "a deal above its mandate",
        "above what its mandate allows",
        "UPDATE deal SET gross_minor = 20001 WHERE deal_id = '<mandated>'",
    ),
    _plant(
        15,
        "a mandate of another buyer",
        "another buyer",
        "UPDATE mandate SET buyer_id = 'agent_other' WHERE reserve_minor IS NOT NULL",
    ),
    _plant(
        16,
        "a foreign deal in the escrow",
        "a foreign deal touched it",
        f"UPDATE transfer SET deal_id = '<split>' WHERE tx_id = {_TX} AND leg = 1",
    ),
    _plant(
        17,
        "money left behind",
        "money is left",
        "UPDATE account SET credits_posted = credits_posted + 5 WHERE ref = 'escrow:<paid>'",
    ),
    _plant(
        33,
        "more owed than there is",
        "more is owed",
        f"UPDATE account SET credits_posted = credits_posted + 1000000 WHERE ref = {_AGENT}",
    ),
    # --- deals
    _plant(
        18,
        "a gross that is not its parts",
        "do not agree",
        "UPDATE settlement SET gross_minor = gross_minor + 1 WHERE deal_id = '<paid>'",
    ),
    _plant(
        18,
        "a payee given more than the net",
        "do not agree",
        "UPDATE settlement_payee SET net_minor = net_minor + 1 WHERE deal_id = '<paid>'",
    ),
    _plant(
        19,
        "a fee below the policy's",
        "gives a protocol fee of 308",
        "UPDATE settlement SET protocol_fee_minor = 8, net_minor = 9992 WHERE deal_id = '<paid>'",
    ),
    _plant(
        19,
        "a tier the volume does not give",
        "does not give that tier",
        "UPDATE settlement SET tier = '50k' WHERE deal_id = '<paid>'",
        "UPDATE deal SET tier = '50k' WHERE deal_id = '<paid>'",
    ),
    _plant(
        19,
        "other terms than approved",
        "other terms",
        "UPDATE deal SET gross_minor = 1 WHERE deal_id = '<paid>'",
    ),
    _plant(
        19,
        "a volume made up",
        "running volume",
        "UPDATE volume_entry SET total_minor = total_minor + 1 WHERE deal_id = '<split>'",
    ),
    _plant(
        20,
        "a share too large",
        "by their shares",
        "UPDATE settlement_payee SET net_minor = net_minor + 1"
        " WHERE deal_id = '<split>' AND position = 0",
    ),
    _plant(
        20,
        "shares that are none",
        "not shares",
        "UPDATE settlement_payee SET share = '0.9' WHERE deal_id = '<split>' AND position = 1",
    ),
    _plant(
        21,
        "a stranger paid",
        "no payee",
        f"UPDATE transfer SET credit_ref = 'entity:agent_x' WHERE tx_id = {_TX}"
        " AND kind = 'release'",
    ),
    _plant(
        21,
        "a refund above the funding",
        "more went back",
        f"UPDATE transfer SET kind = 'refund', amount_minor = 99999 WHERE tx_id = {_TX}"
        " AND kind = 'release'",
    ),
    _plant(
        22,
        "a second SETTLED",
        "one to one",
        "UPDATE event SET event_type = 'SETTLED'"
        " WHERE deal_id = '<paid>' AND event_type = 'OUTCOME_RECORDED'",
    ),
    _plant(
        22,
        "settled without a settlement",
        "one to one",
        "DELETE FROM settlement WHERE deal_id = '<paid>'",
    ),
    _plant(
        23,
        "a state its events do not give",
        "its events say settled",
        "UPDATE deal SET state = 'cancelled' WHERE deal_id = '<paid>'",
    ),
    _plant(
        23,
        "settled before it was approved",
        "cannot happen to a deal that is proof_ready",
        "UPDATE event SET event_type = 'PROOF_READY'"
        " WHERE deal_id = '<paid>' AND event_type = 'GO_APPROVED'",
    ),
    _plant(
        23,
        "a movement its event does not cause",
        "does not cause such a movement",
        "UPDATE event SET event_type = 'PROOF_VERIFIED'"
        " WHERE deal_id = '<paid>' AND event_type = 'SETTLED'",
    ),
    _plant(
        24,
        "a fee after the end",
        "the end of the deal forbids",
        "UPDATE transfer SET kind = 'fee' WHERE deal_id = '<paid>' AND phase = 'hold'",
    ),
    _plant(
        21,
        "a refund that was not booked as it stands",
        "not what its transfers gave back",
        "UPDATE refund SET amount_minor = amount_minor - 1 WHERE deal_id = '<refunded>'",
    ),
    _plant(
        23,
        "a refund of a deal that has nothing",
        "cannot happen to a deal that is new",
        "UPDATE event SET event_type = 'REFUND_FAILED'"
        " WHERE deal_id = '<new>' AND event_type = 'PROOF_READY'",
    ),
    _plant(
        25,
        "a ruling of more than all",
        "out of range",
        "UPDATE dispute SET seller_ppm = 2000000 WHERE deal_id = '<ruled>'",
    ),
    _plant(
        25,
        "a dispute without a row",
        "no dispute of the deal stands behind it",
        "DELETE FROM dispute WHERE deal_id = '<disputed>'",
    ),
    # --- once
    _plant(
        26,
        "a command exchanged",
        "fingerprint is not",
        "UPDATE claim SET args = '{}' WHERE scope = 'deal:<paid>' AND operation = 'settle'",
    ),
    _plant(
        26,
        "a derived key of another deal",
        "key is not the one",
        "UPDATE claim SET scope = 'deal:<new>'"
        " WHERE scope = 'deal:<paid>' AND operation = 'settle'",
    ),
    _plant(
        26,
        "an outcome lost",
        "outcome or its target is missing",
        "UPDATE claim SET outcome = NULL WHERE scope = 'deal:<paid>' AND operation = 'go'",
    ),
    _plant(
        27,
        "more taken back than given",
        "more was taken back",
        f"UPDATE transfer SET kind = 'fee_back' WHERE tx_id = {_TX} AND kind = 'release'",
    ),
    _plant(
        27,
        "a fee taken back from another than who got it",
        "more was taken back",
        "UPDATE transfer SET debit_ref = 'fee_platform:platform', debit_class = 'fee_platform'"
        " WHERE deal_id = '<ruled>' AND kind = 'fee_back'",
    ),
    _plant(
        28,
        "an approval repeated",
        "more than once",
        "UPDATE event SET event_type = 'GO_APPROVED'"
        " WHERE deal_id = '<paid>' AND event_type = 'PROOF_READY'",
    ),
    _plant(
        30,
        "a refund that is open and holds nothing",
        "open refunds, their holds and their effects do not agree",
        "UPDATE refund SET state = 'unknown' WHERE deal_id = '<refunded>'",
    ),
    _plant(
        29,
        "two effects for one payout",
        "more than one effect",
        "INSERT INTO effect SELECT 'eff_again', obligation_key || ':again', kind, deal_id, rail,"
        " asset, amount_minor, state, fence, destination, plan, claim_operation, claim_key,"
        " payout_id, rail_ref, refusal, ask_count, sent_at, asked_at, created_at, updated_at"
        " FROM effect WHERE kind = 'payout' AND deal_id = '<paid>'",
    ),
    _plant(
        30,
        "an effect that ended without its hold",
        "do not agree",
        "UPDATE effect SET state = 'confirmed' WHERE kind = 'payout' AND state = 'unknown'",
    ),
    _plant(
        30,
        "a hold that nobody owns",
        "no payout is",
        "DELETE FROM payout WHERE state = 'unknown'",
    ),
    _plant(
        31,
        "unknown for years",
        "unknown for over a day",
        "UPDATE effect SET sent_at = '2020-01-01T00:00:00.000000Z' WHERE state = 'unknown'",
    ),
    _plant(
        34,
        "a message about nothing",
        "not in the chain",
        f"UPDATE outbox SET event_id = 'evt_none' WHERE event_id = {_LOGGED}",
    ),
    _plant(
        34,
        "an event nobody will be told of",
        "no outbox row",
        f"DELETE FROM outbox WHERE event_id = {_LOGGED}",
    ),
    _plant(
        46,
        "a call by a key that had been revoked",
        "no live key",
        "UPDATE api_key SET status = 'revoked', revoked_at = '2020-01-01T00:00:00.000000Z'",
    ),
    _plant(
        46,
        "a call by a key without the scope",
        "no live key",
        "UPDATE api_key SET scopes = '[\"read\"]'",
    ),
    _plant(
        46,
        "a stranger's settlement",
        "without a key",
        "UPDATE claim SET principal = 'anonymous'"
        " WHERE scope = 'deal:<paid>' AND operation = 'settle'",
    ),
    # --- evidence
    _plant(
        37,
        "a payload rewritten",
        "does not hash",
        "UPDATE event SET payload = '{}' WHERE deal_id = '<paid>' AND version = 0",
    ),
    _plant(
        37,
        "an event removed",
        "a version is missing",
        "DELETE FROM event WHERE deal_id = '<paid>' AND version = 1",
    ),
    _plant(
        37,
        "a chain relinked",
        "does not name the hash",
        "UPDATE event SET prev_hash = '' WHERE deal_id = '<paid>' AND version = 2",
    ),
    _plant(
        37,
        "a chain cut short",
        "head of the chain",
        "DELETE FROM event WHERE deal_id = '<paid>'"
        " AND version = (SELECT max(version) FROM event WHERE deal_id = '<paid>')",
    ),
    _plant(
        37,
        "a deal without its events",
        "events that are not there",
        "DELETE FROM event WHERE deal_id = '<new>'",
    ),
    _plant(
        38,
        "a log cut short",
        "shorter than the last signed head",
        "DELETE FROM log_entry WHERE log_index >= (SELECT max(tree_size) - 1 FROM tree_head)",
    ),
    _plant(
        38,
        "a head forgotten",
        "kept outside the database",
        "DELETE FROM tree_head WHERE tree_size = (SELECT max(tree_size) FROM tree_head)",
    ),
    _plant(
        39,
        "a leaf of something else",
        "not the hash of its event's leaf",
        f"UPDATE log_entry SET leaf_hash = '{'ab' * 32}' WHERE log_index = 3",
    ),
    _plant(39, "a leaf removed", "is missing", "DELETE FROM log_entry WHERE log_index = 3"),
    _plant(
        39,
        "a root of other leaves",
        "not the root of the leaves",
        f"UPDATE tree_head SET root_hash = '{'ab' * 32}'",
    ),
    _plant(
        39,
        "a head signed by somebody else",
        "signature does not verify",
        f"UPDATE tree_head SET signature = '{'A' * 86}=='",
    ),
    _plant(
        39,
        "an event the log never saw",
        "neither in the log nor waiting",
        "INSERT INTO event SELECT deal_id, version + 1000, 'evt_stray', event_type, actor_id,"
        " actor_role, counterparty_id, amount_minor, asset, source, timestamp, payload,"
        " actor_signature, prev_hash, hash FROM event WHERE deal_id = '<new>' AND version = 0",
    ),
    _plant(
        40,
        "a confidence raised",
        "does not hash to its receipt_hash",
        "UPDATE receipt SET confidence = '0.99'",
    ),
    _plant(
        40,
        "a receipt without its event",
        "no event says so",
        "UPDATE receipt SET event_id = NULL WHERE verified = 1",
    ),
)

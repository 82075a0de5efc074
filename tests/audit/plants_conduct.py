"""Violations of times, fences, rights and of the record of audits, as in `plants.py`."""

from __future__ import annotations

from tests.audit.plants import _TX, _plant

CONDUCT = (
    _plant(
        9,
        "a checkpoint typed in",
        "not the sum of its transfers",
        "UPDATE balance_checkpoint SET credits_posted = credits_posted + 1"
        " WHERE ref = 'fee_protocol:platform'"
        " AND tree_size = (SELECT max(tree_size) FROM balance_checkpoint)",
    ),
    _plant(
        9,
        "an account left out of a checkpoint",
        "not the sum of its transfers",
        "DELETE FROM balance_checkpoint WHERE ref = 'fee_protocol:platform'"
        " AND tree_size = (SELECT max(tree_size) FROM balance_checkpoint)",
    ),
    _plant(
        35,
        "a booked time set back",
        "not the one in its id",
        f"UPDATE ledger_tx SET booked_at = '2020-01-01T00:00:00.000000Z' WHERE tx_id = {_TX}",
    ),
    _plant(
        35,
        "a settlement booked before its payment",
        "before what came before it",
        "UPDATE ledger_tx SET tx_id = 'tx_undated', booked_at = '2020-01-01T00:00:00.000000Z'"
        f" WHERE tx_id = {_TX}",
    ),
    _plant(
        45,
        "a fence of a recovery that never was",
        "has not been",
        "UPDATE effect SET fence = fence + 1099511627776 WHERE deal_id = '<paid>'",
    ),
    _plant(
        45,
        "an epoch set by hand",
        "not that of the last recovery",
        "UPDATE setting SET value = '1' WHERE name = 'recovery_epoch'",
    ),
    _plant(
        45,
        "an epoch that went back",
        "went back",
        "INSERT INTO event SELECT 'sys_recovery', 0, 'evt_back', 'RECOVERED', actor_id, actor_role,"
        " counterparty_id, amount_minor, asset, source, timestamp, '{\"recovery_epoch\": 0}',"
        " actor_signature, prev_hash, hash FROM event WHERE deal_id = '<new>' AND version = 0",
    ),
    _plant(
        45,
        "a lease that outlived a recovery",
        "before the last recovery",
        "UPDATE setting SET value = '1' WHERE name = 'recovery_epoch'",
        "INSERT INTO event SELECT 'sys_recovery', 0, 'evt_back', 'RECOVERED', actor_id, actor_role,"
        " counterparty_id, amount_minor, asset, source, timestamp, '{\"recovery_epoch\": 1}',"
        " actor_signature, prev_hash, hash FROM event WHERE deal_id = '<new>' AND version = 0",
    ),
    _plant(
        46,
        "an approval by a mandate that had ended",
        "mandate was not live",
        "UPDATE mandate SET revoked_at = '2020-01-01T00:00:00.000000Z'"
        " WHERE reserve_minor IS NOT NULL",
    ),
    _plant(
        46,
        "a vertical that the mandate does not allow",
        "does not allow its vertical",
        "UPDATE deal SET vertical = 'legal' WHERE deal_id = '<mandated>'",
    ),
    _plant(
        46,
        "a draw on a mandate that approved nothing",
        "did not approve its deal",
        "UPDATE deal SET mandate_id = NULL WHERE deal_id = '<mandated>'",
    ),
    _plant(
        46,
        "a seller's draw on a receipt of other work",
        "nobody who counts had looked at",
        "UPDATE deal SET proof_hash = 'other' WHERE deal_id = '<mandated>'",
    ),
    _plant(
        46,
        "a seller's draw on a receipt of the same hash for other work",
        "nobody who counts had looked at",
        "INSERT INTO proof SELECT deal_id, n + 1, proof_type, proof_hash, '{}', attachment_url,"
        " parent_proof_ids, agent, created_at FROM proof WHERE deal_id = '<mandated>'",
    ),
    _plant(
        46,
        "a seller's draw on the word of a party",
        "nobody who counts had looked at",
        "UPDATE receipt SET authority = 'party' WHERE deal_id = '<mandated>'",
    ),
    _plant(
        46,
        "an approval on a quote that had expired",
        "quote that had expired",
        "UPDATE deal SET quote_expires_at = '2020-01-01T00:00:00.000000Z'"
        " WHERE deal_id = '<quoted>'",
    ),
    _plant(
        47,
        "a run that says nothing of what it read",
        "what it read",
        "UPDATE event SET payload = replace(payload, 'input_hash', 'input')"
        " WHERE deal_id = 'sys_audit'",
    ),
    _plant(
        47,
        "an alarm silenced",
        "had run before",
        "INSERT INTO event SELECT deal_id, version + 1, 'evt_quiet', event_type, actor_id,"
        " actor_role, counterparty_id, amount_minor, asset, source, timestamp,"
        " replace(payload, '\"skipped\": [', '\"skipped\": [1, '), actor_signature, prev_hash, hash"
        " FROM event WHERE deal_id = 'sys_audit' AND version = 0",
    ),
    _plant(
        47,
        "something else on the chain of audits",
        "something else",
        "UPDATE event SET event_type = 'OUTCOME_RECONCILED' WHERE deal_id = 'sys_audit'",
    ),
)

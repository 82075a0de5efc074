"""The operations, one verb a module, each deciding purely on the state the engine loaded.

For: `service/engine.py`, which runs them, and the edge, which makes them.
Guarantees: an operation either refuses and writes nothing, or answers with its whole write set.
Does not: hold anything between two decisions.
"""

from settlement.core.operations.acceptance import DecideAcceptance, SubmitAcceptance
from settlement.core.operations.api_keys import CreateKey, RevokeKey, RotateKey
from settlement.core.operations.append_event import AppendEvent
from settlement.core.operations.auto_go import AutoGo
from settlement.core.operations.cancel import Cancel
from settlement.core.operations.close_intent import CloseIntent
from settlement.core.operations.create_intent import CreateIntent
from settlement.core.operations.dispute import OpenDispute
from settlement.core.operations.go import Go
from settlement.core.operations.mandates import CreateMandate, RevokeMandate
from settlement.core.operations.outcome import RailOutcome
from settlement.core.operations.payout import RequestPayout
from settlement.core.operations.place_bid import PlaceBid
from settlement.core.operations.proof_pack import ProofPack
from settlement.core.operations.receipt import RecordReceipt
from settlement.core.operations.record_charge import RecordCharge
from settlement.core.operations.record_chargeback import RecordChargeback
from settlement.core.operations.record_payment import RecordPayment
from settlement.core.operations.record_payout import RecordPayout
from settlement.core.operations.record_refund import RecordRefund
from settlement.core.operations.record_topup import RecordTopup, RecordTopupCharge
from settlement.core.operations.refund import Refund
from settlement.core.operations.register import Register
from settlement.core.operations.ruling import ResolveDispute
from settlement.core.operations.settle import Settle, Split
from settlement.core.operations.topup import TopUp
from settlement.core.operations.write_off import WriteOff

__all__ = [
    "AppendEvent",
    "AutoGo",
    "Cancel",
    "CloseIntent",
    "CreateIntent",
    "CreateKey",
    "CreateMandate",
    "DecideAcceptance",
    "Go",
    "OpenDispute",
    "PlaceBid",
    "ProofPack",
    "RailOutcome",
    "RecordCharge",
    "RecordChargeback",
    "RecordPayment",
    "RecordPayout",
    "RecordReceipt",
    "RecordRefund",
    "RecordTopup",
    "RecordTopupCharge",
    "Refund",
    "Register",
    "RequestPayout",
    "ResolveDispute",
    "RevokeKey",
    "RevokeMandate",
    "RotateKey",
    "Settle",
    "Split",
    "SubmitAcceptance",
    "TopUp",
    "WriteOff",
]

"""Claims, leases and locks by name (spec §7), in a directory or in the database.

For: `FileLockBackend` where there is no database, `TTLClaimAdapter` and `distributed_lock` over
either; money claims are rows of `claim`, which the engine writes with the money.
Guarantees: see the modules; every lease carries a fence, and the fence is what guards a write.
Does not: hold a default backend; who locks says where.
"""

from settlement.core.errors import LeaseLost, LockUnavailable
from settlement.service.claims.file_backend import FileLockBackend
from settlement.service.claims.leases import Lease, TTLClaimAdapter
from settlement.service.claims.locks import HeldLock, distributed_lock
from settlement.service.claims.records import EPOCH, IDEMPOTENCY_RESULT_TTL

__all__ = [
    "EPOCH",
    "IDEMPOTENCY_RESULT_TTL",
    "FileLockBackend",
    "HeldLock",
    "Lease",
    "LeaseLost",
    "LockUnavailable",
    "TTLClaimAdapter",
    "distributed_lock",
]

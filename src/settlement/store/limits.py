"""Shared rate limits in the database.

For: `service/limiting.py`.
Guarantees: the rows of a batch are locked in key order by one statement; a page of the walk that
forgets stale rows is bounded, and never waits for a row that is in use.
Does not: decide; `core/limits.py` does. Rows are written with the batch's write set.

Spec §12.3. Change colour: red (it takes locks).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from settlement.core.limit_rows import LimitRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settlement.store.database import Tx

LimitKey: TypeAlias = tuple[str, str]  # principal, bucket
#: Before every key.
START: Final[LimitKey] = ("", "")
#: After every key: names are ASCII.
_END: Final[LimitKey] = ("\x7f", "")


def lock_limits(tx: Tx, keys: Sequence[LimitKey]) -> dict[LimitKey, LimitRow]:
    """Lock and load the rows that there are."""
    ordered = sorted(keys)
    params: dict[str, Any] = {
        "principal": [principal for principal, _ in ordered],
        "bucket": [bucket for _, bucket in ordered],
        "keys": [list(key) for key in ordered],
    }
    rows = (LimitRow(**row) for row in tx.all("limit_lock", **params))
    return {(row.principal, row.bucket): row for row in rows}


def prune_limits(tx: Tx, after: LimitKey, size: int) -> tuple[LimitKey | None, int]:
    """Forget stale rows among the `size` or so after a key.

    Where to go on, None at the end; and how many rows went.
    """
    principal, bucket = after
    last = tx.maybe("limit_page_end", principal=principal, bucket=bucket, size=size)
    following = None if last is None else (last["principal"], last["bucket"])
    end = following or _END
    gone = tx.run(
        "limit_prune",
        principal=principal,
        bucket=bucket,
        last_principal=end[0],
        last_bucket=end[1],
        now_us=tx.now_us,
    )
    return following, gone

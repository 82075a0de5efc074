"""What a kind of refusal and a word of retry advice mean, in a sentence each.

For: docs/errors.md, which is made of them, and the pages that `type` of a problem leads to.
Guarantees: every kind and every retry has its sentence; a test fails for one without.
Does not: know statuses; those belong to the edge.
Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from settlement.core.errors.base import Kind, Retry

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: Final[Mapping[Kind, str]] = {
    Kind.INVALID: "Wrong in itself: sending it again unchanged cannot help.",
    Kind.UNAUTHENTICATED: "No key, or one that does not count any more.",
    Kind.FORBIDDEN: "The key is good, but it may not do this.",
    Kind.NOT_FOUND: (
        "There is no such thing, or it is not yours to see; a stranger cannot tell which."
    ),
    Kind.REJECTED: "Understood and refused, because of the state things are in. Nothing was done.",
    Kind.CONFLICT: "Another call was first, or is under way.",
    Kind.EXHAUSTED: "Too many calls; `Retry-After` says how long to wait.",
    Kind.UNAVAILABLE: "We cannot answer at the moment. Nothing was done.",
    Kind.CORRUPT: (
        "The books contradict themselves. The service stops acting on them and calls a person."
    ),
}

RETRIES: Final[Mapping[Retry, str]] = {
    Retry.NEVER: "do not send it again; it will be refused again",
    Retry.SAME_KEY: "send the same request again, under the same key",
    Retry.NEW_KEY: "this key has its answer; when things have changed, use a new key",
    Retry.LATER: "the same request may succeed once what it waits for has happened",
}

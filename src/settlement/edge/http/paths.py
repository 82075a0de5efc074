"""Ids and numbers in paths and queries, and the addresses we hand out.

Guarantees: what cannot be an id is answered like an id nobody has (404), so that no text from a
path reaches a query unless it could be there; addresses are absolute, from the configured base.
Does not: look anything up.

Contract §1.5. Change colour: green.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

from litestar.params import QueryParameter

from settlement.core.errors import (
    AcceptanceNotFound,
    AgentNotFound,
    CursorMalformed,
    DealNotFound,
    HookNotFound,
    IntentNotFound,
    KeyNotFound,
    MalformedId,
    MandateNotFound,
    PayoutNotFound,
    TreeSizeUnknown,
)
from settlement.core.ids import (
    AcceptanceId,
    HookId,
    IntentId,
    KeyId,
    MandateId,
    PayoutId,
    check_name,
)

if TYPE_CHECKING:
    from settlement.edge.http.request import EdgeRequest

POSITION_MAX: Final = 2**53 - 1
_DIGITS: Final = re.compile(r"0|[1-9][0-9]{0,15}")

#: A position in the log, from a query.
Position = Annotated[int | None, QueryParameter(ge=0, le=POSITION_MAX)]
PageLimit = Annotated[int, QueryParameter(ge=1, le=200)]


def deal_in_path(text: str) -> str:
    """A deal id; raises DealNotFound for what cannot be one."""
    try:
        return check_name(text, "deal_id")
    except MalformedId:
        raise DealNotFound(deal_id=_shown(text)) from None


def agent_in_path(text: str) -> str:
    """An agent id; raises AgentNotFound for what cannot be one."""
    try:
        return check_name(text, "agent_id")
    except MalformedId:
        raise AgentNotFound(agent_id=_shown(text)) from None


def payout_in_path(text: str) -> str:
    """A payout id; raises PayoutNotFound for what cannot be one."""
    try:
        return str(PayoutId.parse(text))
    except MalformedId:
        raise PayoutNotFound(payout_id=_shown(text)) from None


def intent_in_path(text: str) -> str:
    """An intent id; raises IntentNotFound for what cannot be one."""
    try:
        return str(IntentId.parse(text))
    except MalformedId:
        raise IntentNotFound(intent_id=_shown(text)) from None


def hook_in_path(text: str) -> str:
    """A hook id; raises HookNotFound for what cannot be one."""
    try:
        return str(HookId.parse(text))
    except MalformedId:
        raise HookNotFound(hook_id=_shown(text)) from None


def acceptance_in_path(text: str) -> str:
    """The id of a review; raises AcceptanceNotFound for what cannot be one."""
    try:
        return str(AcceptanceId.parse(text))
    except MalformedId:
        raise AcceptanceNotFound(acceptance_id=_shown(text)) from None


def mandate_in_path(text: str) -> str:
    """A mandate id; raises MandateNotFound for what cannot be one."""
    try:
        return str(MandateId.parse(text))
    except MalformedId:
        raise MandateNotFound(mandate_id=_shown(text)) from None


def key_in_path(text: str) -> str:
    """The id of an API key; raises KeyNotFound for what cannot be one."""
    try:
        return str(KeyId.parse(text))
    except MalformedId:
        raise KeyNotFound(key_id=_shown(text)) from None


def position_in_path(text: str) -> int:
    """A tree size or leaf index; raises TreeSizeUnknown for what cannot be one."""
    if not _DIGITS.fullmatch(text) or int(text) > POSITION_MAX:
        raise TreeSizeUnknown(position=-1)
    return int(text)


def version_cursor(text: str | None) -> int:
    """The cursor of a timeline page; raises CursorMalformed."""
    if text is None:
        return 0
    if not _DIGITS.fullmatch(text) or int(text) > POSITION_MAX:
        raise CursorMalformed()
    return int(text)


def _shown(text: str) -> str:
    """A caller's text in a message: short and printable."""
    return "".join(char if char.isprintable() else "?" for char in text[:64])


def url(request: EdgeRequest, path: str) -> str:
    """An absolute address of ours."""
    return f"{request.services.settings.base_url}{path}"

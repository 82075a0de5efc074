"""API keys of the caller's agent (contract §3.1).

Guarantees: own keys only, but for an operator, who revokes anybody's; a key's text is in the answer
that made it and in no other. `Idempotency-Key` is not looked at: an answer that is remembered is
stored, and a plaintext key never is (spec §6.1).
Does not: decide; `core/operations/api_keys.py` does.

Spec §12.1. Change colour: red.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response.base import ASGIResponse

from settlement.core.errors import KeyRequired
from settlement.edge.http import promises_keys as promises
from settlement.edge.http import schemas
from settlement.edge.http.answers import ask, reading, reply
from settlement.edge.http.auth import PUBLIC, Access, AccessClass, keyed
from settlement.edge.http.paths import PageLimit, key_in_path
from settlement.edge.http.request import API_KEY, EdgeRequest, header
from settlement.edge.http.routing import endpoint
from settlement.service import api_keys

if TYPE_CHECKING:
    from settlement.core.operations import CreateKey, RotateKey
    from settlement.service.api_keys import Made

BASE = "/protocol/keys"
ONE = f"{BASE}/{{key_id:str}}"
#: Many may rotate one key with that key; whoever is let in late is told 409, not 403.
_ROTATE = Access(letter=AccessClass.KEYED, scope="keys", superseded=True)


def _owner(request: EdgeRequest) -> str:
    agent_id = request.principal.agent_id
    if agent_id is None:
        raise KeyRequired()
    return agent_id


async def _made(request: EdgeRequest, made: Made[CreateKey] | Made[RotateKey]) -> ASGIResponse:
    answer = await ask(request, made.operation)
    return reply({**answer.unwrap(), "api_key": made.api_key})


@endpoint("POST", BASE, access=keyed("keys"), answer=promises.KeyMade, body=schemas.KeyBody)
async def create_key(request: EdgeRequest, data: JSONBody[schemas.KeyBody]) -> ASGIResponse:
    """Make a further key, with the caller's scopes or fewer; its text is shown this once."""
    made = api_keys.new_key(
        request.principal,
        _owner(request),
        name=schemas.free_text(data.name, "name", api_keys.NAME_CHARS_MAX),
        scopes=data.scopes,
        expires_at=data.expires_at,
    )
    return await _made(request, made)


@endpoint("GET", BASE, access=keyed("keys"), answer=promises.Keys)
async def list_keys(
    request: EdgeRequest, limit: PageLimit = 200, cursor: FromQuery[str | None] = None
) -> ASGIResponse:
    """The caller's keys, newest first, also those that count no more."""
    found = await reading(
        request, api_keys.keys_page, _owner(request), limit=limit, cursor=cursor or None
    )
    return reply(found)


@endpoint(
    "POST",
    f"{ONE}/rotate",
    access=_ROTATE,
    answer=promises.KeyMade,
    body=schemas.RotateKeyBody,
)
async def rotate_key(
    request: EdgeRequest, key_id: FromPath[str], data: JSONBody[schemas.RotateKeyBody]
) -> ASGIResponse:
    """Give a key its one successor; the old one counts on for `grace_seconds`, without `keys`."""
    made = api_keys.new_rotation(
        request.principal, _owner(request), key_in_path(key_id), data.grace_seconds
    )
    return await _made(request, made)


@endpoint(
    "POST",
    f"{ONE}/revoke",
    access=keyed("keys"),
    answer=promises.Key,
    body=schemas.RevokeKeyBody,
)
async def revoke_key(
    request: EdgeRequest, key_id: FromPath[str], data: JSONBody[schemas.RevokeKeyBody]
) -> ASGIResponse:
    """End a key, in its grace too: refused everywhere within a second. Again: the same answer."""
    operation = await reading(
        request,
        api_keys.new_revocation,
        request.principal,
        key_in_path(key_id),
        schemas.free_text(data.reason, "reason", api_keys.REASON_CHARS_MAX),
    )
    answer = await ask(request, operation)
    return reply(answer.unwrap())


@endpoint(
    "POST",
    f"{BASE}/validate",
    access=PUBLIC,
    answer=promises.KeyValidated,
    body=schemas.ValidateKeyBody,
)
async def validate_key(
    request: EdgeRequest, data: JSONBody[schemas.ValidateKeyBody]
) -> ASGIResponse:
    """Say whether a key counts, and opens `scope`; the key of the body, else the header's."""
    text = data.api_key or header(request.scope, API_KEY)
    if not text:
        raise KeyRequired()
    return reply(await reading(request, api_keys.validate, text, data.scope))


ROUTES = (create_key, list_keys, rotate_key, revoke_key, validate_key)

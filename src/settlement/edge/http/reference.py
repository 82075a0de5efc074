"""The page docs/http.md, made from the routes themselves.

Guarantees: every route of the app is on it with its class of access and the first line of its
docstring, in the order of `routes.ALL_ROUTES`; a test compares the page with the app.
Does not: describe members; the API page at /docs does.

Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from settlement.edge.http.auth import ACCESS_OPT, AccessClass
from settlement.edge.http.limiter import BUCKET_OPT
from settlement.edge.http.routing import routes_of

if TYPE_CHECKING:
    from litestar import Litestar

ORDER_OF_CHECKS: Final = (
    "size and JSON: 400",
    "the limit of the address: 429",
    "the key: 401",
    "the scope: 403",
    "the members, and whether the caller is who the body says: 422, 403 `actor_mismatch`",
    "the claim: a replay, other content under the same key, or in flight; of these: 429",
    "the caller's limit: 429",
    "pause: 503",
    "existence and visibility: 404",
    "the party: 403",
    "the state: 409",
    "amount, fee and policy: 409",
    "funds: 409",
)
CLASSES: Final = {
    AccessClass.PUBLIC: "public read; a key of any agent changes nothing",
    AccessClass.WRITE: "open in both modes",
    AccessClass.GO: "GO: open in sandbox; in live a key with the scope, or the right quote",
    AccessClass.OPEN: "open in sandbox; in live a key with the scope",
    AccessClass.KEYED: "a key with the scope, in both modes",
    AccessClass.ADMIN: "an operator: `X-Admin-Token`, or a key with the scope `admin`",
    AccessClass.SIGNED: "a signature over the raw body",
    AccessClass.KEY_IGNORED: "open; a key that is sent is ignored",
}
HEAD: Final = """\
# HTTP endpoints

<!-- Made by scripts/generate_http_doc.py from the routes: change them there. -->

Every answer is a JSON object: `ok: true` with status 200 (202 while a rail has not answered), or a
problem document of [errors.md](errors.md). There are no redirects and no empty answers. The bodies'
schemas are at `/docs` of a running server (`/docs/openapi.json`).

Header `X-API-Key` names the caller; empty is none, and one that does not count is 401 everywhere.
`Idempotency-Key` (1 to 255 visible characters) is accepted on every call that a key makes; calls
that happen once per deal are safe to repeat without it. Every answer has `X-Request-Id`.

Money: in, a number or its text, read exactly (`99`, `99.0`, `"99.00"`); out, `m` with two decimals
beside `m_minor` (integer) and `m_exact` (text).
"""


def render(app: Litestar) -> str:
    """The whole page."""
    parts = [HEAD, "\n## Order of checks\n\nThe first that fails is the answer.\n\n"]
    parts += [f"{at}. {check}\n" for at, check in enumerate(ORDER_OF_CHECKS, start=1)]
    parts.append("\n## Who may call\n\n| class | meaning |\n|---|---|\n")
    parts += [f"| {letter} | {meaning} |\n" for letter, meaning in CLASSES.items()]
    parts.append("\n## Endpoints\n\nCounted as: the bucket of the limit on its caller, if any.\n\n")
    parts.append("| call | class | counted as | what it does |\n|---|---|---|---|\n")
    for method, path, handler in routes_of(app):
        if handler.resolve_include_in_schema():
            access, bucket = handler.opt[ACCESS_OPT], handler.opt[BUCKET_OPT] or "none"
            parts.append(f"| `{method} {path}` | {access} | {bucket} | {handler.summary} |\n")
    parts.append("\nNot JSON: `/metrics` (Prometheus text), `/docs` and `/pay/{deal_id}` (HTML).\n")
    return "".join(parts)

"""The request itself is wrong: 400 for what is not JSON, 422 for the rest.

For: everyone who raises or shows them. One class per stable code (spec §1.5).
Does not: decide; see the package's header.
Change colour: amber.
"""

from __future__ import annotations

from settlement.core.errors.base import InvalidRequest, leaf

# --- invalid: not JSON, too large, too deep (400) -------------------------------------------------


@leaf
class JsonMalformed(InvalidRequest):
    code = "json_malformed"
    title = "Body is not acceptable JSON"
    message = "The body could not be read as JSON: {reason}."
    advice = "Send one JSON object in UTF-8, without duplicate keys, NaN or lone surrogates."
    bad_request = True
    reason: str


@leaf
class BodyTooLarge(InvalidRequest):
    code = "body_too_large"
    title = "Body too large"
    message = "The body is larger than {limit_bytes} bytes."
    bad_request = True
    limit_bytes: int


@leaf
class BodyTooDeep(InvalidRequest):
    code = "body_too_deep"
    title = "Body nested too deeply"
    message = "The body is nested deeper than {limit_depth} levels."
    bad_request = True
    limit_depth: int


@leaf
class IdempotencyKeyRequired(InvalidRequest):
    code = "idempotency_key_required"
    title = "Idempotency-Key required"
    message = "{operation} moves money and may be wanted twice, so it needs an Idempotency-Key."
    advice = "Send any text of your own in the Idempotency-Key header, the same one on a retry."
    bad_request = True
    operation: str


@leaf
class ProviderUnknown(InvalidRequest):
    code = "provider_unknown"
    title = "Unknown verification provider"
    message = "There is no verification provider named {provider!r}."
    advice = "GET /protocol/verify/providers lists them."
    bad_request = True
    provider: str


# --- invalid: 422 ---------------------------------------------------------------------------------


@leaf
class MemberMissing(InvalidRequest):
    code = "member_missing"
    title = "A member is missing"
    message = "The member {field!r} is required."
    field: str


@leaf
class InvalidField(InvalidRequest):
    code = "field_invalid"
    title = "A member is not acceptable"
    message = "{field}: {reason}."
    field: str
    reason: str


@leaf
class AmountMalformed(InvalidRequest):
    code = "amount_malformed"
    title = "Amount is not a plain decimal number"
    message = "{field} is not a plain decimal amount between one minor unit and 2^53-1 of them."
    advice = 'Send digits with an optional fraction, such as 99, 99.0 or "99.00".'
    field: str


@leaf
class AmountNotPositive(InvalidRequest):
    code = "amount_not_positive"
    title = "Amount must be more than zero"
    message = "{field} must be more than zero."
    field: str


@leaf
class AmountOverScale(InvalidRequest):
    code = "amount_over_scale"
    title = "Amount is finer than the asset allows"
    message = "{field} has more than {scale} fraction digits."
    field: str
    scale: int


@leaf
class AmountRequired(InvalidRequest):
    code = "amount_required"
    title = "Amount required"
    message = "Deal {deal_id} has no approved amount and the request names none."
    deal_id: str


@leaf
class MalformedId(InvalidRequest):
    code = "malformed_id"
    title = "Malformed identifier"
    message = "{field} is not an identifier of the expected form."
    field: str


@leaf
class CanonicalForm(InvalidRequest):
    code = "canonical_form"
    title = "Value has no canonical form"
    message = "A value cannot be hashed: {reason}."
    reason: str


@leaf
class SharesNotOne(InvalidRequest):
    code = "shares_not_one"
    title = "Shares do not add up to one"
    message = "The shares must add up to 1 (within 0.000001), each more than zero."


@leaf
class PayloadNumber(InvalidRequest):
    code = "payload_number"
    title = "Event payloads hold integers only"
    message = "The payload holds a number that is not an integer."
    advice = "Send amounts as integers in minor units, other fractions as text."


@leaf
class NoProvider(InvalidRequest):
    code = "no_provider"
    title = "No provider for this proof type"
    message = "No verification provider supports the proof type {proof_type!r}."
    advice = "GET /protocol/verify/providers lists the proof types of each."
    proof_type: str


@leaf
class IdempotencyMismatch(InvalidRequest):
    code = "idempotency_mismatch"
    title = "Same key, other content"
    message = "This Idempotency-Key was used before with another {field}."
    advice = "Use a new key for a new request; nothing was done."
    field: str


@leaf
class DerivedKeyReserved(InvalidRequest):
    code = "derived_key_reserved"
    title = "Keys starting with idem_ are derived ones"
    message = "An Idempotency-Key may start with idem_ only if it is this call's derived key."
    expected: str


@leaf
class MethodNotAllowed(InvalidRequest):
    code = "method_not_allowed"
    title = "Method not possible here"
    message = "{method} is not possible here; the Allow header names what is."
    method: str
    allow: str


@leaf
class CursorMalformed(InvalidRequest):
    code = "cursor_malformed"
    title = "Unknown page cursor"
    message = "The cursor was not made by this server."


@leaf
class EventNameUnknown(InvalidRequest):
    code = "event_name_unknown"
    title = "No such event name"
    message = "No webhook event is named {name!r}."
    advice = "docs/webhooks.md lists the names; `*` stands for all."
    name: str


@leaf
class HookUrlRefused(InvalidRequest):
    code = "hook_url_refused"
    title = "This address may not be sent to"
    message = "The webhook's url cannot be used: {reason}."
    advice = "Give an https address on the public internet, port 443 or 8443."
    reason: str

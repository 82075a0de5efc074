"""Verification providers: which proof types each judges, what it looks for, how sure it is.

Guarantees: the verdict is a pure function of provider and proof data, so anyone may repeat it;
confidence is exact decimal text, fixed per provider and outcome.
Does not: fetch the URLs it is shown or decide whether a verdict counts - authority does (spec §11).

Spec §11, contract §2.4. Change colour: amber.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from settlement.core.errors import NoProvider, ProviderUnknown

if TYPE_CHECKING:
    from settlement.core.canonical import Json

_COUNT_TEXT: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")


def _has_text(value: Json) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_counted(value: Json) -> bool:
    """A number above zero, or its plain text. True is no number."""
    if isinstance(value, str):
        return bool(_COUNT_TEXT.fullmatch(value)) and Decimal(value) > 0
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return False
    return Decimal(value).is_finite() and value > 0


def _has_items(value: Json) -> bool:
    return len(value) > 0 if isinstance(value, (list, tuple, Mapping)) else _is_counted(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing a provider looks for: any of these members, passing this test."""

    name: str
    members: tuple[str, ...]
    test: Callable[[Json], bool]
    #: False for what is noted and never enough by itself.
    decides: bool = True

    def finds(self, proof_data: Mapping[str, Json]) -> bool:
        """Tell whether one of the members passes."""
        return any(self.test(proof_data.get(member)) for member in self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One verifier of a kind of work."""

    name: str
    provider_type: str
    proof_types: tuple[str, ...]
    checks: tuple[Check, ...]
    confidence_if_verified: str
    confidence_if_not: str
    on_by_default: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a provider found. `checks_run` names the checks that found something."""

    provider: str
    provider_type: str
    verified: bool
    confidence: str
    checks_run: tuple[str, ...]


def _text_check(name: str, *members: str, decides: bool = True) -> Check:
    return Check(name=name, members=members, test=_has_text, decides=decides)


CI_CD: Final = Provider(
    name="ci_cd",
    provider_type="ci_cd",
    proof_types=("test_results", "diff_preview", "demo_link", "endpoint_preview"),
    checks=(
        Check(name="test_count", members=("tests_passed",), test=_is_counted),
        _text_check("diff_url_present", "diff_url"),
        _text_check("demo_url_present", "demo_url"),
        _text_check("endpoint_present", "endpoint_url"),
    ),
    confidence_if_verified="0.85",
    confidence_if_not="0.2",
)

CONTENT: Final = Provider(
    name="content",
    provider_type="content",
    proof_types=(
        "creative_preview",
        "landing_preview",
        "ad_mock",
        "copy_preview",
        "bundle_mock",
        "product_page_preview",
        "conversion_plan_preview",
    ),
    checks=(
        _text_check("asset_type_declared", "asset_type", decides=False),
        _text_check("preview_url_present", "preview_url", "attachment_url"),
        Check(name="items_present", members=("items", "item_count"), test=_has_items),
    ),
    confidence_if_verified="0.8",
    confidence_if_not="0.15",
)

SERVICE: Final = Provider(
    name="service",
    provider_type="service",
    proof_types=(
        "pos_receipt",
        "booking_confirmation",
        "delivery_signature",
        "completion_photo",
        "invoice_paid",
    ),
    checks=(
        _text_check("receipt_id_present", "receipt_id", "confirmation_id"),
        _text_check("photo_present", "photo_url", "attachment_url"),
        _text_check("timestamp_present", "timestamp", decides=False),
        _text_check("signature_present", "signature"),
    ),
    confidence_if_verified="0.75",
    confidence_if_not="0.1",
)

USAGE_METER: Final = Provider(
    name="usage_meter",
    provider_type="usage",
    proof_types=("usage_report", "meter_reading", "api_call_log"),
    checks=(
        Check(name="call_count_present", members=("call_count",), test=_is_counted),
        Check(name="hour_count_present", members=("hour_count",), test=_is_counted),
        Check(name="token_count_present", members=("token_count",), test=_is_counted),
        Check(name="meter_count_present", members=("meter_count",), test=_is_counted),
    ),
    confidence_if_verified="0.8",
    confidence_if_not="0.15",
    on_by_default=False,
)

#: In the order in which a provider is chosen for a proof type.
ALL_PROVIDERS: Final[tuple[Provider, ...]] = (CI_CD, CONTENT, SERVICE, USAGE_METER)
DEFAULT_PROVIDERS: Final[tuple[Provider, ...]] = tuple(p for p in ALL_PROVIDERS if p.on_by_default)


def choose_provider(
    provider: str | None, proof_type: str, among: tuple[Provider, ...] = DEFAULT_PROVIDERS
) -> Provider:
    """The named provider, else the first that judges the type.

    Raises ProviderUnknown for a name not among those switched on, NoProvider when none fits.
    """
    if provider:
        for candidate in among:
            if candidate.name == provider:
                return candidate
        raise ProviderUnknown(provider=provider)
    for candidate in among:
        if proof_type in candidate.proof_types:
            return candidate
    raise NoProvider(proof_type=proof_type)


def evaluate(
    provider: str | None,
    proof_type: str,
    proof_data: Mapping[str, Json],
    among: tuple[Provider, ...] = DEFAULT_PROVIDERS,
) -> Verdict:
    """Choose the provider and judge the proof data; raises what `choose_provider` raises.

    A named provider never passes a proof type that is not its own: it would be vouching for work it
    does not know.
    """
    chosen = choose_provider(provider, proof_type, among)
    found = [check for check in chosen.checks if check.finds(proof_data)]
    verified = proof_type in chosen.proof_types and any(check.decides for check in found)
    return Verdict(
        provider=chosen.name,
        provider_type=chosen.provider_type,
        verified=verified,
        confidence=chosen.confidence_if_verified if verified else chosen.confidence_if_not,
        checks_run=tuple(check.name for check in found),
    )

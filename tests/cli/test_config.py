"""Settings: what is refused, how it is said, and that the page of settings is the table's."""

from __future__ import annotations

import pytest

from settlement.config import ConfigError, Mode, describe, load, unknown_settings
from settlement.core.limits import Limit


def test_an_empty_environment_gives_a_sandbox_on_loopback() -> None:
    settings = load({})
    assert settings.mode is Mode.SANDBOX
    assert settings.base_url == "http://127.0.0.1:10000"
    assert settings.default_price_minor == 9900
    assert str(settings.sqlite_path) == "var/settlement.db"


def test_an_empty_variable_is_an_unset_one() -> None:
    assert load({"SETTLEMENT_PORT": ""}).port == 10000


def test_a_command_line_option_wins_over_the_environment() -> None:
    assert load({"SETTLEMENT_PORT": "1"}, port="2").port == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SETTLEMENT_MODE", "production"),
        ("SETTLEMENT_PORT", "65536"),
        ("SETTLEMENT_TRUSTED_PROXIES", "foo"),
        ("SETTLEMENT_TRUSTED_PROXIES", "127.0.0.1,10.0.0.1/8"),
        ("SETTLEMENT_PORT", "10k"),
        ("SETTLEMENT_DATABASE", "mysql://localhost/x"),
        ("SETTLEMENT_DATABASE", "sqlite:///"),
        ("SETTLEMENT_PUBLIC_URL", "settle.example"),
        ("SETTLEMENT_FEE_POLICY", "free"),
        ("SETTLEMENT_DEFAULT_ASSET", "dollars"),
        ("SETTLEMENT_DEFAULT_PRICE", "0"),
        ("SETTLEMENT_DEFAULT_PRICE", "1.005"),
        ("SETTLEMENT_PRICES", "marketing=10"),
        ("SETTLEMENT_PRICES", "Marketing/logo=10"),
        ("SETTLEMENT_PRICES", "marketing/logo=10.001"),
        ("SETTLEMENT_JOB_LEASE_SECONDS", "1"),
        ("SETTLEMENT_BATCH_LIMIT", "5000"),
        ("SETTLEMENT_LOG_LEVEL", "loud"),
        ("SETTLEMENT_LOG_ID", "a|b"),
        ("SETTLEMENT_ADMIN_TOKEN", "short"),
        ("SETTLEMENT_RATE_LIMITS", "settle"),
        ("SETTLEMENT_RATE_LIMITS", "setle=120/2"),
        ("SETTLEMENT_RATE_LIMITS", "settle=120"),
        ("SETTLEMENT_RATE_LIMITS", "settle=0/2"),
        ("SETTLEMENT_RATE_LIMITS", "settle=120/0"),
        ("SETTLEMENT_RATE_LIMITS", "settle=120/0.0001"),
        ("SETTLEMENT_RATE_LIMITS", "settle=1e9/2"),
        ("SETTLEMENT_RATE_LIMITS", "settle=-1/2"),
        ("SETTLEMENT_RATE_PROCESSES", "-1"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_what_to_do(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({name: value})
    assert caught.value.setting == name
    assert caught.value.reason
    assert caught.value.advice


def test_rate_limits_are_the_modes_but_for_what_is_named() -> None:
    """Catches: a named figure that loses to the mode's, or `all` that wins over a later name."""
    text = "all=10/5,settle=120/0.5,go=off"
    found = load({"SETTLEMENT_RATE_LIMITS": text}).limits
    assert found["settle"] == Limit(120, 2_000_000)
    assert found["go"] is None
    assert found["reads"] == found["settle_replays"] == Limit(10, 200_000)
    assert load({}).limits["settle"] == Limit(120, 500_000)
    assert load({"SETTLEMENT_MODE": "live"}).limits["settle"] == Limit(30, 2_000_000)


def test_a_secret_is_not_repeated_when_it_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        load({"SETTLEMENT_ADMIN_TOKEN": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_pretend_money_never_meets_a_real_rail() -> None:
    with pytest.raises(ConfigError) as caught:
        load({"SETTLEMENT_RAIL": "stripe"})
    assert "SETTLEMENT_RAIL" in str(caught.value)
    assert "SETTLEMENT_MODE" in str(caught.value)


def test_a_rail_this_version_lacks_is_refused_in_live_mode_too() -> None:
    with pytest.raises(ConfigError, match="no such rail"):
        load({"SETTLEMENT_MODE": "live", "SETTLEMENT_RAIL": "abacus"})


STRIPE = {
    "SETTLEMENT_MODE": "live",
    "SETTLEMENT_RAIL": "stripe",
    "SETTLEMENT_STRIPE_SECRET_KEY": "sk_test_0123456789",
    "SETTLEMENT_STRIPE_PUBLISHABLE_KEY": "pk_test_0123456789",
    "SETTLEMENT_STRIPE_WEBHOOK_SECRET": "whsec_0123456789abcdef",
}


@pytest.mark.parametrize("name", [name for name in STRIPE if "STRIPE" in name])
def test_live_with_stripe_needs_its_secrets_and_says_where_they_are(name: str) -> None:
    """Broken build: it starts, takes deals, and fails when the first money should move."""
    with pytest.raises(ConfigError) as caught:
        load({**STRIPE, name: ""})
    assert caught.value.setting == name
    assert "SETTLEMENT_RAIL" in caught.value.reason
    assert caught.value.advice


@pytest.mark.parametrize("key", ["sk-test-0123456789", "pk_test_0123456789", "sk_x y", "0" * 40])
def test_what_is_no_secret_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({**STRIPE, "SETTLEMENT_STRIPE_SECRET_KEY": key})
    assert key not in str(caught.value)


def test_stripes_secrets_are_hidden_wherever_settings_are_shown() -> None:
    settings = load(STRIPE)
    shown = f"{settings!r} {describe(settings)}"
    assert STRIPE["SETTLEMENT_STRIPE_SECRET_KEY"] not in shown
    assert STRIPE["SETTLEMENT_STRIPE_WEBHOOK_SECRET"] not in shown


def test_prices_of_known_work_are_exact() -> None:
    settings = load({"SETTLEMENT_PRICES": "marketing/logo=49.50, web_dev/=250"})
    assert settings.prices_minor == {("marketing", "logo"): 4950, ("web_dev", ""): 25000}
    shown = {row["name"]: row["value"] for row in describe(settings)}
    assert shown["SETTLEMENT_PRICES"] == "marketing/logo=49.50,web_dev/=250"


def test_a_misspelt_setting_is_reported_with_the_name_it_may_have_meant() -> None:
    env = {"SETTLEMENT_DATABSE": "x", "SETTLEMENT_UNHEARD_OF": "1", "SETTLEMENT_PORT": "1"}
    assert unknown_settings(env) == [
        ("SETTLEMENT_DATABSE", "SETTLEMENT_DATABASE"),
        ("SETTLEMENT_UNHEARD_OF", None),
    ]


def test_secrets_are_hidden_wherever_settings_are_shown() -> None:
    settings = load(
        {
            "SETTLEMENT_ADMIN_TOKEN": "a-very-secret-token",
            "SETTLEMENT_DATABASE": "postgresql://me:pass-word@db/settlement",
        }
    )
    shown = str(describe(settings)) + repr(settings)
    assert "a-very-secret-token" not in shown
    assert "pass-word" not in shown
    assert "postgresql://me:(hidden)@db/settlement" in shown


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:10000"),
        ("::1", "http://[::1]:10000"),
        ("example.org", "http://example.org:10000"),
    ],
)
def test_clients_are_given_an_address_they_can_use(host: str, url: str) -> None:
    assert load({"SETTLEMENT_HOST": host}).base_url == url

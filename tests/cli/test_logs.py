"""What is logged: one line an event, in either form, and never a bearer secret."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from settlement.cli.logs import JsonFormatter, TextFormatter
from settlement.core.redaction import without_secrets

KEY = "a2a_0123456789abcdef_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2xOdCO"
QUOTE = "quote_" + "0f" * 16
SECRETS = (KEY, QUOTE, "whsec_dG9wc2VjcmV0dG9wc2VjcmV0")


def record(message: str, *args: object, with_error: bool = False) -> logging.LogRecord:
    error = None
    if with_error:
        try:
            raise ValueError(f"refused {KEY}")
        except ValueError:
            error = sys.exc_info()
    return logging.LogRecord("settlement.x", logging.WARNING, "x.py", 1, message, args, error)


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_cut_down_to_its_prefix(secret: str) -> None:
    said = without_secrets(f"caller sent {secret}, twice: {secret}")
    assert secret not in said
    assert secret[-12:] not in said
    assert said.count(secret.split("_")[0]) == 2


def test_ids_are_no_secrets() -> None:
    said = "deal_01a20c294c597dd0800009bc974eafde key_01a20c294c597dd0800009bc974eafde"
    assert without_secrets(said) == said


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])
def test_no_form_lets_a_secret_through(formatter: logging.Formatter) -> None:
    line = formatter.format(record("key %s and %s", KEY, QUOTE, with_error=True))
    for secret in SECRETS:
        assert secret not in line


def test_a_json_line_is_one_object_on_one_line() -> None:
    line = JsonFormatter().format(record("two\nlines of %s", "café", with_error=True))
    assert "\n" not in line
    members = json.loads(line)
    assert (members["level"], members["logger"]) == ("warning", "settlement.x")
    assert members["message"].startswith("two\nlines of café\nTraceback")
    assert members["at"].endswith("Z")

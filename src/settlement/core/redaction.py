"""Cutting bearer secrets out of text, by their form: API keys, quote ids, webhook secrets.

For: logs and error answers, which may hold a caller's own text.
Guarantees: what has the form of such a secret keeps its prefix only, so that a reader still sees
what was there, and cannot use it.
Does not: find a secret in another form (base64, hex): nothing of ours writes one so.

Change colour: amber.
"""

from __future__ import annotations

import re
from typing import Final

_SECRET: Final = re.compile(r"\b(a2a_[0-9a-f]{0,16}_?|quote_|whsec_)[0-9A-Za-z+/=_-]{8,}")


def without_secrets(text: str) -> str:
    """The text with every bearer secret cut down to its prefix."""
    return _SECRET.sub(r"\1…", text)

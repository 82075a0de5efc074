"""Logging of a process: lines a person reads on a terminal, JSON lines everywhere else.

Guarantees: API keys, quote ids and whatever else is a bearer secret by its form never reach a log,
whoever wrote the message; a line is one line.
Does not: choose what is logged, or log requests.
Change colour: green.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Final

from settlement.config import LogFormat
from settlement.core.clock import time_text
from settlement.core.redaction import without_secrets
from settlement.tracing import REQUEST_ID, trace_id

if TYPE_CHECKING:
    from settlement.config import Settings


#: What a line may be about, as `extra` of the call that logs it.
_IDS: Final = ("deal_id", "claim", "effect_id", "job_id")


class _Formatter(logging.Formatter):
    """What both forms share: the message, its exception, and no secrets."""

    def said(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return without_secrets(text)

    def at(self, record: logging.LogRecord) -> str:
        return time_text(int(record.created * 1_000_000))


def about(record: logging.LogRecord) -> dict[str, str]:
    """The request and trace this thread works for, and the ids the line was given."""
    found = {"request_id": REQUEST_ID.get(), "trace_id": trace_id()}
    found |= {name: getattr(record, name, None) or "" for name in _IDS}
    return {name: without_secrets(text) for name, text in found.items() if text}


class TextFormatter(_Formatter):
    """For people."""

    def format(self, record: logging.LogRecord) -> str:
        """Time of day, level, who, what."""
        clock = self.at(record)[11:23]
        ids = "".join(f" {name}={text}" for name, text in about(record).items())
        return f"{clock} {record.levelname.lower():7} {record.name}: {self.said(record)}{ids}"


class JsonFormatter(_Formatter):
    """For machines: one object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """at, level, logger, message, and what it is about as far as that is known."""
        members = {
            "at": self.at(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.said(record),
            **about(record),
        }
        return json.dumps(members, ensure_ascii=False)


def set_up(settings: Settings) -> None:
    """Send every logger of this process to standard error, in the form the settings name."""
    as_text = settings.log_format is LogFormat.TEXT or (
        settings.log_format is LogFormat.AUTO and sys.stderr.isatty()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.value.upper())
    # The server's own start and stop lines say what our announcement says better.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)

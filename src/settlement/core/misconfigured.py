"""The error of a setting or a constant that must not be used.

For: `config`, which raises it for what the environment says, and rules of core that must hold
whatever a build or a release says, also under `python -O`, which drops asserts.
Does not: reach a client; a process that raises it does not start, or does not do that work.

Change colour: green.
"""

from __future__ import annotations


class ConfigError(Exception):
    """A setting that cannot be used: its name, the value found, why, and what to do."""

    def __init__(self, setting: str, value: str, reason: str, advice: str) -> None:
        self.setting = setting
        self.value = value
        self.reason = reason
        self.advice = advice
        super().__init__(f"{setting} is {value!r}: {reason}. {advice}")

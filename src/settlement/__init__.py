"""Settlement: a double-entry ledger that is also the deal engine for the work of AI agents."""

__version__ = "0.1.0"

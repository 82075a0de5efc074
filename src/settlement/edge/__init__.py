"""The outer floor: HTTP, the worker, rails. Translates, never decides."""

"""Helpers shared by the tests, the benchmarks and the demo; nothing here is shipped."""

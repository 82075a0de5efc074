"""Counters that something else keeps: shown on `/metrics` as they stand, under counter names.

For: figures that the engine, the worker and the webhook senders count themselves, since no layer
below the edge may know the metrics library.
Guarantees: what is shown is what was set last; a counter that was never set shows as zero, so that
alerts on it are not silent for want of a series.
Does not: add.

Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.core import Metric


class Total(Collector):
    """One counter, with one label or none."""

    def __init__(self, name: str, documentation: str, label: str | None = None) -> None:
        self._name = name
        self._documentation = documentation
        self._label = label
        self._values: dict[str, float] = {} if label else {"": 0}
        REGISTRY.register(self)

    def set(self, value: float, of: str = "") -> None:
        """What it stands at."""
        self._values[of] = value

    def describe(self) -> Iterable[Metric]:
        """The name, without the values."""
        return [CounterMetricFamily(self._name, self._documentation)]

    def collect(self) -> Iterable[Metric]:
        """The values, once per scrape."""
        labels = [self._label] if self._label else []
        family = CounterMetricFamily(self._name, self._documentation, labels=labels)
        for of, value in sorted(self._values.items()):
            family.add_metric([of] if self._label else [], value)
        yield family


class Spread(Collector):
    """One histogram without labels, counted elsewhere by upper bounds."""

    def __init__(self, name: str, documentation: str) -> None:
        self._name = name
        self._documentation = documentation
        self._counts: Mapping[int, int] = {}
        self._sum = 0
        REGISTRY.register(self)

    def set(self, counts: Mapping[int, int], total: int) -> None:
        """How many stayed within each bound and above the bound before, and their sum."""
        self._counts, self._sum = counts, total

    def describe(self) -> Iterable[Metric]:
        """The name, without the values."""
        return [HistogramMetricFamily(self._name, self._documentation)]

    def collect(self) -> Iterable[Metric]:
        """The values, cumulative as the format wants them."""
        family = HistogramMetricFamily(self._name, self._documentation)
        seen, buckets = 0, []
        for bound, count in sorted(self._counts.items()):
            seen += count
            buckets.append((str(bound), seen))
        family.add_metric([], buckets=[*buckets, ("+Inf", seen)], sum_value=self._sum)
        yield family

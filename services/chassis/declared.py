"""Declarations of metrics: values beside the code that records, which become metrics where there is a registry."""

import dataclasses
from collections.abc import Iterable, Sequence

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily


@dataclasses.dataclass(frozen=True, slots=True)
class Label:
    """A label. What it says comes from a closed set: never a path, a key, or what a caller wrote.

    Attributes:
        name: its name.
        means: what it says, in a few words; where there are no `words`, whose names.
        words: all that it may say; None where that is in the configuration, or known to the process alone.
    """

    name: str
    means: str
    words: frozenset[str] | None = None


def one_of(name: str, words: Iterable[str], means: str = "") -> Label:
    """A label that says one of these words, and nothing else."""
    return Label(name, means, frozenset(words))


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """A metric that some process has.

    Attributes:
        name: as it is exported, but for what a histogram adds.
        help: one sentence, or two.
        labels: in the order in which values are given.
    """

    name: str
    help: str
    labels: Sequence[Label] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels' names, in order."""
        return tuple(label.name for label in self.labels)


@dataclasses.dataclass(frozen=True, slots=True)
class Counter(Metric):
    """What only grows."""

    def on(self, registry: prometheus_client.CollectorRegistry) -> prometheus_client.Counter:
        """The metric, for code that counts."""
        return prometheus_client.Counter(self.name, self.help, self.label_names, registry=registry)

    def now(self, value: float) -> CounterMetricFamily:
        """What a collector says that has counted by itself; for one without labels."""
        return CounterMetricFamily(self.name, self.help, value=value)


@dataclasses.dataclass(frozen=True, slots=True)
class Gauge(Metric):
    """What goes up and down."""

    def on(self, registry: prometheus_client.CollectorRegistry) -> prometheus_client.Gauge:
        """The metric, for code that sets it, or is asked."""
        return prometheus_client.Gauge(self.name, self.help, self.label_names, registry=registry)

    def now(self, value: float) -> GaugeMetricFamily:
        """What a collector says that looks when it is asked; for one without labels."""
        return GaugeMetricFamily(self.name, self.help, value=value)

    def each(self, values: Iterable[tuple[Sequence[str], float]]) -> GaugeMetricFamily:
        """The same for one with labels: their values, and its value, of each."""
        family = GaugeMetricFamily(self.name, self.help, labels=self.label_names)
        for labels, value in values:
            family.add_metric(labels, value)
        return family


@dataclasses.dataclass(frozen=True, slots=True)
class Histogram(Metric):
    """How values are spread.

    Attributes:
        buckets: upper bounds, ascending.
    """

    buckets: Sequence[float] = prometheus_client.Histogram.DEFAULT_BUCKETS

    def on(self, registry: prometheus_client.CollectorRegistry) -> prometheus_client.Histogram:
        """The metric, for code that observes."""
        return prometheus_client.Histogram(
            self.name, self.help, self.label_names, buckets=self.buckets, registry=registry
        )

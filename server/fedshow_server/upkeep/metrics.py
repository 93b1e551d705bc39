"""The server in numbers, as Prometheus reads them."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from fedshow.errors import Unreachable
from fedshow_server.calls import Answered
from fedshow_server.store import Store
from fedshow_server.store.counts import Counts, count_all

SECONDS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600)


class Metrics:
    """Counts while the server runs, and looks at the store whenever somebody asks."""

    def __init__(self, store: Store, free_bytes: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(_Stored(store))
        here, method = self._registry, ["method"]
        self._calls = Counter(
            "fedshow_calls",
            "Calls that ended, gRPC and HTTP.",
            ["method", "code"],
            registry=here,
        )
        self._seconds = Histogram(
            "fedshow_call_seconds", "Time of calls.", method, registry=here, buckets=SECONDS
        )
        self._sent = Counter("fedshow_sent_bytes", "Bytes answered.", method, registry=here)
        self._fusions = Counter("fedshow_fusions", "Fusions by end.", ["outcome"], registry=here)
        self._fusion_seconds = Gauge(
            "fedshow_fusion_seconds", "How long the last fusion took.", registry=here
        )
        self.superlink_starts = Gauge(
            "fedshow_superlink_starts", "Starts of Flower's SuperLink since our own.", registry=here
        )
        free = Gauge(
            "fedshow_disk_free_bytes", "Room under data folder and content.", registry=here
        )
        free.set_function(free_bytes)

    def answered(self, answered: Answered) -> None:
        """A call ended."""
        self._calls.labels(answered.method, answered.code).inc()
        self._seconds.labels(answered.method).observe(answered.seconds)
        self._sent.labels(answered.method).inc(answered.sent_bytes)

    def fused(self, succeeded: bool, seconds: float) -> None:
        """A fusion ended."""
        self._fusions.labels("released" if succeeded else "failed").inc()
        self._fusion_seconds.set(seconds)

    def text(self) -> bytes:
        """Everything in Prometheus' text format; blocks for as long as the database takes."""
        return generate_latest(self._registry)


class _Stored(Collector):
    """What the database knows; left out while it does not answer."""

    def __init__(self, store: Store) -> None:
        self._database = store.database

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: registering must not ask the database."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The numbers of now."""
        try:
            counts = count_all(self._database)
        except Unreachable:
            return
        yield _by_state(counts)
        for name, what, value in (
            ("releases", "Published releases.", counts.releases),
            ("nodes", "Nodes that are not revoked.", counts.nodes),
            ("audit_entries", "Entries of the audit log.", counts.audit_entries),
        ):
            yield GaugeMetricFamily(f"fedshow_{name}", what, value=value)


def _by_state(counts: Counts) -> GaugeMetricFamily:
    words = "Concepts; those wanted are the queue of what is to be collected."
    family = GaugeMetricFamily("fedshow_concepts", words, labels=["state"])
    for state, count in counts.concepts.items():
        family.add_metric([str(state)], count)
    return family

"""What `/metrics` shows, in a registry of its own for every server."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from streamtts.service import Service, ServiceStats

TTFA_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
LAG_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
LAG_SAMPLES = 600  # a minute, at ten a second


class Metrics:
    """Counters and clocks of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.connections = Gauge(
            "streamtts_connections", "Open WebSockets", registry=self._registry
        )
        self.ttfa = Histogram(
            "streamtts_ttfa_seconds",
            "From the first text of a context to its first chunk",
            buckets=TTFA_BUCKETS,
            registry=self._registry,
        )
        self._lag = Histogram(
            "streamtts_loop_lag_seconds",
            "How late the event loop wakes up",
            buckets=LAG_BUCKETS,
            registry=self._registry,
        )
        self._lag_p99 = Gauge(
            "streamtts_loop_lag_p99_seconds",
            "99th percentile of the loop's lag over the last minute",
            registry=self._registry,
        )
        self._lag_p99.set_function(self.loop_lag_p99_s)
        self._lags: deque[float] = deque(maxlen=LAG_SAMPLES)

    def watch(self, service: Service) -> None:
        """Shows a service's own numbers from now on."""
        self._registry.register(_ServiceCollector(service))

    def observe_lag(self, lag_s: float) -> None:
        """Takes one reading of the loop's lag."""
        self._lags.append(lag_s)
        self._lag.observe(lag_s)

    def loop_lag_p99_s(self) -> float:
        """The 99th percentile over the last minute; 0 before the first reading."""
        if not self._lags:
            return 0.0
        return sorted(self._lags)[min(len(self._lags) - 1, int(len(self._lags) * 0.99))]

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)


class _ServiceCollector(Collector):
    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        stats = self._service.stats()
        yield from _gauges(stats)
        for name, help_, value in (
            ("opened", "Contexts ever opened", stats.opened),
            ("chars", "Code points of text taken", stats.chars),
            ("audio_seconds", "Seconds of sound made", stats.audio_s),
            ("compute_seconds", "CPU seconds of the engine", stats.compute_s),
            ("steps", "Decoder steps of the engine", stats.steps),
            ("stream_steps", "Decoder steps of all streams", stats.stream_steps),
            ("underruns", "Chunks that came too late", stats.underruns),
            ("starved_seconds", "Silence because text had not come", stats.starved_s),
        ):
            yield CounterMetricFamily(f"streamtts_{name}", help_, value=value)
        ended = CounterMetricFamily(
            "streamtts_contexts_ended", "Contexts that have ended", labels=["how"]
        )
        for how, number in (
            ("done", stats.done),
            ("cancelled", stats.cancelled),
            ("failed", stats.failed),
        ):
            ended.add_metric([how], number)
        yield ended


def _gauges(stats: ServiceStats) -> Iterable[Metric]:
    for name, help_, value in (
        ("contexts", "Contexts alive", stats.contexts),
        ("slots", "Streams that can be spoken at a time", stats.slots),
        ("slots_used", "Streams that hold a slot", stats.streams),
        ("waiting", "Streams that wait for a slot", stats.waiting),
    ):
        yield GaugeMetricFamily(f"streamtts_{name}", help_, value=value)

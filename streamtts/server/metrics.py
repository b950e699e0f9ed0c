"""What `/metrics` shows; configs/METRICS.md lists it. Nothing is measured here but the loop."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from streamtts import __version__
from streamtts.tally import Distribution, Tally

if TYPE_CHECKING:
    from streamtts.service import Service
    from streamtts.stats import ServiceStats

PREFIX = "streamtts_"
LAG_BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
LAG_SAMPLES = 600  # a minute, at ten a second
REFUSALS = ("origin", "phase", "key", "connections", "capacity", "deadline")

Numbers: TypeAlias = "tuple[tuple[str, str, Callable[[ServiceStats], float]], ...]"

GAUGES: Numbers = (
    ("contexts", "Contexts alive", lambda s: s.contexts),
    ("slots", "Streams that can be spoken at a time", lambda s: s.slots),
    ("slots_used", "Streams that hold a slot", lambda s: s.streams),
    (
        "capacity_streams",
        "Streams that admission keeps in time",
        lambda s: s.capacity,
    ),
    ("waiting", "Streams that wait for a slot", lambda s: s.waiting),
)
COUNTERS: Numbers = (
    ("opened", "Contexts ever opened", lambda s: s.opened),
    ("chars", "Code points of text taken", lambda s: s.chars),
    ("audio_seconds", "Seconds of sound made", lambda s: s.audio_s),
    ("compute_seconds", "CPU seconds of the engine", lambda s: s.compute_s),
    ("steps", "Decoder steps of the engine", lambda s: s.steps),
    ("stream_steps", "Decoder steps of all streams", lambda s: s.stream_steps),
    ("underruns", "Chunks that came too late", lambda s: s.underruns),
    ("starved_seconds", "Silence because text had not come", lambda s: s.starved_s),
    ("cancel_steps", "Decoder steps made in vain, after a cancel", lambda s: s.cancel_steps),
)
HISTOGRAMS: tuple[tuple[str, str, Callable[[ServiceStats], Distribution]], ...] = (
    ("ttfa_seconds", "From the first text of a context to its first chunk", lambda s: s.ttfa_s),
    ("ftts_seconds", "From the first text to the first sound heard", lambda s: s.ftts_s),
    ("queue_seconds", "How long streams waited for a slot", lambda s: s.queue_s),
    ("step_seconds", "Wall time of one decoder step", lambda s: s.step_s),
    ("step_rows", "Streams in one decoder step", lambda s: s.step_rows),
    ("vocoder_seconds", "Wall time of one vocoder call", lambda s: s.vocoder_s),
    ("vocoder_rows", "Streams in one vocoder call", lambda s: s.vocoder_rows),
    ("cancel_seconds", "From a cancel to the free slot", lambda s: s.cancel_s),
)
ENDS: Numbers = (
    ("done", "", lambda s: s.done),
    ("cancelled", "", lambda s: s.cancelled),
    ("failed", "", lambda s: s.failed),
)


class Metrics:
    """Counts and clocks of one server.

    Attributes:
        ready: the server takes contexts.
        connections: open WebSockets.
        connected: WebSockets ever opened.
        slow_closes: connections closed because their client had stopped reading.
        sent_bytes: of frames written to sockets.
        refused: who was turned away before the service was asked, by reason.
        outboxes: set by the gateway: of every connection, bytes that wait, and whether they are so
            many that its contexts are descheduled.
    """

    def __init__(self) -> None:
        self.ready = False
        self.connections = 0
        self.connected = 0
        self.slow_closes = 0
        self.sent_bytes = 0
        self.refused: Counter[str] = Counter()
        self.outboxes: Callable[[], Iterable[tuple[int, bool]]] = lambda: ()
        self._lag = Tally(LAG_BOUNDS_S)
        self._lags: deque[float] = deque(maxlen=LAG_SAMPLES)
        self._service: Service | None = None
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(self._collect))
        ProcessCollector(registry=self._registry)

    def watch(self, service: Service) -> None:
        """Shows a service's own numbers from now on."""
        self._service = service

    def observe_lag(self, lag_s: float) -> None:
        """Takes one reading of the loop's lag."""
        self._lags.append(lag_s)
        self._lag.add(lag_s)

    def loop_lag_p99_s(self) -> float:
        """The 99th percentile over the last minute; 0 before the first reading."""
        if not self._lags:
            return 0.0
        return sorted(self._lags)[min(len(self._lags) - 1, int(len(self._lags) * 0.99))]

    def render(self) -> bytes:
        """The text that Prometheus reads; call it on the loop."""
        return generate_latest(self._registry)

    def _collect(self) -> Iterable[Metric]:
        stats = self._service.stats() if self._service else None
        yield from self._server(stats)
        if stats is not None:
            yield from _service(stats)

    def _server(self, stats: ServiceStats | None) -> Iterable[Metric]:
        outboxes = list(self.outboxes())
        for name, help_, value in (
            ("ready", "1 while contexts are taken", float(self.ready)),
            ("connections", "Open WebSockets", self.connections),
            ("outbox_bytes", "Bytes that wait for clients", sum(size for size, _ in outboxes)),
            (
                "slow_readers",
                "Connections so slow that their contexts are descheduled",
                sum(full for _, full in outboxes),
            ),
            (
                "loop_lag_p99_seconds",
                "99th percentile of the loop's lag over the last minute",
                self.loop_lag_p99_s(),
            ),
            ("tasks", "Tasks of the event loop", _tasks()),
            ("threads", "Threads that Python knows", threading.active_count()),
        ):
            yield GaugeMetricFamily(PREFIX + name, help_, value=value)
        build = GaugeMetricFamily(f"{PREFIX}build_info", "Always 1", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        for name, help_, value in (
            ("connected", "WebSockets ever opened", self.connected),
            ("slow_reader_closes", "Connections closed for not reading", self.slow_closes),
            ("sent_bytes", "Bytes written to WebSockets", self.sent_bytes),
        ):
            yield CounterMetricFamily(PREFIX + name, help_, value=value)
        refused = dict(self.refused)
        if stats is not None:
            refused |= {"capacity": stats.refused, "deadline": stats.expired}
        yield _labelled(
            "refused", "Connections and contexts turned away", "reason", REFUSALS, refused
        )
        yield _histogram("loop_lag_seconds", "How late the event loop wakes", self._lag.snapshot())


class _Collector(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering asks nobody for numbers."""
        return ()


def _service(stats: ServiceStats) -> Iterable[Metric]:
    for name, help_, value in GAUGES:
        yield GaugeMetricFamily(PREFIX + name, help_, value=value(stats))
    for name, help_, value in COUNTERS:
        yield CounterMetricFamily(PREFIX + name, help_, value=value(stats))
    for name, help_, distribution in HISTOGRAMS:
        yield _histogram(name, help_, distribution(stats))
    ended = {how: value(stats) for how, _, value in ENDS}
    yield _labelled("contexts_ended", "Contexts that have ended", "how", tuple(ended), ended)
    leads = sorted(stats.leads_s)
    lead = GaugeMetricFamily(
        f"{PREFIX}lead_seconds", "Sound that listeners have not played yet", labels=["stat"]
    )
    if leads:
        lead.add_metric(["min"], leads[0])
        lead.add_metric(["p50"], leads[len(leads) // 2])
    yield lead


def _labelled(
    name: str, help_: str, label: str, values: Iterable[str], numbers: Mapping[str, float]
) -> Metric:
    """A counter with one label, whose values are all shown from the start."""
    family = CounterMetricFamily(PREFIX + name, help_, labels=[label])
    for value in values:
        family.add_metric([value], numbers.get(value, 0))
    return family


def _histogram(name: str, help_: str, distribution: Distribution) -> Metric:
    buckets, below = [], 0
    for bound, count in zip((*distribution.bounds, float("inf")), distribution.counts, strict=True):
        below += count
        buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), below))
    return HistogramMetricFamily(PREFIX + name, help_, buckets, distribution.total)


def _tasks() -> int:
    """Tasks of the running loop; 0 without one."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0

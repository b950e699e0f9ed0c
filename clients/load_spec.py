"""What a load run is asked to do, and what it reports: plain structs that become JSON as they are.

Words used here: a *stream* is one context of one listener. The *window* is the measured part of a
run: it begins at 0 s, after the ramp, and is `seconds` long. A *gap* is the time between the
arrivals of two chunks of a stream.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from streamtts.errors import BadField

DEFAULT_LAG_LIMIT_MS = 2.0
DEFAULT_AUDIO_S = 17.0
_POSITIVE = ("streams", "seconds", "tokens_per_s", "overload", "per_connection", "audio_s")
_NOT_NEGATIVE = ("ramp_s", "tail_s", "lag_limit_ms", "s_per_char")


class LoadSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Attributes:
        url: `ws://host:port`.
        streams: streams alive on average (poisson), or started at once (burst).
        seconds: length of the window.
        seed: of arrivals and texts; the same seed is the same load.
        arrival: "poisson" for an open process with a ramp, "burst" for all at once and no more.
        text: "whole" sends a stream's text at once, "tokens" at `tokens_per_s`.
        tokens_per_s: a token is a word with its leading space, cut in two above 7 letters.
        lead_ms: how far ahead of its playback sound may be; None for the server's default.
        frame_ms: length of a chunk; None for the server's default.
        overload: starts that many times as many streams as keep `streams` alive.
        key: of the server; empty for none.
        voice: id of a voice; empty for the server's default.
        per_connection: contexts on one connection.
        audio_s: speech per stream, in seconds, on average.
        sentences: to speak; empty for the built-in ones.
        s_per_char: seconds of speech per character of text; 0 to measure it with one utterance.
        ramp_s: time before the window in which the first streams are started.
        tail_s: how long after the window a first sound may still be waited for.
        pid: of the server, for its CPU time and memory; 0 for what `/metrics` tells.
        priority: of this process while it runs; "highest" is what the system allows.
        lag_limit_ms: a run in which the client's own lag p99 was larger is void.
    """

    url: str = "ws://127.0.0.1:8765"
    streams: int = 8
    seconds: float = 60.0
    seed: int = 0
    arrival: Literal["poisson", "burst"] = "poisson"
    text: Literal["whole", "tokens"] = "whole"
    tokens_per_s: float = 20.0
    lead_ms: int | None = None
    frame_ms: int | None = None
    overload: float = 1.0
    key: str = ""
    voice: str = ""
    per_connection: int = 1
    audio_s: float = DEFAULT_AUDIO_S
    sentences: tuple[str, ...] = ()
    s_per_char: float = 0.0
    ramp_s: float = 5.0
    tail_s: float = 2.0
    pid: int = 0
    priority: Literal["highest", "normal"] = "highest"
    lag_limit_ms: float = DEFAULT_LAG_LIMIT_MS

    def check(self) -> None:
        """Looks at the numbers.

        Raises:
            BadField: one of them makes no sense; the message names it.
        """
        for name in (*_POSITIVE, *_NOT_NEGATIVE):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0 or (name in _POSITIVE and value == 0):
                least = "above 0" if name in _POSITIVE else "0 or more"
                raise BadField(f"{name}: is {value:g}; must be {least}")


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution in five numbers; zeros when nothing was measured (`n` tells)."""

    n: int = 0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one stream went.

    Attributes:
        number: in the order of their starts.
        start_s: when it came, from the begin of the window; below 0 in the ramp.
        measured: it came inside the window.
        connect_ms: to the server's `ready`; 0 on a connection that was there already.
        ttfa_ms: all text given (tokens: the first delta) -> first chunk with sound; None without.
        queue_ms: how long the server says that it waited.
        gaps: between its chunks, in ms, inside the window.
        underruns: chunks that came too late, inside the window.
        late_ms: by how much in all.
        starved_ms: silence because the text had not come, inside the window.
        audio_s: sound that arrived, over its whole life.
        chunks: that arrived, over its whole life.
        refused: the code of a refusal (capacity, loading, context_limit), or empty.
        refusal_ms: text given, or connection asked for -> refusal.
        error: what else went wrong, or empty.
        done: it was spoken to its end.
    """

    number: int
    start_s: float
    measured: bool
    connect_ms: float = 0.0
    ttfa_ms: float | None = None
    queue_ms: float = 0.0
    gaps: Spread = Spread()
    underruns: int = 0
    late_ms: float = 0.0
    starved_ms: float = 0.0
    audio_s: float = 0.0
    chunks: int = 0
    refused: str = ""
    refusal_ms: float | None = None
    error: str = ""
    done: bool = False


class Second(msgspec.Struct, frozen=True, kw_only=True):
    """One second of the window.

    Attributes:
        at_s: its begin.
        alive: streams whose listeners had not heard their end.
        chunks: that arrived.
        gap_p50_ms, gap_p99_ms, gap_max_ms: gaps that ended in it.
        underruns: in it.
    """

    at_s: int
    alive: int = 0
    chunks: int = 0
    gap_p50_ms: float = 0.0
    gap_p99_ms: float = 0.0
    gap_max_ms: float = 0.0
    underruns: int = 0


class ServerUse(msgspec.Struct, frozen=True, kw_only=True):
    """What the server used inside the window.

    Attributes:
        source: where that is known from: "/proc" (with children) or "/metrics".
        cpu_s: CPU time.
        cpu_s_per_audio_s: over the audio that arrived in the window.
        rss_start_bytes, rss_peak_bytes, rss_end_bytes: resident memory; 0 when not known.
    """

    source: str
    cpu_s: float
    cpu_s_per_audio_s: float
    rss_start_bytes: int = 0
    rss_peak_bytes: int = 0
    rss_end_bytes: int = 0


class ClientUse(msgspec.Struct, frozen=True, kw_only=True):
    """What the load client itself was like.

    Attributes:
        lag_ms: how late its timers fired inside the window, whatever the reason.
        cpu_s: its CPU time in the window.
        cpu_us_per_chunk: the same over the chunks that arrived in the window, all else included.
        waited_s: time in the window in which it could have run but had no core (0: not known).
        priority: what it ran at.
        loop: the event loop it ran on.
    """

    lag_ms: Spread
    cpu_s: float
    cpu_us_per_chunk: float
    waited_s: float
    priority: str
    loop: str


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a run went. Numbers are of the window unless they say otherwise.

    Attributes:
        spec: what was asked for, without the key, with the `s_per_char` that was used.
        measured_s: length of the window; shorter than asked for in a partial run.
        rate_per_s: streams started a second, by design.
        started: streams that came in the window.
        alive_mean, alive_max: listeners who had not heard the end of their stream.
        ttfa_ms: of streams that came in the window; one that waits still counts as it stands.
        unanswered: of those, streams without a sound and without a refusal at the very end.
        connect_ms: to `ready`.
        gap_ms: between chunks.
        underruns: chunks that came too late.
        underrun_streams: streams that had one or more.
        doubtful: underruns no later than the client itself lagged then; counted all the same.
        ramp_underruns: underruns before the window.
        starved_ms: silence because text had not come.
        refused: streams of the window that were refused, by code.
        ramp_refused: streams refused before.
        refusal_ms: how long a refusal took.
        errors: streams that failed, by reason.
        audio_s: sound that arrived.
        goodput: seconds of sound that arrived in time, per second.
        server: None when neither `pid` nor `/metrics` tells.
        timeline: second by second.
        streams: every stream, those of the ramp as well.
        void: the numbers do not count ...
        void_reason: ... because of this.
        partial: why the run ended early, or empty.
    """

    spec: LoadSpec
    measured_s: float
    rate_per_s: float
    started: int
    alive_mean: float
    alive_max: int
    ttfa_ms: Spread
    unanswered: int
    connect_ms: Spread
    gap_ms: Spread
    underruns: int
    underrun_streams: int
    doubtful: int
    ramp_underruns: int
    starved_ms: float
    refused: dict[str, int]
    ramp_refused: int
    refusal_ms: Spread
    errors: dict[str, int]
    audio_s: float
    goodput: float
    server: ServerUse | None
    client: ClientUse
    timeline: tuple[Second, ...]
    streams: tuple[StreamReport, ...]
    void: bool
    void_reason: str
    partial: str

    @property
    def clean(self) -> bool:
        """Every stream that came was served, and none of its chunks was late."""
        refused = self.refused or self.ramp_refused
        return not (self.underruns or refused or self.errors or self.unanswered or self.partial)


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a search for the streams sustained.

    Attributes:
        report: without its streams and its timeline.
        sustained: it was clean and not void.
        why: what was wrong otherwise.
        kind: "probe" while bisecting, "confirm" for the long runs that decide.
    """

    streams: int
    seed: int
    seconds: float
    sustained: bool
    why: str
    kind: Literal["probe", "confirm"]
    report: LoadReport


class SustainedReport(msgspec.Struct, frozen=True, kw_only=True):
    """The largest number of streams without an underrun, and how it was found.

    Attributes:
        streams: confirmed with every seed; 0 when not even the least was.
        bounded: the search ended at its upper bound, so that it may be more.
        void: no number can be given ...
        void_reason: ... because of this.
    """

    streams: int
    bounded: bool
    probes: tuple[Probe, ...]
    void: bool
    void_reason: str

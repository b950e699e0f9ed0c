"""Reports of the load client, made up."""

import msgspec

from support.client_modules import client_module

load_spec = client_module("load_spec")


def report(spec=None, **changes):
    """A clean run of a spec, but for what is told."""
    spread = load_spec.Spread(n=100, p50=10.0, p95=20.0, p99=30.0, max=40.0)
    spec = spec or load_spec.LoadSpec()
    lag = load_spec.Spread(n=1200, p50=0.1, p95=0.2, p99=0.3, max=0.9)
    clean = load_spec.LoadReport(
        spec=spec,
        measured_s=spec.seconds,
        rate_per_s=spec.streams / 17.0,
        started=100,
        alive_mean=float(spec.streams),
        alive_max=spec.streams + 5,
        ttfa_ms=spread,
        unanswered=0,
        connect_ms=spread,
        gap_ms=spread,
        underruns=0,
        underrun_streams=0,
        doubtful=0,
        ramp_underruns=0,
        starved_ms=0.0,
        refused={},
        ramp_refused=0,
        refusal_ms=load_spec.Spread(),
        errors={},
        audio_s=spec.streams * spec.seconds,
        goodput=float(spec.streams),
        server=load_spec.ServerUse(source="/proc", cpu_s=12.0, cpu_s_per_audio_s=0.0125,
                                   rss_start_bytes=2**28, rss_peak_bytes=2**29,
                                   rss_end_bytes=2**28),
        client=load_spec.ClientUse(lag_ms=lag, cpu_s=1.0, cpu_us_per_chunk=25.0, waited_s=0.1,
                                   priority="real-time", loop="uvloop"),
        timeline=tuple(load_spec.Second(at_s=at, alive=8, chunks=9, gap_p99_ms=40.0)
                       for at in range(3)),
        streams=(load_spec.StreamReport(number=0, start_s=1.0, measured=True, ttfa_ms=10.0),),
        void=False,
        void_reason="",
        partial="",
    )  # fmt: skip
    return msgspec.structs.replace(clean, **changes)

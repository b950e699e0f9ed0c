#!/usr/bin/env python3
"""What one decoder step and one vocoder call cost, and which operators cost it; one thread.

python tests/bench/profile_step.py [--voice rms] [--rows 1 8 32 64 128] [--frames 8] [--profile 32]
    [--bfloat16]

Call by call: the median wall and CPU time of all calls, interleaved over the numbers of rows, and
the page faults a call, which are what memory costs that is given back and asked for again. By
operator: torch.profiler's self CPU time; profiling itself makes small operators look dearer.
"""

import argparse
import resource
import sys
import time

import torch
from bench_report import machine, percentile
from torch.profiler import ProfilerActivity, profile

import streamtts
from streamtts.voice.store import load_voice

WARM_UP = 5
SHOWN = 14
STEPS_A_SYMBOL = 3.4


def say(line=""):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def decoder_call(voice, rows):
    """One decoder step of `rows` rows, of which as many move as in speech."""
    acoustic = voice.acoustic.prepare()
    moved = torch.arange(round(rows / STEPS_A_SYMBOL))
    memory = torch.randn(2, len(moved), acoustic.config.memory_width)
    state, follows = acoustic.decoder_zeros(rows), torch.ones(len(moved), dtype=torch.bool)
    return lambda: acoustic.advance(moved, memory[0], memory[1], follows, state)


def vocoder_call(voice, rows, frames):
    """One vocoder call of `rows` rows and `frames` frames: voiced, of about a speaking level."""
    n_mels = voice.vocoder.config.n_mels
    sound = 0.1 * torch.randn(rows, frames, n_mels + 2)
    sound[..., :n_mels] -= 4.0
    sound[..., n_mels] += voice.manifest.f0_mean_ln
    sound[..., n_mels + 1] = 1.0
    _, state = voice.vocoder.step(sound, voice.vocoder.zeros(rows, torch.arange(rows)))
    return lambda: voice.vocoder.step(sound, state)


def timed(calls, repeats):
    """(wall, cpu, page faults) of each call, medians, in s; all calls take turns."""
    seen = [[] for _ in calls]
    for _ in range(repeats):
        for call, taken in zip(calls, seen, strict=True):
            for _ in range(WARM_UP):
                call()
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            wall_s, cpu_s = time.perf_counter(), time.thread_time()
            call()
            cpu_s, wall_s = time.thread_time() - cpu_s, time.perf_counter() - wall_s
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
            taken.append((wall_s, cpu_s, faults))
    return [tuple(percentile(column, 50) for column in zip(*s, strict=True)) for s in seen]


def print_costs(name, rows, calls, audio_s, repeats):
    """One line for each number of rows."""
    say(f"\n## {name}, {1e3 * audio_s:g} ms of sound a row\n")
    say("| rows | wall ms | CPU ms | ms a stream's second | page faults |")
    say("|---|---|---|---|---|")
    for b, (wall_s, cpu_s, faults) in zip(rows, timed(calls, repeats), strict=True):
        share = 1e3 * cpu_s / (b * audio_s)
        say(f"| {b} | {1e3 * wall_s:.2f} | {1e3 * cpu_s:.2f} | {share:.2f} | {faults:.0f} |")


def print_profile(name, call, repeats):
    """The operators that cost most, each with its share and how often a call runs it."""
    for _ in range(WARM_UP):
        call()
    with profile(activities=[ProfilerActivity.CPU]) as prof:
        for _ in range(repeats):
            call()
    operators = sorted(prof.key_averages(), key=lambda o: -o.self_cpu_time_total)
    total = sum(o.self_cpu_time_total for o in operators)
    count = sum(o.count for o in operators) / repeats
    say(f"\n## {name}, by operator: {total / repeats / 1e3:.2f} ms, {count:.0f} operators\n")
    say("| operator | us a call | share | times |")
    say("|---|---|---|---|")
    for o in operators[:SHOWN]:
        own = o.self_cpu_time_total
        say(f"| {o.key} | {own / repeats:.0f} | {own / total:.0%} | {o.count / repeats:.0f} |")
    rest = sum(o.self_cpu_time_total for o in operators[SHOWN:])
    say(f"| the rest | {rest / repeats:.0f} | {rest / total:.0%} | |")


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voice", default="rms")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 32, 64, 128])
    parser.add_argument("--frames", type=int, default=8, help="of a vocoder call (default 8)")
    parser.add_argument("--profile", type=int, nargs="*", default=[32], help="rows (default 32)")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--bfloat16", action="store_true", help="the vocoder's net in bfloat16")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    voice = load_voice(args.voice)
    if args.bfloat16 and not voice.vocoder.use_bfloat16():
        parser.error("this processor is not faster in bfloat16")
    frame_s = voice.vocoder.hop_length / voice.vocoder.sample_rate
    say(
        f"# One decoder step, one vocoder call\nmachine: {machine()}\ncode:    {streamtts.__path__}"
    )
    say(f"config:  voice {args.voice}, one torch thread, median of {args.repeats} calls")
    say(f"         vocoder's net in {'bfloat16' if args.bfloat16 else 'float32'}")

    calls = [decoder_call(voice, b) for b in args.rows]
    step_s = voice.acoustic.reduction_factor * frame_s
    print_costs("decoder step", args.rows, calls, step_s, args.repeats)
    calls = [vocoder_call(voice, b, args.frames) for b in args.rows]
    frames_s = args.frames * frame_s
    print_costs(f"vocoder, {args.frames} frames", args.rows, calls, frames_s, args.repeats)
    for b in args.profile:
        print_profile(f"decoder step, {b} rows", decoder_call(voice, b), args.repeats)
        name = f"vocoder, {b} rows of {args.frames} frames"
        print_profile(name, vocoder_call(voice, b, args.frames), args.repeats)


if __name__ == "__main__":
    main()

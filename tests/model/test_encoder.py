"""Streaming equals offline for any cut; a symbol depends on its look-ahead and on no more."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny import random_features, tiny_acoustic

from streamtts.model.acoustic import EncodeJob, Future

MODEL = tiny_acoustic()
SPEAKER = MODEL.prepare()


def offline(features, cut=-1):
    return MODEL.encoder(features[None], torch.tensor([len(features)]), torch.tensor([cut]))[0]


def streamed(features, sizes, state=None, last=Future.END):
    state = state or SPEAKER.encoder_zeros()
    out, at = [], 0
    for size in sizes:
        memory, state = SPEAKER.encode(features[at : at + size].numpy(), state, Future.MORE)
        out.append(memory)
        at += size
    memory, state = SPEAKER.encode(features[at:].numpy(), state, last)
    return torch.cat([*out, memory]), state


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 40), sizes=st.lists(st.integers(0, 9), max_size=12), seed=st.integers(0, 9))
def test_streaming_equals_offline_for_any_cut(n, sizes, seed):
    features = random_features(n, seed)
    got, _ = streamed(features, sizes)
    torch.testing.assert_close(got, offline(features), atol=1e-5, rtol=1e-4)


def test_a_symbol_comes_out_when_its_lookahead_is_there():
    features = random_features(10).numpy()
    ahead = MODEL.encoder.lookahead
    memory, _ = SPEAKER.encode(features, SPEAKER.encoder_zeros(), Future.MORE)
    assert len(memory) == 10 - ahead
    assert MODEL.lookahead_symbols == ahead + 1 == 4


def test_causality():
    features = random_features(20)
    changed = features.clone()
    changed[12, 0] = (changed[12, 0] - 1) % 40 + 2
    a, b = offline(features), offline(changed)
    first = 12 - MODEL.encoder.lookahead
    torch.testing.assert_close(a[:first], b[:first], atol=1e-6, rtol=0)
    assert (a[first] - b[first]).abs().max() > 1e-4


@pytest.mark.parametrize("cut", [0, 1, 4, 12])
def test_a_stall_reads_as_in_training(cut):
    features = random_features(16, seed=3)
    known, state = streamed(features[: cut + 1], [1] * (cut // 2), last=Future.UNKNOWN)
    rest, _ = streamed(features[cut + 1 :], [2], state)
    want = offline(features, cut)
    torch.testing.assert_close(torch.cat([known, rest]), want, atol=1e-5, rtol=1e-4)
    assert (want - offline(features)).abs().max() > 1e-4


def test_a_new_sentence_knows_nothing_of_the_last():
    a, b = random_features(9, 1), random_features(7, 2)
    _, state = streamed(a, [4])
    got, _ = streamed(b, [3], state)
    torch.testing.assert_close(got, offline(b), atol=1e-5, rtol=1e-4)


def test_memory_does_not_grow():
    zeros = state = SPEAKER.encoder_zeros()
    for i in range(200):
        _, state = SPEAKER.encode(random_features(5, i).numpy(), state, Future.MORE)
    assert state.codes.shape == zeros.codes.shape
    assert state.past.shape == zeros.past.shape
    assert state.past.untyped_storage().nbytes() == zeros.past.untyped_storage().nbytes()
    assert state.pending <= MODEL.encoder.lookahead


CALLS = st.lists(
    st.lists(
        st.tuples(st.sampled_from([0, 0, 1, 2, 3, 6, 17, 64]), st.sampled_from(list(Future))),
        min_size=1,
        max_size=6,
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40, deadline=None)
@given(streams=CALLS, seed=st.integers(0, 9))
def test_a_batch_equals_one_by_one(streams, seed):
    """Streams of any lengths and futures; those that have no more calls drop out."""
    alone = [SPEAKER.encoder_zeros() for _ in streams]
    batched = list(alone)
    for turn in range(max(map(len, streams))):
        rows = [b for b, calls in enumerate(streams) if turn < len(calls)]
        jobs = [
            EncodeJob(
                random_features(streams[b][turn][0], seed + 31 * b + turn).numpy(),
                batched[b],
                streams[b][turn][1],
            )
            for b in rows
        ]
        for b, job, (memory, state) in zip(rows, jobs, SPEAKER.encode_batch(jobs), strict=True):
            want, alone[b] = SPEAKER.encode(job.features, alone[b], job.future)
            torch.testing.assert_close(memory, want, atol=2e-6, rtol=1e-6)
            torch.testing.assert_close(state.past, alone[b].past, atol=2e-6, rtol=1e-6)
            assert (state.pending, state.seen) == (alone[b].pending, alone[b].seen)
            batched[b] = state


def test_a_batch_pins_nothing_of_its_neighbours():
    jobs = [
        EncodeJob(random_features(9, i).numpy(), SPEAKER.encoder_zeros(), f)
        for i, f in enumerate([Future.MORE, Future.UNKNOWN, Future.MORE])
    ]
    for memory, state in SPEAKER.encode_batch(jobs):
        for part in (memory, state.past):
            assert part.untyped_storage().nbytes() == part.numel() * part.element_size()
        assert state.codes.base is None


def test_nothing_new_changes_nothing():
    nothing = random_features(0).numpy()
    state = SPEAKER.encode(random_features(2).numpy(), SPEAKER.encoder_zeros(), Future.UNKNOWN)[1]
    (more, a), (unknown, b), (end, c) = SPEAKER.encode_batch(
        [EncodeJob(nothing, state, future) for future in (Future.MORE, Future.UNKNOWN, Future.END)]
    )
    assert more.shape == unknown.shape == end.shape == (0, MODEL.config.memory_width)
    assert a is state
    assert b is state
    assert c.seen == 0
    assert SPEAKER.encode_batch([]) == []

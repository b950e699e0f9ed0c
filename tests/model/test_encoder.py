"""Streaming equals offline for any cut; a symbol depends on its look-ahead and on no more."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny import random_features, tiny_acoustic

from streamtts.model.acoustic import Future

MODEL = tiny_acoustic()


def offline(features, cut=-1):
    return MODEL.encoder(features[None], torch.tensor([len(features)]), torch.tensor([cut]))[0]


def streamed(features, sizes, state=None, last=Future.END):
    state = state or MODEL.encoder_zeros()
    out, at = [], 0
    for size in sizes:
        memory, state = MODEL.encode(features[at : at + size], state, Future.MORE)
        out.append(memory)
        at += size
    memory, state = MODEL.encode(features[at:], state, last)
    return torch.cat([*out, memory]), state


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 40), sizes=st.lists(st.integers(0, 9), max_size=12), seed=st.integers(0, 9))
def test_streaming_equals_offline_for_any_cut(n, sizes, seed):
    features = random_features(n, seed)
    got, _ = streamed(features, sizes)
    torch.testing.assert_close(got, offline(features), atol=1e-5, rtol=1e-4)


def test_a_symbol_comes_out_when_its_lookahead_is_there():
    features = random_features(10)
    ahead = MODEL.encoder.lookahead
    memory, _ = MODEL.encode(features, MODEL.encoder_zeros(), Future.MORE)
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
    state = MODEL.encoder_zeros()
    for i in range(200):
        _, state = MODEL.encode(random_features(5, i), state, Future.MORE)
    assert len(state.tail) <= MODEL.encoder.past + MODEL.encoder.lookahead

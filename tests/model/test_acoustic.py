"""Steps equal whole sequences; rows do not feel each other; the attention is monotonic."""

import torch
from support.tiny import random_features, tiny_acoustic

from streamtts.model.acoustic import Future
from streamtts.nn.state import select, stack

MODEL = tiny_acoustic()


def memory_of(n, seed):
    features = random_features(n, seed)
    return MODEL.encode(features, MODEL.encoder_zeros(), Future.END)[0]


def speak(memories):
    """All rows stepped together until each is through; returns per row frames and positions."""
    B = len(memories)
    state = MODEL.decoder_zeros(B)
    at = [0] * B
    frames = [[] for _ in range(B)]
    positions = [[] for _ in range(B)]
    for _ in range(2000):
        if all(at[b] >= len(memories[b]) for b in range(B)):
            break
        here = torch.stack([m[min(at[b], len(m) - 1)] for b, m in enumerate(memories)])
        following = torch.stack([m[min(at[b] + 1, len(m) - 1)] for b, m in enumerate(memories)])
        has = torch.tensor([at[b] + 1 < len(m) for b, m in enumerate(memories)])
        out, state = MODEL.step(here, following, has, state)
        for b, m in enumerate(memories):
            if at[b] < len(m):
                frames[b].append(out.frames[b])
                positions[b].append(at[b])
                at[b] += int(out.leave[b])
    return [torch.cat(f) for f in frames], positions, state


def test_steps_equal_the_whole_sequence():
    memory = memory_of(12, 1)
    frames, positions, state = speak([memory])
    at = torch.tensor(positions[0])
    starts = {p: positions[0].index(p) for p in set(positions[0])}
    dwell = torch.tensor([t - starts[p] for t, p in enumerate(positions[0])])
    following = memory[(at + 1).clamp(max=len(memory) - 1)]
    _, after, _ = MODEL.decoder(
        memory[at][None], following[None], (at + 1 < len(memory))[None], dwell[None]
    )
    want = MODEL.natural(after)[0]
    tail, _ = MODEL.flush(state)
    got = torch.cat([frames[0], tail[0]])[MODEL.lookahead_frames :]
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


def test_every_symbol_is_visited_once_and_in_order():
    _, positions, _ = speak([memory_of(30, 2)])
    assert sorted(set(positions[0])) == list(range(30))
    assert all(0 <= b - a <= 1 for a, b in zip(positions[0], positions[0][1:], strict=False))


def test_a_row_never_feels_its_neighbours():
    memories = [memory_of(n, n) for n in (5, 20, 9, 13)]
    crowd, positions, _ = speak(memories)
    for memory, frames, at in zip(memories, crowd, positions, strict=True):
        alone, alone_at, _ = speak([memory])
        assert at == alone_at[0]
        torch.testing.assert_close(frames, alone[0], atol=1e-4, rtol=1e-4)


def test_restart_forgets_the_sentence_of_those_rows_only():
    memories = [memory_of(6, 1), memory_of(6, 2)]
    _, _, state = speak(memories)
    after = MODEL.restart(state, torch.tensor([True, False]))
    fresh = MODEL.decoder_zeros(2)
    assert torch.equal(after.recurrent.first.hidden[0], fresh.recurrent.first.hidden[0])
    assert torch.equal(after.recurrent.first.hidden[1], state.recurrent.first.hidden[1])
    assert torch.equal(after.postnet.waiting, state.postnet.waiting)


def test_states_stack_and_select():
    _, _, one = speak([memory_of(6, 1)])
    _, _, two = speak([memory_of(6, 2)])
    back = select(stack([one, two]), torch.tensor([1]))
    assert torch.equal(back.postnet.waiting, two.postnet.waiting)

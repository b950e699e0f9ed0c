"""Steps equal whole sequences; rows do not feel each other; the attention is monotonic."""

import pytest
import torch
from support.tiny import random_features, tiny_acoustic

from streamtts.model.acoustic import AcousticModel, EncodeJob, Future
from streamtts.nn.state import select, stack

MODEL = tiny_acoustic()
SPEAKER = MODEL.prepare()


def memory_of(n, seed, speaker=SPEAKER):
    features = random_features(n, seed).numpy()
    return speaker.encode(features, speaker.encoder_zeros(), Future.END)[0]


def read(memories, at, stalled=frozenset()):
    """What rows at these positions read; a stalled row does not know what follows."""
    rows = list(zip(at, memories, strict=True))
    here = torch.stack([m[min(i, len(m) - 1)] for i, m in rows])
    following = torch.stack([m[min(i + 1, len(m) - 1)] for i, m in rows])
    has = [i + 1 < len(m) and b not in stalled for b, (i, m) in enumerate(rows)]
    return here, following, torch.tensor(has)


def speak(memories, speaker=SPEAKER, *, whole=False):
    """All rows stepped together until each is through; returns per row frames and positions.

    Args:
        memories: of each row.
        speaker: who steps.
        whole: reads the memory of all rows at each step, else of those that moved only.
    """
    B = len(memories)
    state = speaker.decoder_zeros(B)
    at, moved = [0] * B, list(range(B))
    frames = [[] for _ in range(B)]
    positions = [[] for _ in range(B)]
    for _ in range(2000):
        if all(at[b] >= len(memories[b]) for b in range(B)):
            break
        rows = torch.tensor(moved, dtype=torch.int64)
        what = read(memories, at)
        if not whole:
            what = tuple(part[rows] for part in what)
        out = speaker.advance(None if whole else rows, *what, state)
        moved = []
        for b, m in enumerate(memories):
            if at[b] < len(m):
                frames[b].append(out.frames[b])
                positions[b].append(at[b])
                if out.leave[b]:
                    at[b] += 1
                    moved.append(b)
    return [torch.cat(f) for f in frames], positions, state


def trained(memory, positions, model=MODEL):
    """The frames that training computes along an alignment."""
    at = torch.tensor(positions)
    starts = {p: positions.index(p) for p in set(positions)}
    dwell = torch.tensor([t - starts[p] for t, p in enumerate(positions)])
    following = memory[(at + 1).clamp(max=len(memory) - 1)]
    _, after, _ = model.decoder(
        memory[at][None], following[None], (at + 1 < len(memory))[None], dwell[None]
    )
    return model.natural(after)[0]


@pytest.mark.parametrize("whole", [False, True], ids=["moved rows", "all rows"])
def test_steps_equal_the_whole_sequence(whole):
    memory = memory_of(12, 1)
    frames, positions, state = speak([memory], whole=whole)
    got = torch.cat([frames[0], SPEAKER.flush(state)[0]])[MODEL.lookahead_frames :]
    torch.testing.assert_close(got, trained(memory, positions[0]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("frames", "lookahead"), [(1, 1), (2, 0), (2, 3), (3, 2)])
def test_steps_equal_the_whole_sequence_at_any_size(frames, lookahead):
    model = tiny_acoustic(reduction_factor=frames, postnet_lookahead=lookahead)
    speaker = model.prepare()
    memory = memory_of(8, 1, speaker)
    got, positions, state = speak([memory], speaker)
    held = speaker.flush(state)
    assert held.shape == (1, lookahead, 82)
    got = torch.cat([got[0], held[0]])[lookahead:]
    torch.testing.assert_close(got, trained(memory, positions[0], model), atol=1e-5, rtol=1e-5)


def test_the_hazard_is_what_training_computes():
    memory = memory_of(9, 4)
    state = SPEAKER.decoder_zeros(1)
    out = SPEAKER.advance(None, *read([memory], [0]), state)
    dwell = torch.zeros(1, 1, dtype=torch.int64)
    _, _, logits = MODEL.decoder(
        memory[None, :1], memory[None, 1:2], torch.ones(1, 1, dtype=torch.bool), dwell
    )
    torch.testing.assert_close(out.hazard, logits.sigmoid()[0])


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
        torch.testing.assert_close(frames, alone[0], atol=1e-5, rtol=1e-5)


def test_what_follows_is_read_only_where_it_has_arrived():
    memories = [memory_of(6, 1), memory_of(6, 2)]
    here, following, has = read(memories, [2, 2], stalled={1})
    nan = torch.full_like(following[0], torch.nan)
    a = SPEAKER.advance(None, here, following, has, SPEAKER.decoder_zeros(2))
    b = SPEAKER.advance(None, here, torch.stack([following[0], nan]), has, SPEAKER.decoder_zeros(2))
    assert torch.equal(a.frames, b.frames)
    known = SPEAKER.advance(None, here, following, has | True, SPEAKER.decoder_zeros(2))
    assert torch.equal(a.hazard[0], known.hazard[0])
    assert not torch.equal(a.hazard[1], known.hazard[1])


def test_restart_forgets_the_sentence_of_those_rows_only():
    memories = [memory_of(6, 1), memory_of(6, 2)]
    _, _, state = speak(memories)
    before = select(state, torch.tensor([0, 1]))
    SPEAKER.restart(state, torch.tensor([0]))
    fresh = SPEAKER.decoder_zeros(2)
    for name in ("hidden", "cell", "dwell", "survival"):
        now, then, new = (getattr(s, name) for s in (state, before, fresh))
        assert torch.equal(now[0], new[0])
        assert torch.equal(now[1], then[1])
    for now, then in zip(state.tails, before.tails, strict=True):
        assert torch.equal(now, then)


def test_states_stack_and_select():
    memories = [memory_of(6, 1), memory_of(6, 2)]
    _, _, both = speak(memories)
    apart = stack([select(both, torch.tensor([i])) for i in (1, 0)])
    nobody = torch.zeros(0, dtype=torch.int64)
    none = tuple(part[:0] for part in read(memories, [0, 0]))
    a, b = (SPEAKER.advance(nobody, *none, state) for state in (both, apart))
    torch.testing.assert_close(a.frames, b.frames.flip(0), atol=1e-5, rtol=1e-5)


def test_what_was_given_stays_as_it_was():
    memories = [memory_of(6, 1)]
    state = SPEAKER.decoder_zeros(1)
    out = SPEAKER.advance(None, *read(memories, [0]), state)
    kept = [part.clone() for part in (out.frames, out.hazard, out.leave)]
    held = SPEAKER.flush(state)
    SPEAKER.advance(None, *read(memories, [1]), state)
    for part, then in zip((out.frames, out.hazard, out.leave), kept, strict=True):
        assert torch.equal(part, then)
    again = SPEAKER.decoder_zeros(1)
    SPEAKER.advance(None, *read(memories, [0]), again)
    assert torch.equal(SPEAKER.flush(again), held)
    assert torch.equal(SPEAKER.flush(again), held)


def test_a_speaker_keeps_the_weights_it_was_made_from():
    model = tiny_acoustic()
    names = set(model.state_dict())
    before = model.prepare()
    memory = memory_of(5, 1, before)
    old, _, _ = speak([memory], before)
    for p in model.parameters():
        p.data.add_(0.01)
    changed = model.prepare()
    model.load_state_dict(tiny_acoustic(seed=1).state_dict())
    other = model.prepare()
    assert set(model.state_dict()) == names
    assert torch.equal(memory_of(5, 1, before), memory)
    assert torch.equal(speak([memory], before)[0][0], old[0])
    for speaker, source in ((changed, None), (other, model)):
        mine = memory_of(5, 1, speaker)
        assert not torch.allclose(mine, memory)
        if source is not None:
            got, at, state = speak([mine], speaker)
            got = torch.cat([got[0], speaker.flush(state)[0]])[1:]
            torch.testing.assert_close(got, trained(mine, at[0], source), atol=1e-5, rtol=1e-5)


def test_a_speaker_can_be_made_amid_training():
    model = tiny_acoustic().train().requires_grad_(True)
    speaker = model.prepare()
    loud = memory_of(5, 1, speaker)
    torch.testing.assert_close(loud, memory_of(5, 1))
    features = random_features(5, 1)[None]
    model.encoder(features, torch.tensor([5]), torch.tensor([-1])).sum().backward()
    assert model.encoder.gru.weight_hh_l0.grad is not None


def test_a_step_of_all_rows_depends_on_no_value():
    """On the device without values: no shape may depend on one, as in a CUDA graph."""
    speaker = AcousticModel(MODEL.config).to("meta").prepare()
    state = speaker.decoder_zeros(3)
    memory = torch.empty(3, MODEL.config.memory_width, device="meta")
    has = torch.empty(3, dtype=torch.bool, device="meta")
    out = speaker.advance(None, memory, memory, has, state)
    assert out.frames.shape == (3, 2, 82)
    assert out.frames.device.type == state.hidden.device.type == "meta"
    states = [EncodeJob(random_features(4).numpy(), speaker.encoder_zeros(), Future.END)] * 2
    assert [m.shape[0] for m, _ in speaker.encode_batch(states)] == [4, 4]

"""Graphs on a CPU: a step that is run again stands in for one that is replayed."""

import pytest
import torch
from support.fake_voice import fake_engine, fake_runner, sentence, speak
from support.tiny import tiny_acoustic

from streamtts.engine.graphs import StepGraphs


def capture(step):
    out = step()

    def replay():
        again = step()
        for static, new in zip(
            (out.frames, out.hazard, out.leave),
            (again.frames, again.hazard, again.leave),
            strict=True,
        ):
            static.copy_(new)

    return replay, out


@pytest.mark.parametrize("rows", [1, 3, 4, 9])
@torch.inference_mode()
def test_a_graph_steps_like_the_model_whatever_the_number_of_rows(rows):
    speaker = tiny_acoustic().prepare()
    graphs = StepGraphs(speaker, capture, sizes=(1, 4, 8))
    one, other = speaker.decoder_zeros(rows), speaker.decoder_zeros(rows)
    generator = torch.Generator().manual_seed(rows)
    for _ in range(4):
        here = torch.randn(rows, speaker.config.memory_width, generator=generator)
        following = torch.randn(rows, speaker.config.memory_width, generator=generator)
        has = torch.rand(rows, generator=generator) < 0.7
        made = graphs.advance(here, following, has, one)
        plain = speaker.advance(None, here, following, has, other)
        torch.testing.assert_close(made.frames, plain.frames, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(made.hazard, plain.hazard, atol=1e-5, rtol=1e-5)
        assert torch.equal(made.leave, plain.leave)
    for name in ("hidden", "cell", "dwell", "survival"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), atol=1e-5, rtol=1e-5)


def test_an_engine_with_graphs_says_the_same():
    runner = fake_runner()
    runner._graphs = StepGraphs(runner._acoustic, capture)
    plain = speak(fake_engine(), sentence(4))
    graphed = speak(fake_engine(runner), sentence(4))
    assert graphed.steps[-1].number == plain.steps[-1].number
    torch.testing.assert_close(
        torch.from_numpy(graphed.mel), torch.from_numpy(plain.mel), atol=1e-4, rtol=1e-4
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.inference_mode()
def test_a_real_graph_steps_like_the_model():
    speaker = tiny_acoustic().cuda().prepare()
    graphs = StepGraphs(speaker)
    one, other = speaker.decoder_zeros(3), speaker.decoder_zeros(3)
    for _ in range(4):
        here = torch.randn(3, speaker.config.memory_width, device="cuda")
        has = torch.ones(3, dtype=torch.bool, device="cuda")
        made = graphs.advance(here, here, has, one)
        plain = speaker.advance(None, here, here, has, other)
        torch.testing.assert_close(made.frames, plain.frames, atol=1e-3, rtol=1e-3)

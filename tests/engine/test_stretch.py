import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtts.engine.stretch import FrameStretcher

RAMP = torch.arange(60.0)[:, None].repeat(1, 3)


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.0, 1.25, 1.5, 2.0])
def test_frames_lie_on_the_other_clock(speed):
    out = FrameStretcher(speed).push(RAMP)
    assert abs(len(out) - 60 / speed) <= 1 / speed + 1
    torch.testing.assert_close(out[:, 0], torch.arange(len(out)) * speed)


@settings(max_examples=50, deadline=None)
@given(speed=st.floats(0.5, 2.0), sizes=st.lists(st.integers(0, 7), max_size=40))
def test_any_cut_gives_the_same_frames(speed, sizes):
    stretcher = FrameStretcher(speed)
    parts, at = [], 0
    for size in sizes:
        parts.append(stretcher.push(RAMP[at : at + size]))
        at = min(60, at + size)
    parts.append(stretcher.push(RAMP[at:]))
    whole = FrameStretcher(speed).push(RAMP)
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-4, rtol=0)

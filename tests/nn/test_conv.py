import pytest
import torch
import torch.nn.functional as F

from streamtts.nn.conv import CausalConv1d, CausalConvLast, CausalDepthwise

CUTS = [[17], [1] * 17, [0, 5, 0, 1, 11, 0], [3, 14]]


def layer(kind):
    torch.manual_seed(1)
    return {
        "plain": lambda: CausalConv1d(6, 4, 5),
        "ahead": lambda: CausalConv1d(6, 4, 5, lookahead=2),
        "grouped": lambda: CausalConv1d(6, 6, 3, groups=6),
        "pointwise": lambda: CausalConv1d(6, 4, 1),
        "last": lambda: CausalConvLast(6, 4, 5, lookahead=1),
        "depthwise": lambda: CausalDepthwise(6, 7),
    }[kind]()


KINDS = ["plain", "ahead", "grouped", "pointwise", "last", "depthwise"]


def axis(kind):
    return 1 if kind in ("last", "depthwise") else 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cuts", CUTS, ids=["whole", "ones", "gaps", "two"])
def test_streaming_equals_offline(kind, cuts):
    conv, time = layer(kind), axis(kind)
    x = torch.randn(2, 6, 17) if time == 2 else torch.randn(2, 17, 6)
    whole, end = conv(x, conv.zeros(2))
    state, parts = conv.zeros(2), []
    for part in x.split(cuts, dim=time):
        y, state = conv(part, state)
        assert y.shape[time] == part.shape[time]
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, dim=time), whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(state.tail, end.tail)


def test_plain_is_torchs_own_convolution_behind_zeros():
    conv, x = layer("ahead"), torch.randn(2, 6, 17)
    whole, _ = conv(x, conv.zeros(2))
    torch.testing.assert_close(whole, conv.conv(F.pad(x, (4, 0))))
    centred = conv.conv(F.pad(x, (2, 2)))
    torch.testing.assert_close(whole[..., 2:], centred[..., :-2])


def test_channels_last_is_a_convolution():
    conv, x = layer("last"), torch.randn(2, 17, 6)
    weight = conv.linear.weight.unflatten(1, (5, 6)).transpose(1, 2)
    expected = F.conv1d(F.pad(x.mT, (4, 0)), weight, conv.linear.bias).mT
    torch.testing.assert_close(conv(x, conv.zeros(2))[0], expected)


def test_depthwise_is_a_grouped_convolution():
    conv, x = layer("depthwise"), torch.randn(2, 17, 6)
    expected = F.conv1d(F.pad(x.mT, (6, 0)), conv.weight.T[:, None], conv.bias, groups=6).mT
    torch.testing.assert_close(conv(x, conv.zeros(2))[0], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_comes_before_its_cause(kind):
    conv, time = layer(kind), axis(kind)
    x = torch.randn(1, 6, 17) if time == 2 else torch.randn(1, 17, 6)
    changed = x.clone()
    changed.select(time, 9).add_(1.0)
    difference = (conv(changed, conv.zeros(1))[0] - conv(x, conv.zeros(1))[0]).abs()
    heard = difference.sum(dim=3 - time)[0].nonzero().flatten()
    assert int(heard[0]) == 9


@pytest.mark.parametrize("kind", [CausalConv1d, CausalConvLast])
@pytest.mark.parametrize("lookahead", [-1, 3])
def test_look_ahead_beyond_the_kernel_is_refused(kind, lookahead):
    with pytest.raises(ValueError, match="ahead"):
        kind(2, 2, 3, lookahead=lookahead)

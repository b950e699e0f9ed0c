import sys
import types

import numpy as np
import pytest

from streamtts.audio.player import Player
from streamtts.errors import StreamTTSError


class Output:
    latency = 0.01
    opened = None

    def __init__(self, samplerate, channels, dtype, callback):
        assert (channels, dtype) == (1, "float32")
        self.callback = callback
        self.calls = []
        Output.opened = self

    def start(self):
        self.calls.append("start")

    def stop(self):
        self.calls.append("stop")

    def close(self):
        self.calls.append("close")

    def pull(self, frames):
        """What PortAudio would hear."""
        out = np.full((frames, 1), 9.0, np.float32)
        self.callback(out, frames, None, None)
        return out[:, 0].tolist()


@pytest.fixture
def card(monkeypatch):
    fake = types.ModuleType("sounddevice")
    fake.OutputStream = Output
    fake.PortAudioError = type("PortAudioError", (Exception,), {})
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


def test_blocks_are_played_in_order_and_silence_when_there_is_none(card):
    with Player(1000) as player:
        player.write(np.array([1, 2, 3], np.float32))
        player.write(np.array([4, 5], np.float32))
        assert player.queued_s == 0.005
        output = Output.opened
        assert output.pull(2) == [1, 2]
        assert output.pull(2) == [3, 4]
        assert output.pull(3) == [5, 0, 0]
        assert player.queued_s == 0
        assert player.played_samples == 5
    assert output.calls == ["start", "stop", "close"]


def test_what_the_card_still_holds_was_not_heard(card):
    with Player(1000) as player:
        player.write(np.ones(100, np.float32))
        Output.opened.pull(30)
        assert player.played_samples == 20  # 10 ms of latency
        Output.opened.pull(5)
        assert player.played_samples == 25


def test_stop_forgets_what_is_queued(card):
    with Player(1000) as player:
        player.write(np.ones(100, np.float32))
        Output.opened.pull(50)
        player.stop()
        assert Output.opened.pull(2) == [0, 0]
        assert player.queued_s == 0
        player.write(np.ones(1, np.float32))
        assert Output.opened.pull(2) == [1, 0]
        assert player.played_samples == 51


def test_no_output_is_told(card, monkeypatch):
    def refuse(**settings):
        raise card.PortAudioError("no default output device")

    monkeypatch.setattr(card, "OutputStream", refuse)
    with pytest.raises(StreamTTSError, match="cannot play: no default output"):
        Player(16000)


def test_without_sounddevice_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(StreamTTSError, match=r"pip install 'streamtts\[play\]'"):
        Player(16000)

"""A voice comes back as it was written, and a damaged one is named."""

import json

import pytest
import torch
from support.tiny import tiny_acoustic, tiny_vocoder

from streamtts.errors import UnknownVoice, VoiceError
from streamtts.voice.store import ACOUSTIC, find_voice, list_voices, load_voice, save_voice


@pytest.fixture
def folder(tmp_path):
    save_voice(
        tmp_path / "tiny",
        tiny_acoustic(),
        tiny_vocoder(),
        "# tiny\n",
        voice_id="tiny",
        name="Tiny",
        language="en-US",
        description="for tests",
        licence="MIT",
        origin="random",
    )
    return tmp_path / "tiny"


def test_a_voice_comes_back_as_it_was(folder):
    voice = load_voice(folder)
    want = tiny_acoustic().state_dict()
    got = voice.acoustic.state_dict()
    assert want.keys() == got.keys()
    assert all(torch.equal(want[k], got[k]) for k in want)
    assert voice.id == "tiny"
    assert not any(p.requires_grad for p in voice.acoustic.parameters())


def test_voices_are_found_by_id_and_by_path(folder):
    directories = [folder.parent]
    assert [m.id for m in list_voices(directories)] == ["tiny"]
    assert find_voice("tiny", directories) == folder
    assert find_voice(str(folder), []) == folder
    with pytest.raises(UnknownVoice, match="there is: tiny"):
        find_voice("nobody", directories)


def test_a_changed_file_is_named(folder):
    path = folder / ACOUSTIC
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(VoiceError, match=r"acoustic\.safetensors does not have the hash"):
        load_voice(folder)


def test_a_truncated_file_is_named(folder):
    path = folder / ACOUSTIC
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(VoiceError, match="cut short"):
        load_voice(folder)


def test_a_missing_file_is_named(folder):
    (folder / ACOUSTIC).unlink()
    with pytest.raises(VoiceError, match=r"acoustic\.safetensors cannot be read"):
        load_voice(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "format 99"),
        ({"symbols_version": 99}, "symbol table 99"),
        ({"acoustic": {"memory_width": 3}}, "sizes that do not fit"),
        ({"files": {"../evil": {"sha256": "0", "bytes": 1}}}, "damaged"),
        ({"id": "../evil"}, "damaged"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(folder, change, message):
    path = folder / "voice.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, **change}))
    with pytest.raises(VoiceError, match=message):
        load_voice(folder)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_manifest_that_is_no_json_is_refused(folder, raw):
    (folder / "voice.json").write_bytes(raw)
    with pytest.raises(VoiceError, match="damaged"):
        load_voice(folder)


def test_no_voice_at_all(tmp_path):
    with pytest.raises(VoiceError, match="no voice at"):
        load_voice(tmp_path / "nothing")

"""The schema, its one file of defaults, and what happens when a file is wrong."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path

import msgspec
import pytest

from streamtts import config
from streamtts.config import Config
from streamtts.errors import ConfigError
from streamtts.protocol.parts import VoiceInfo
from streamtts.server.gateway import Gateway
from streamtts.server.security import Keys

CONFIGS = sorted(Path(str(resources.files("streamtts") / "configs")).glob("*.toml"))
DEFAULT = next(path for path in CONFIGS if path.name == "default.toml")


def test_default_file_says_what_the_schema_says() -> None:
    assert config.load(DEFAULT) == config.load(None) == Config()


def test_default_file_names_every_key() -> None:
    named = {name: set(values) for name, values in tomllib.loads(DEFAULT.read_text()).items()}
    assert named == {n: set(values) for n, values in msgspec.to_builtins(Config()).items()}


def test_default_file_comments_every_key() -> None:
    uncommented = [
        key
        for before, key in re.findall(r"(.*)\n(\w+) = .*", DEFAULT.read_text())
        if not before.startswith("#") and key != "key"  # [tls] explains both files at once
    ]
    assert uncommented == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_file_loads(path: Path) -> None:
    assert isinstance(config.load(path), Config)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_printed_configuration_reads_back(path: Path) -> None:
    loaded = config.load(path)
    assert config.parse(config.to_toml(loaded)) == loaded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nprot = 1", "unknown key `server.prot`; did you mean `port`?"),
        ("[servr]\nport = 1", "unknown table `servr`; did you mean `server`?"),
        ("[server]\nslots = 3", "unknown key `server.slots`; did you mean `engine.slots`?"),
        ("[server]\nxyzzy = 3", "unknown key `server.xyzzy`; there are host, port"),
        ("port = 1", "unknown key `port`"),
        ("server = 5", "`server` is a table: write [server]"),
        ('[server]\nport = "x"', "server.port: expected int, got str"),
        ("[server]\nport = 99999", "server.port: expected int <= 65535"),
        ("[server]\ndrain_s = 0", "server.drain_s: expected float > 0"),
        ('[audio]\nencoding = "x"', "audio.encoding: cannot be 'x' (allowed: pcm_s16le,"),
        ("[audio]\nsample_rate = 1", "(allowed: 0, 8000, 16000,"),
        ('[audio]\nencoding = "ogg_opus"\nsample_rate = 44100', "Opus knows"),
        ('[log]\nlevel = "loud"', "log.level: cannot be 'loud' (allowed: debug, info,"),
        ('[auth]\nkeys = ["short"]', "auth.keys[0]: expected str of length >= 8"),
        ('[tls]\ncert = "a.pem"', "tls.cert and tls.key: give both or none"),
        ("nonsense", "not TOML"),
    ],
)
def test_a_wrong_file_is_refused_in_one_clear_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        config.parse(text)
    assert "\n" not in str(caught.value)


def test_the_message_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[server]\nprot = 1")
    with pytest.raises(ConfigError, match=r"mine\.toml: unknown key `server\.prot`"):
        config.load(path)
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*none\.toml"):
        config.load(tmp_path / "none.toml")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot read"):
        config.load(path)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[tls]\ncert = "/none"\nkey = "/none"', "tls.cert"),
        ('[auth]\nkeys_file = "/none"', "auth.keys_file"),
        ('[voice]\ndir = "/none"', "voice.dir"),
        ('[voice]\nlexicon = "/none"', "voice.lexicon"),
    ],
)
def test_missing_files_are_named(text: str, key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        config.check_files(config.parse(text))
    config.check_files(Config())


def test_secrets_are_not_printed() -> None:
    text = config.to_toml(config.parse('[auth]\nkeys = ["s3cret-key", "another-key"]'))
    assert "s3cret" not in text
    assert "# keys: 2, not shown" in text


@pytest.mark.parametrize(
    "text",
    [
        "[audio]\nlead_ms = 60000\nmax_buffer_delay_ms = 10000\nframe_ms = 1000",
        "[audio]\nlead_ms = 0\nmax_buffer_delay_ms = 0\nframe_ms = 10",
    ],
)
def test_what_the_file_may_ask_for_every_context_may_have(text: str) -> None:
    gateway = Gateway(config.parse(text), Keys(()))
    gateway.voices = (VoiceInfo(id="any", sample_rate=16000),)
    audio = gateway.config.audio
    settings = gateway.settings({})
    assert settings.lead_ms == audio.lead_ms
    assert settings.max_buffer_delay_ms == audio.max_buffer_delay_ms
    assert settings.audio.frame_ms == audio.frame_ms


@pytest.mark.parametrize(
    "setting", ["lead_ms = 60001", "max_buffer_delay_ms = 10001", "frame_ms = 9"]
)
def test_what_no_context_may_have_the_file_may_not_ask_for(setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"audio\.{setting.split()[0]}"):
        config.parse(f"[audio]\n{setting}")


def test_override_checks_what_it_sets() -> None:
    server = config.override(Config().server, port=9, host=None)
    assert (server.port, server.host) == (9, Config().server.host)
    with pytest.raises(ConfigError, match="port: expected int <= 65535"):
        config.override(Config().server, port=70000)

"""THE configuration schema: a TOML file in, frozen structs out. There is no other default."""

from __future__ import annotations

import difflib
import json
import tomllib
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from streamtts.errors import ConfigError

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Encoding = Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw", "wav", "flac", "ogg_opus", "mp3"]
SampleRate = Literal[0, 8000, 16000, 22050, 24000, 44100, 48000]

MAX_LEAD_MS = 60_000
MAX_BUFFER_DELAY_MS = 10_000
LOOPBACK = ("127.0.0.1", "::1", "localhost")
TOPIC = r"^[^+#$/\x00-\x1f]([^+#\x00-\x1f]*[^+#/\x00-\x1f])?$"
TOPIC_LEVEL = r"^[^+#/\x00-\x1f]*$"
SECRET_KEYS = frozenset({"auth.keys"})


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the TOML file; unknown keys stop the start."""


class ServerConfig(_Section, frozen=True, kw_only=True):
    """`[server]`: where the server listens and how it treats its peers.

    Attributes:
        host: address to listen on.
        port: TCP port; 0 takes a free one.
        workers: processes behind the port, each with an engine of its own. `connections` here and
            `slots`, `queue` and `threads` of `[engine]` are those of one worker.
        allow_unauthenticated: serve other machines although no key is configured.
        origins: values of `Origin` that may connect beside this server's own; "*" for all.
        connections: open WebSockets at most.
        header_timeout_s: how long a peer may take to send the headers of a request.
        slow_reader_s: how long a client may read nothing before it is closed with 1008.
        outbox_bytes: bytes waiting for one client above which its contexts are descheduled.
        drain_s: how long the sentences being spoken may take after SIGTERM.
    """

    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Port = 8765
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    allow_unauthenticated: bool = False
    origins: tuple[str, ...] = ()
    connections: Count = 1024
    header_timeout_s: Seconds = 10.0
    slow_reader_s: Seconds = 20.0
    outbox_bytes: Annotated[int, Meta(ge=4096)] = 65536
    drain_s: Seconds = 30.0


class TlsConfig(_Section, frozen=True, kw_only=True):
    """`[tls]`: certificate chain and private key, both PEM files; empty for plain text."""

    cert: str = ""
    key: str = ""


class AuthConfig(_Section, frozen=True, kw_only=True):
    """`[auth]`: who may use the server.

    Attributes:
        keys: accepted keys; none means that everybody who reaches the port may speak.
        keys_file: a file with one more key a line (blank lines and `#` lines are skipped).
        query_key: accept `?key=K` in the address as well (addresses end up in logs).
    """

    keys: tuple[Annotated[str, Meta(min_length=8)], ...] = ()
    keys_file: str = ""
    query_key: bool = False


class LimitsConfig(_Section, frozen=True, kw_only=True):
    """`[limits]`: what one connection may ask for.

    Attributes:
        contexts: contexts alive at a time on one connection.
        all_contexts: contexts alive at a time on all connections, with or without text.
        chars_per_context: code points of one context waiting to be spoken.
        message_bytes: size of one WebSocket message from a client.
        idle_s: seconds without text or sound after which a context ends.
    """

    contexts: Count = 32
    all_contexts: Count = 4096
    chars_per_context: Count = 20_000
    message_bytes: Annotated[int, Meta(ge=1024)] = 2_097_152
    idle_s: Seconds = 60.0


class EngineConfig(_Section, frozen=True, kw_only=True):
    """`[engine]`: how many streams share the model.

    Attributes:
        slots: streams that are spoken at the same time at most; fewer are admitted where the
            machine would not keep them in time.
        queue: streams that may wait for a slot.
        queue_s: for how long; who would have to wait longer is refused at once.
        device: where the model runs; auto takes a CUDA device where there is one.
        threads: CPU threads of the model: 2 run the vocoder beside the decoder; 1 is for a single
            core. More are given to single operations, which pays for much larger models only.
        bfloat16: the vocoder's net multiplies in bfloat16, where the processor is fast at it.
        stuck_s: seconds without progress after which a stream is ended with `stuck`.
    """

    slots: Count = 256
    queue: Annotated[int, Meta(ge=0)] = 64
    queue_s: Seconds = 3.0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Count = 2
    bfloat16: bool = False
    stuck_s: Seconds = 10.0


class VoiceConfig(_Section, frozen=True, kw_only=True):
    """`[voice]`: which voice is spoken by default.

    Attributes:
        id: id of the voice; empty for the first that is found.
        dir: folder with voice folders; empty for those that ship with the package.
        lexicon: a TOML file with pronunciations that override the lexicon's; empty for none.
    """

    id: str = ""
    dir: str = ""
    lexicon: str = ""


class AudioConfig(_Section, frozen=True, kw_only=True):
    """`[audio]`: what a client gets that asks for nothing else.

    Attributes:
        encoding: see protocol/PROTOCOL.md.
        sample_rate: in Hz; 0 for the voice's own.
        frame_ms: length of one chunk of audio.
        lead_ms: how far sound may be ahead of the listener; 0 for as fast as made.
        max_buffer_delay_ms: how long a word may wait for the text behind it.
    """

    encoding: Encoding = "pcm_s16le"
    sample_rate: SampleRate = 0
    frame_ms: Annotated[int, Meta(ge=10, le=1000)] = 40
    lead_ms: Annotated[int, Meta(ge=0, le=MAX_LEAD_MS)] = 2000
    max_buffer_delay_ms: Annotated[int, Meta(ge=0, le=MAX_BUFFER_DELAY_MS)] = 600


class WyomingConfig(_Section, frozen=True, kw_only=True):
    """`[wyoming]`: the port for Home Assistant.

    Attributes:
        enabled: whether there is one.
        host: address to listen on; the protocol has no keys: whoever reaches it may speak.
        port: TCP port; 0 takes a free one.
        announce: by zeroconf, so that Home Assistant finds it (needs `streamtts[discovery]`).
        connections: open at most.
        idle_s: how long a client may have nothing to say.
        text_format: how texts are read.
        lead_ms: how far sound may be ahead of the listener; 0 for as fast as made.
    """

    enabled: bool = False
    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Port = 10200
    announce: bool = False
    connections: Count = 64
    idle_s: Seconds = 300.0
    text_format: Literal["plain", "markdown"] = "plain"
    lead_ms: Annotated[int, Meta(ge=0, le=MAX_LEAD_MS)] = 0


class MqttConfig(_Section, frozen=True, kw_only=True):
    """`[mqtt]`: the broker whose loudspeakers are spoken for.

    Attributes:
        host: of the broker; empty for none.
        port: of the broker.
        username: empty for none.
        password_file: holds the password; else STREAMTTS_MQTT_PASSWORD in the environment does.
        tls: speak TLS.
        ca_file: PEM file that the broker's certificate is checked against; empty for the system's.
        version: of MQTT.
        prefix: first level of every topic.
        server_id: this bridge's name on the broker, its own; empty for the host's name.
        fleet: share the requests with every other bridge that says so.
        hermes: answer Rhasspy's hermes/tts/say too.
        hermes_streaming_sites: those that take playBytesStreaming.
        buffer_ms: sound that a device can hold until it says otherwise.
        in_flight: requests that the broker hands out before the first of them has begun.
        site_queue: requests that may wait for one loudspeaker.
        sites: loudspeakers that are busy at the same time.
        session_s: how long the broker keeps what it could not deliver.
    """

    host: str = ""
    port: Port = 1883
    username: str = ""
    password_file: str = ""
    tls: bool = False
    ca_file: str = ""
    version: Literal["5", "3.1.1"] = "5"
    prefix: Annotated[str, Meta(pattern=TOPIC)] = "streamtts"
    server_id: Annotated[str, Meta(pattern=TOPIC_LEVEL)] = ""
    fleet: bool = False
    hermes: bool = False
    hermes_streaming_sites: tuple[str, ...] = ()
    buffer_ms: Annotated[int, Meta(ge=20, le=10_000)] = 300
    in_flight: Annotated[int, Meta(ge=2, le=1000)] = 20
    site_queue: Count = 8
    sites: Count = 256
    session_s: Annotated[int, Meta(ge=0, le=604_800)] = 300


class LogConfig(_Section, frozen=True, kw_only=True):
    """`[log]`: what the operator sees on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(_Section, frozen=True, kw_only=True):
    """The whole configuration: one attribute a table of the TOML file."""

    server: ServerConfig = ServerConfig()
    tls: TlsConfig = TlsConfig()
    auth: AuthConfig = AuthConfig()
    limits: LimitsConfig = LimitsConfig()
    engine: EngineConfig = EngineConfig()
    voice: VoiceConfig = VoiceConfig()
    audio: AudioConfig = AudioConfig()
    wyoming: WyomingConfig = WyomingConfig()
    mqtt: MqttConfig = MqttConfig()
    log: LogConfig = LogConfig()


_S = TypeVar("_S", bound=msgspec.Struct)


def load(path: str | Path | None) -> Config:
    """Reads and checks a TOML file.

    Args:
        path: the file; None for the schema's defaults.

    Raises:
        ConfigError: the file is missing, no TOML, or has an unknown key or a wrong value.
    """
    if path is None:
        return Config()
    try:
        return parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse(text: str) -> Config:
    """Checks the text of a TOML file.

    Raises:
        ConfigError: no TOML, an unknown key (with the nearest right one), or a wrong value.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}") from None
    _refuse_unknown(tables)
    try:
        config = msgspec.convert(tables, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(error)) from None
    if bool(config.tls.cert) != bool(config.tls.key):
        raise ConfigError("tls.cert and tls.key: give both or none")
    if config.mqtt.fleet and config.mqtt.version != "5":
        raise ConfigError("mqtt.fleet: shared subscriptions need mqtt.version 5")
    if config.audio.encoding == "ogg_opus" and config.audio.sample_rate in (22050, 44100):
        raise ConfigError("audio.sample_rate: Opus knows 8000, 16000, 24000 and 48000 Hz only")
    return config


def check_files(config: Config) -> None:
    """Looks for the files and folders that a configuration names.

    Raises:
        ConfigError: names the key whose file is missing.
    """
    for name, file in (
        ("tls.cert", config.tls.cert),
        ("tls.key", config.tls.key),
        ("auth.keys_file", config.auth.keys_file),
        ("voice.lexicon", config.voice.lexicon),
        ("mqtt.password_file", config.mqtt.password_file),
        ("mqtt.ca_file", config.mqtt.ca_file),
    ):
        if file and not Path(file).is_file():
            raise ConfigError(f"{name}: there is no file {file}")
    if config.voice.dir and not Path(config.voice.dir).is_dir():
        raise ConfigError(f"voice.dir: there is no folder {config.voice.dir}")


def override(section: _S, **values: object) -> _S:
    """A copy of a section with some values replaced and checked; None leaves a value alone.

    Raises:
        ConfigError: a value out of range.
    """
    tables: dict[str, Any] = msgspec.to_builtins(section)
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return msgspec.convert(tables | given, type(section))
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(error)) from None


def to_toml(config: Config) -> str:
    """The resolved configuration as TOML; keys of clients are replaced by their number."""
    lines: list[str] = []
    for table, values in msgspec.to_builtins(config).items():
        lines.append(f"[{table}]")
        for key, value in values.items():
            secret = f"{table}.{key}" in SECRET_KEYS and value
            shown = (
                f"# {key}: {len(value)}, not shown" if secret else f"{key} = {json.dumps(value)}"
            )
            lines.append(shown)
        lines.append("")
    return "\n".join(lines)


def _refuse_unknown(tables: Mapping[str, object]) -> None:
    schema = {
        table.name: tuple(field.name for field in msgspec.structs.fields(table.type))
        for table in msgspec.structs.fields(Config)
    }
    for table, values in tables.items():
        if table not in schema:
            kind = "table" if isinstance(values, Mapping) else "key"
            raise ConfigError(f"unknown {kind} `{table}`{_hint(table, schema)}")
        if not isinstance(values, Mapping):
            raise ConfigError(f"`{table}` is a table: write [{table}]")
        for key in values:
            if key not in schema[table]:
                elsewhere = [f"{t}.{key}" for t, known in schema.items() if key in known]
                hint = _hint(key, schema[table], elsewhere)
                raise ConfigError(f"unknown key `{table}.{key}`{hint}")


def _hint(name: str, known: Iterable[str], elsewhere: Sequence[str] = ()) -> str:
    close = elsewhere or difflib.get_close_matches(name, known, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; there are {', '.join(known)}"


def _explain(error: msgspec.ValidationError) -> str:
    """Turns msgspec's message into `table.key: what is wrong (allowed: ...)`."""
    message, _, path = str(error).partition(" - at `$.")
    path = path.rstrip("`").replace("[...]", "")
    message = message.replace("`", "").replace("Expected", "expected")
    if message.startswith("Invalid enum value"):
        message = message.replace("Invalid enum value", "cannot be")
        message += f" (allowed: {', '.join(map(str, _allowed(path)))})"
    return f"{path}: {message}" if path else message


def _allowed(path: str) -> tuple[object, ...]:
    return next(
        typing.get_args(field.type)
        for table in msgspec.structs.fields(Config)
        for field in msgspec.structs.fields(table.type)
        if path in (field.name, f"{table.name}.{field.name}")
    )

"""The `streamtts` command. Each subcommand imports what it needs when it runs."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from streamtts import __version__
from streamtts import config as schema
from streamtts.errors import ConfigError, StreamTTSError

INTERRUPTED = 130
WORKER = ("-c", "import sys; from streamtts import app; sys.exit(app.work())")
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit status."""
    options = make_parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except StreamTTSError as error:
        print(f"streamtts: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has gone
        sys.stderr.close()
        return 1
    return status


def make_parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="streamtts",
        description="Streaming text-to-speech: text arrives in pieces, sound leaves in pieces.",
    )
    parser.add_argument("--version", action="version", version=f"streamtts {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_bridge(commands)
    _add_check(commands)
    _add_say(commands)
    _add_voices(commands)
    _add_train(commands)
    _add_evaluate(commands)
    return parser


Commands = argparse._SubParsersAction


def _add_serve(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("serve", help="serve WebSockets and HTTP on one port")
    parser.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help="TOML file")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="TCP port; 0 takes a free one")
    parser.add_argument("--workers", type=int, metavar="N", help="processes behind the port")
    parser.add_argument(
        "--allow-unauthenticated",
        action="store_true",
        default=None,
        help="serve other machines although no key is configured",
    )
    parser.set_defaults(run=serve)


def _add_bridge(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("bridge", help="speak for an MQTT broker through a server")
    parser.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help="with [mqtt]")
    parser.add_argument(
        "--server",
        default="ws://127.0.0.1:8765",
        metavar="URL",
        help="ws:// or wss:// address of a streamtts server (default: %(default)s); its key, "
        "if it wants one, is taken from the environment variable STREAMTTS_TOKEN",
    )
    parser.add_argument("--broker", metavar="HOST", help="in place of mqtt.host")
    parser.add_argument("--broker-port", type=int, metavar="PORT", help="in place of mqtt.port")
    parser.set_defaults(run=bridge)


def _add_check(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("check", help="check a configuration and print what it comes to")
    parser.add_argument("config", type=Path, metavar="FILE", nargs="?", help="TOML file")
    parser.set_defaults(run=check)


def _add_say(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("say", help="speak a text without a server")
    parser.add_argument("text", help="what to say; - for standard input, spoken as it arrives")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help=".wav .flac .ogg .opus .mp3 .raw"
    )
    parser.add_argument("--play", action="store_true", help="play it (streamtts[play])")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file")
    parser.add_argument("--voice", help="id or folder of a voice")
    parser.add_argument("--speed", type=float, help="2 is twice as fast")
    parser.add_argument("--pitch", type=float, help="ratio")
    parser.add_argument("--seed", type=int, help="the same seed and text give the same sound")
    parser.add_argument("--rate", type=int, metavar="HZ", help="sample rate of the output")
    parser.add_argument("--markdown", action="store_true", help="the text is markdown")
    parser.set_defaults(run=say)


def _add_voices(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("voices", help="list the voices")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file")
    parser.set_defaults(run=voices)


def _add_train(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("train", help="train a voice from a teacher and sentences")
    add = parser.add_argument
    add("--sentences", type=Path, required=True, metavar="FILE", help="one sentence a line")
    add("--out", type=Path, default=Path("voices"), metavar="DIR", help="for finished voices")
    add("--work", type=Path, default=Path("runs/train"), metavar="DIR", help="to go on from")
    add("--voice-id", default="rms", metavar="ID", help="id of the voice (default: %(default)s)")
    add("--speaker", default="rms", help="voice of the teacher (default: %(default)s)")
    add("--count", type=int, default=3000, metavar="N", help="sentences (default: %(default)s)")
    add("--generated", type=int, default=600, metavar="N", help="sentences of our own templates")
    add("--held-out", type=int, default=300, metavar="N", help="sentences only to evaluate on")
    add("--steps", type=int, default=9_000, metavar="N", help="of the acoustic model")
    add("--vocoder-steps", type=int, default=6_500, metavar="N", help="of the vocoder")
    add("--workers", type=int, default=2, metavar="N", help="processes (default: %(default)s)")
    parser.set_defaults(run=train)


def _add_evaluate(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("evaluate", help="measure a voice beside its teacher")
    add = parser.add_argument
    add("voice", help="id or folder of a voice")
    add("--sentences", type=Path, required=True, metavar="FILE", help="one sentence a line")
    add("--count", type=int, default=300, metavar="N", help="sentences (default: %(default)s)")
    add("--out", type=Path, default=Path("runs/evaluate"), metavar="DIR", help="for the pictures")
    add("--workers", type=int, default=2, metavar="N", help="processes (default: %(default)s)")
    parser.set_defaults(run=evaluate)


def serve(options: argparse.Namespace) -> int:
    """`streamtts serve`.

    Raises:
        StreamTTSError: it cannot start.
    """
    config = schema.load(options.config)
    server = schema.override(
        config.server,
        host=options.host,
        port=options.port,
        workers=options.workers,
        allow_unauthenticated=options.allow_unauthenticated,
    )
    config = msgspec.structs.replace(config, server=server)
    _set_up_logging(config.log.level)
    has_keys = bool(config.auth.keys or config.auth.keys_file)
    if not has_keys and not is_loopback(server.host):
        if not server.allow_unauthenticated:
            raise ConfigError(
                f"{server.host} can be reached by other machines and no key is configured: set "
                "auth.keys or auth.keys_file, or say --allow-unauthenticated"
            )
        logging.getLogger(__name__).warning(
            "everybody who reaches %s may speak: no key is configured", server.host
        )
    if server.workers > 1:
        with _needs("serve"):
            from streamtts.server import workers
        workers.serve(config, WORKER)
    else:
        with _needs("serve"):
            from streamtts import app
        app.serve(config)
    return 0


def bridge(options: argparse.Namespace) -> int:
    """`streamtts bridge`.

    Raises:
        StreamTTSError: it cannot start.
    """
    config = schema.load(options.config)
    mqtt = schema.override(config.mqtt, host=options.broker, port=options.broker_port)
    config = msgspec.structs.replace(config, mqtt=mqtt)
    _set_up_logging(config.log.level)
    with _needs("mqtt"):
        from streamtts.client import connect
        from streamtts.mqtt import run
    token = os.environ.get("STREAMTTS_TOKEN")
    run.serve(config, lambda lead_ms: connect(options.server, token=token, lead_ms=lead_ms))
    return 0


def check(options: argparse.Namespace) -> int:
    """`streamtts check`.

    Raises:
        ConfigError: the file is wrong, or names a file that is missing.
    """
    config = schema.load(options.config)
    schema.check_files(config)
    print(schema.to_toml(config), end="")
    return 0


def say(options: argparse.Namespace) -> int:
    """`streamtts say`.

    Raises:
        StreamTTSError: the text cannot be spoken or the sound not delivered.
    """
    if options.output is None and not options.play:
        raise ConfigError("say where the sound goes: -o FILE or --play")
    config = schema.load(options.config)
    _set_up_logging("warning")
    with _needs("serve"):
        from streamtts import say as saying
    print(saying.run(config, options), file=sys.stderr)
    return 0


def voices(options: argparse.Namespace) -> int:
    """`streamtts voices`.

    Raises:
        StreamTTSError: a voice's folder is damaged.
    """
    config = schema.load(options.config)
    with _needs("serve"):
        from streamtts import app
    for voice in app.voices(config):
        print(f"{voice.id}\t{voice.language}\t{voice.sample_rate} Hz\t{voice.description}")
    return 0


def train(options: argparse.Namespace) -> int:
    """`streamtts train`.

    Raises:
        StreamTTSError: training cannot go on.
    """
    _set_up_logging("info")
    with _needs("train"):
        from streamtts.train import pipeline
    with _needs("train"):
        return pipeline.run(options)


def evaluate(options: argparse.Namespace) -> int:
    """`streamtts evaluate`.

    Raises:
        StreamTTSError: the voice or the sentences cannot be read.
    """
    _set_up_logging("info")
    with _needs("train"):
        from streamtts.train import evaluate as evaluation
    with _needs("train"):
        return evaluation.run(options)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in schema.LOOPBACK


@contextlib.contextmanager
def _needs(extra: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "streamtts":
            raise
        raise ConfigError(
            f"{error.name} is not installed: pip install 'streamtts[{extra}]'"
        ) from None


def _set_up_logging(level: str) -> None:
    logging.basicConfig(level=level.upper(), format=LOG_FORMAT, stream=sys.stderr)

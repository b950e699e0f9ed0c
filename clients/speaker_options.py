"""The command line of a loudspeaker, and the files that it names."""

from __future__ import annotations

import argparse
import os
import ssl
from pathlib import Path

from streamtts.errors import ConfigError

PASSWORD, USERNAME = "STREAMTTS_MQTT_PASSWORD", "STREAMTTS_MQTT_USERNAME"
MIN_BUFFER_MS, MAX_BUFFER_MS = 100, 10_000


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    made = argparse.ArgumentParser(prog="speaker.py", description="A loudspeaker on a broker.")
    made.add_argument("--site", default="default", help="where it stands (default: %(default)s)")
    made.add_argument("--prefix", default="streamtts", help="as in the server's [mqtt]")
    sound = made.add_argument_group("sound")
    sound.add_argument("--play", action="store_true", help="play it (pip install sounddevice)")
    sound.add_argument("-o", "--output", metavar="FILE", help="write what is heard: .wav .flac ...")
    sound.add_argument(
        "--buffer-ms", type=int, default=300, help="room for sound (default: %(default)s)"
    )
    sound.add_argument("--count", type=int, metavar="N", help="leave after N requests were heard")
    sound.add_argument("--json", action="store_true", help="one line of JSON a request on stdout")
    say = made.add_argument_group("saying something itself")
    what = say.add_mutually_exclusive_group()
    what.add_argument("--say", metavar="TEXT")
    what.add_argument("--stream", action="store_true", help="standard input, spoken as it comes")
    say.add_argument("--voice")
    say.add_argument("--speed", type=float)
    say.add_argument("--priority", type=int, help="0 to 9; a higher one cuts in")
    say.add_argument("--cancel-after", type=float, metavar="S", help="silence after S of sound")
    broker = made.add_argument_group("broker")
    broker.add_argument("--host", default="127.0.0.1", help="(default: %(default)s)")
    broker.add_argument("--port", type=int, help="(default: 1883, with TLS 8883)")
    broker.add_argument("--mqtt", choices=("5", "3.1.1"), default="5", help="(default: 5)")
    broker.add_argument("--username", help=f"(default: the environment variable {USERNAME})")
    broker.add_argument("--password-file", help=f"(default: the environment variable {PASSWORD})")
    broker.add_argument("--tls", action="store_true")
    broker.add_argument("--ca-file", help="PEM; checks the broker's certificate")
    return made


def check(options: argparse.Namespace) -> None:
    """Checks what goes together.

    Raises:
        ConfigError: something does not.
    """
    if options.play and options.output is not None:
        raise ConfigError("--play or -o, not both")
    if not MIN_BUFFER_MS <= options.buffer_ms <= MAX_BUFFER_MS:
        raise ConfigError(f"--buffer-ms: {MIN_BUFFER_MS} to {MAX_BUFFER_MS}")
    if options.cancel_after is not None and options.say is None and not options.stream:
        raise ConfigError("--cancel-after: with --say or --stream")
    if not options.host:
        raise ConfigError("--host: is empty")
    if options.port is not None and not 0 < options.port < 65536:
        raise ConfigError("--port: 1 to 65535")
    if options.ca_file and not options.tls:
        raise ConfigError("--ca-file: is of use with --tls only")


def tls_context(options: argparse.Namespace) -> ssl.SSLContext | None:
    """How to check the broker's certificate; None without TLS.

    Raises:
        ConfigError: the file cannot be read.
    """
    if not options.tls:
        return None
    try:
        return ssl.create_default_context(cafile=options.ca_file)
    except OSError as error:
        raise ConfigError(f"--ca-file {options.ca_file}: {error}") from None


def login(options: argparse.Namespace) -> tuple[str | None, str | None]:
    """The name and the password; a password without a name is not used.

    Raises:
        ConfigError: the file cannot be read.
    """
    username = options.username or os.environ.get(USERNAME)
    password = os.environ.get(PASSWORD)
    if options.password_file is not None:
        try:
            password = Path(options.password_file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--password-file: {error}") from None
    return (username, password) if username else (None, None)

"""A worker's process: how it starts, how it ends, how long until the next one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence

import msgspec

from streamtts.config import Config

FIRST_PAUSE_S = 0.5
LAST_PAUSE_S = 30.0


async def spawn(program: Sequence[str], number: int) -> tuple[Process, socket.socket]:
    """Starts an interpreter that waits for its configuration.

    Args:
        program: its arguments; the worker's number and the descriptor of a socket follow.
        number: of the worker.

    Returns:
        The process, and the other end of its socket.

    Raises:
        OSError: the system has no room for it.
    """
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", *program, str(number), str(theirs.fileno())),
                stdin=PIPE,
                stdout=DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is for the parent alone
                env={**os.environ, "PYTHONPATH": os.pathsep.join(_path())},
            )
    except OSError:
        ours.close()
        raise
    return process, ours


async def tell_config(process: Process, config: Config) -> None:
    """Hands a new worker its configuration: its keys are in nobody's list of processes."""
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):  # it is dead already
        process.stdin.write(msgspec.json.encode(config))
        await process.stdin.drain()
        process.stdin.close()


def pause(quick_deaths: int) -> float:
    """Seconds before a worker is started again, after so many short lives in a row."""
    return min(LAST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(quick_deaths - 1, 10)) if quick_deaths else 0


def ended(status: int) -> str:
    """A worker's exit status in words."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}" if status else "has ended"


def _path() -> list[str]:
    """Where the parent finds modules, so that workers find the same ones."""
    return [os.path.abspath(folder) for folder in sys.path]

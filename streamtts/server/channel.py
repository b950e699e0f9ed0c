"""Messages and sockets between the parent and one worker: in order, over one pair of sockets.

Messages are lines of JSON. A socket travels (SCM_RIGHTS) with the line that announces it.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import errno
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

READ_BYTES = 65_536
READS = 16  # in a row before others get their turn
RETRY_S = 0.05
GOODBYE_S = 1.0
_FD_BYTES = array.array("i").itemsize
_SHORT = (errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM)  # too many sockets are on their way


class _Message(msgspec.Struct, frozen=True, tag=True):
    pass


class Report(_Message, frozen=True):
    """A worker's state.

    Attributes:
        phase: a value of `gateway.Phase`.
        load: contexts alive, and connections that have never opened one.
        connections: open ones.
        taken: connections that it was ever given.
    """

    phase: str
    load: int
    connections: int
    taken: int


class Taken(_Message, frozen=True):
    """A worker has so many connections now, counted since its start."""

    count: int


class Failed(_Message, frozen=True):
    """A worker gives up; `detail` is a traceback if nobody expected this."""

    error: str
    detail: str = ""


class WantMetrics(_Message, frozen=True):
    """A worker was asked for the metrics of all."""


class OwnMetrics(_Message, frozen=True):
    """A worker's own metrics, for a round of the parent."""

    round: int
    text: str


class Connection(_Message, frozen=True):
    """Comes with a socket that was accepted on a port of that name."""

    port: str


class Drain(_Message, frozen=True):
    """Let what is being said be said, then end."""


class Stop(_Message, frozen=True):
    """End now."""


class GiveMetrics(_Message, frozen=True):
    """The parent asks for a worker's own metrics."""

    round: int


class AllMetrics(_Message, frozen=True):
    """The answer to `WantMetrics`."""

    text: str


Message: TypeAlias = _Message
FromWorker: TypeAlias = Report | Taken | Failed | WantMetrics | OwnMetrics
FromParent: TypeAlias = Connection | Drain | Stop | GiveMetrics | AllMetrics
TO_PARENT = msgspec.json.Decoder(FromWorker)
TO_WORKER = msgspec.json.Decoder(FromParent)


class Channel:
    """One end of the pair, on the running loop; reads nothing before `start`.

    Args:
        sock: the end; the channel closes it.
        decoder: of what the other side sends.
        on_message: gets a message; with a `Connection` its socket, or None when this process has
            no descriptor left for it.
        on_lost: the other side is gone.
        on_room: everything is written after some of it had to wait.
    """

    def __init__(
        self,
        sock: socket.socket,
        decoder: msgspec.json.Decoder[Any],
        on_message: Callable[[Any, socket.socket | None], None],
        on_lost: Callable[[], None],
        on_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._decoder = decoder
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_room = on_room
        self._out: deque[tuple[bytes, socket.socket | None]] = deque()
        self._line = b""
        self._sockets: deque[socket.socket | None] = deque()
        self._waits = False
        self._closed = False
        sock.setblocking(False)

    @property
    def full(self) -> bool:
        """Whether something waits here because the other side does not read."""
        return bool(self._out)

    def start(self) -> None:
        """Begins to read."""
        self._loop.add_reader(self._sock.fileno(), self.read)

    def pause(self) -> None:
        """Reads no more; what comes stays where it is, and is the sender's again in the end."""
        if not self._closed:
            self._loop.remove_reader(self._sock.fileno())

    def send(self, message: Message, sock: socket.socket | None = None) -> None:
        """Writes a message, or keeps it until the other side reads.

        Args:
            message: to write.
            sock: travels with it; stays the caller's, who keeps it open until it has arrived.
        """
        if self._closed:
            return
        self._out.append((msgspec.json.encode(message) + b"\n", sock))
        if not self._waits:
            self._write()

    def read(self) -> None:
        """Takes what is there."""
        for _ in range(READS):
            if self._closed or not self._read_some():
                return

    def read_rest(self) -> None:
        """Takes everything of a peer that has ended."""
        while not self._closed and self._read_some():
            pass

    def close(self) -> None:
        """Writes what it can at once, and closes; nobody is told."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        if self._out:
            self._sock.settimeout(GOODBYE_S)
            with contextlib.suppress(OSError):
                self._sock.sendall(b"".join(data for data, sock in self._out if sock is None))
        self._sock.close()
        for sock in self._sockets:
            if sock is not None:
                sock.close()

    def _read_some(self) -> bool:
        room = socket.CMSG_SPACE(_FD_BYTES)
        try:
            data, ancillary, flags, _ = self._sock.recvmsg(READ_BYTES, room)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data, ancillary, flags = b"", [], 0
        for level, kind, numbers in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS) and numbers:
                sock = socket.socket(fileno=array.array("i", numbers[:_FD_BYTES])[0])
                sock.set_inheritable(False)
                self._sockets.append(sock)
        if flags & socket.MSG_CTRUNC:
            self._sockets.append(None)
        if not data:
            self.close()
            self._on_lost()
            return False
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            message = self._decoder.decode(line)
            carries = isinstance(message, Connection) and self._sockets
            self._on_message(message, self._sockets.popleft() if carries else None)
        return True

    def _write(self) -> None:
        while self._out and not self._closed:
            data, sock = self._out[0]
            try:
                if sock is None:
                    sent = self._sock.send(data)
                else:
                    sent = socket.send_fds(self._sock, [data], [sock.fileno()])
            except (BlockingIOError, InterruptedError):
                self._waits = True
                self._loop.add_writer(self._sock.fileno(), self._write_again)
                return
            except OSError as error:
                if error.errno in _SHORT:
                    self._waits = True
                    self._loop.call_later(RETRY_S, self._write_again)
                else:  # it is gone, as reading will tell
                    self._out.clear()
                return
            self._out.popleft()
            if sent < len(data):
                self._out.appendleft((data[sent:], None))

    def _write_again(self) -> None:
        if self._closed:
            return
        self._loop.remove_writer(self._sock.fileno())
        self._waits = False
        self._write()
        if not self._out:
            self._on_room()

"""What a server uses, seen from outside: from /proc, or from what it says of itself."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from pathlib import Path
from typing import NamedTuple

import load_wire
from load_spec import ServerUse

from streamtts.client.dial import PATH
from streamtts.errors import BadField

_LIMIT_S = 5.0
_MOST_BYTES = 1024 * 1024
_WHOLE = "process_cpu_seconds_total"
_ENGINE = "streamtts_compute_seconds_total"


class Reading(NamedTuple):
    """CPU seconds so far and resident bytes now (0: not known)."""

    cpu_s: float
    rss_bytes: int


class Processes:
    """A process and all that it has started, from /proc.

    Raises:
        BadField: there is no such process, or no /proc.
    """

    source = "/proc"

    def __init__(self, pid: int) -> None:
        self._pid = pid
        if self.read() is None:
            raise BadField(f"pid: no process {pid} can be read from /proc")

    def read(self) -> Reading | None:
        """The sum over all of them; None when the first one is gone."""
        cpu_s, rss_bytes = 0.0, 0
        waiting, first = [self._pid], True
        while waiting:
            pid = waiting.pop()
            try:
                stat = Path(f"/proc/{pid}/stat").read_text()
                for task in Path(f"/proc/{pid}/task").iterdir():
                    waiting += map(int, (task / "children").read_text().split())
            except OSError:
                if first:
                    return None
                continue
            first = False
            fields = stat.rpartition(")")[2].split()
            ticks = int(fields[11]) + int(fields[12])
            if pid == self._pid:
                ticks += int(fields[13]) + int(fields[14])  # of children that have ended
            cpu_s += ticks / os.sysconf("SC_CLK_TCK")
            rss_bytes += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        return Reading(cpu_s, rss_bytes)


class Scraper:
    """The server's own `/metrics`.

    It is asked without a thread, which would hold the interpreter for milliseconds in a run.

    Attributes:
        source: which of its clocks is read; the engine's alone when it has no other.
    """

    def __init__(self, url: str, key: str) -> None:
        self._uri = load_wire.target(url)
        self._key = key
        self.source = "/metrics"

    async def read(self) -> Reading | None:
        """Asks the server; None when it does not tell."""
        text = await self._fetch()
        for name, note in ((_WHOLE, ""), (_ENGINE, " (engine only)")):
            cpu_s = _value(text, name)
            if cpu_s is not None:
                self.source = f"/metrics{note}"
                return Reading(cpu_s, int(_value(text, "process_resident_memory_bytes") or 0))
        return None

    async def _fetch(self) -> str:
        uri = self._uri
        host = f"[{uri.host}]" if ":" in uri.host else uri.host
        path = uri.path.removesuffix(PATH).rstrip("/")
        lines = [f"GET {path}/metrics HTTP/1.0", f"Host: {host}:{uri.port}"]
        if self._key:
            lines.append(f"Authorization: Bearer {self._key}")
        secure = ssl.create_default_context() if uri.secure else None
        try:
            async with asyncio.timeout(_LIMIT_S):
                reader, writer = await asyncio.open_connection(uri.host, uri.port, ssl=secure)
                try:
                    writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
                    answer = await reader.read(_MOST_BYTES)
                    while more := await reader.read(_MOST_BYTES - len(answer)):
                        answer += more
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return ""
        return answer.decode("utf-8", "replace")


class Watch:
    """What a server uses between two moments.

    Args:
        pid: of the server; 0 to ask its `/metrics`.
        url, key: of the server.
    """

    def __init__(self, pid: int, url: str, key: str) -> None:
        self._processes = Processes(pid) if pid else None
        self._scraper = Scraper(url, key)
        self._begin: Reading | None = None
        self._end: Reading | None = None
        self._peak_bytes = 0

    def look(self) -> None:
        """Notes the memory as it is now."""
        if self._processes is not None and (now := self._processes.read()):
            self._peak_bytes = max(self._peak_bytes, now.rss_bytes)

    async def begin(self) -> None:
        """Reads the clocks at the begin."""
        self._begin = await self._read()

    async def end(self) -> None:
        """Reads them at the end."""
        self._end = await self._read()

    def use(self, audio_s: float) -> ServerUse | None:
        """What was used between begin and end; None when one of them is not known."""
        if self._begin is None or self._end is None:
            return None
        cpu_s = self._end.cpu_s - self._begin.cpu_s
        return ServerUse(
            source=self._scraper.source if self._processes is None else self._processes.source,
            cpu_s=round(cpu_s, 3),
            cpu_s_per_audio_s=round(cpu_s / audio_s, 6) if audio_s else 0.0,
            rss_start_bytes=self._begin.rss_bytes,
            rss_peak_bytes=max(self._peak_bytes, self._begin.rss_bytes, self._end.rss_bytes),
            rss_end_bytes=self._end.rss_bytes,
        )

    async def _read(self) -> Reading | None:
        if self._processes is not None:
            return self._processes.read()
        return await self._scraper.read()


def _value(text: str, name: str) -> float | None:
    found = re.search(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
    return None if found is None else float(found[1])

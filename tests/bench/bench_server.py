"""A server of our own for a benchmark: started, waited for, looked at from outside, stopped."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

START_LIMIT_S = 120.0


class ServerProcess:
    """`python -m streamtts serve` on a free port of loopback.

    Args:
        config: path of a TOML file; empty for the defaults.
        more: TOML that is appended to it.

    Attributes:
        url: for WebSockets.
        start_s: from the start of the process to the first 200 of /readyz.
    """

    def __init__(self, config="", more=""):
        self._toml = (Path(config).read_text(encoding="utf-8") if config else "") + "\n" + more
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        config = folder / "bench.toml"
        config.write_text(self._toml, encoding="utf-8")
        self._log = folder / "server.log"
        output = self._stack.enter_context(self._log.open("wb"))
        command = [sys.executable, "-m", "streamtts", "serve", str(config), "--port", str(port)]
        self.url = f"ws://127.0.0.1:{port}"
        self._http = f"http://127.0.0.1:{port}"
        began = time.monotonic()
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                         stderr=subprocess.STDOUT)  # fmt: skip
        self.pid = self._process.pid
        try:
            self._wait_until_ready(began)
        except BaseException:
            self.__exit__()
            raise
        self.start_s = time.monotonic() - began
        return self

    def __exit__(self, *error):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._stack.close()

    def _wait_until_ready(self, began):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while time.monotonic() - began < START_LIMIT_S:
            if self._process.poll() is not None:
                break
            try:
                with opener.open(f"{self._http}/readyz", timeout=5):
                    return
            except urllib.error.HTTPError as error:
                error.close()
            except OSError:
                pass
            time.sleep(0.01)
        said = self._log.read_text(errors="replace")[-2000:]
        raise SystemExit(f"the server did not become ready:\n{said}")

    def get(self, path):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self._http + path, timeout=10) as answer:
            return answer.read().decode()

    @property
    def rss_bytes(self):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise SystemExit("this system has no VmRSS in /proc")

    @property
    def cpu_s(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

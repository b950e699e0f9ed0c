"""Servers of our own for a benchmark: started, waited for, looked at from outside, stopped."""

import contextlib
import ctypes
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
STOP_LIMIT_S = 30.0
FOLDER = Path(__file__).resolve().parent
_PR_SET_PDEATHSIG = 1


def die_with_parent():
    """In the child: the kernel kills it when the benchmark is gone, however that ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    """A port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Process:
    """A server on a free port of loopback, alive inside a `with`.

    Args:
        command: gets a port and a folder for its files, and returns what to run.

    Attributes:
        url: for WebSockets.
        pid: of the process.
        start_s: from the start of the process to the first 200 of /readyz.
    """

    def __init__(self, command):
        self._command = command
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        port = free_port()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._log = folder / "server.log"
        output = self._stack.enter_context(self._log.open("wb"))
        self.url = f"ws://127.0.0.1:{port}"
        self._http = f"http://127.0.0.1:{port}"
        began = time.monotonic()
        self._process = subprocess.Popen(self._command(port, folder), stdin=subprocess.DEVNULL,
                                         stdout=output, stderr=subprocess.STDOUT,
                                         start_new_session=True,
                                         preexec_fn=die_with_parent)  # fmt: skip
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
            self.resume()
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        with contextlib.suppress(ProcessLookupError):  # what it has started itself
            os.killpg(self.pid, signal.SIGKILL)
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
        raise SystemExit(f"the server did not become ready:\n{self.said()}")

    def pause(self):
        """Stops it where it is, so that it costs nothing while another one is measured."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self):
        os.killpg(self.pid, signal.SIGCONT)

    def said(self):
        """The end of its log."""
        return self._log.read_text(errors="replace")[-2000:]

    def check(self):
        """Ends the benchmark when the server has died."""
        if self._process.poll() is not None:
            raise SystemExit(f"a server died:\n{self.said()}")

    def get(self, path):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self._http + path, timeout=10) as answer:
            return answer.read().decode()

    def metrics(self):
        """/metrics as a dict from `name` or `name{labels}` to its value."""
        lines = [line for line in self.get("/metrics").splitlines() if not line.startswith("#")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

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


class ServerProcess(Process):
    """`python -m streamtts serve`.

    Args:
        config: path of a TOML file; empty for the defaults.
        more: TOML that is appended to it.
    """

    def __init__(self, config="", more=""):
        toml = (Path(config).read_text(encoding="utf-8") if config else "") + "\n" + more

        def command(port, folder):
            file = folder / "bench.toml"
            file.write_text(toml, encoding="utf-8")
            return [sys.executable, "-m", "streamtts", "serve", str(file), "--port", str(port)]

        super().__init__(command)


class StrategyProcess(Process):
    """One of bench_strategies.py, by its name."""

    def __init__(self, name):
        script = str(FOLDER / "bench_strategies.py")
        super().__init__(lambda port, _: [sys.executable, script, name, "--port", str(port)])

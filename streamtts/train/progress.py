"""What a training run tells: bars with rate and time left, and a log file with the details."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Bar:
    """One bar of a `Report`."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._start_s = time.monotonic()
        self._first: int | None = None

    def advance(self) -> None:
        """One more is done."""
        done = int(self._progress.tasks[self._task].completed) + 1
        self.update(done, "")

    def update(self, done: int, info: str) -> None:
        """So many are done; `info` stands behind the bar."""
        if self._first is None:
            self._first = done - 1
        rate = (done - self._first) / max(1e-6, time.monotonic() - self._start_s)
        self._progress.update(self._task, completed=done, info=f"{rate:.1f}/s {info}")


class Report:
    """Bars and lines for a person, and the same lines with their time in a file.

    Args:
        log: file to append to.
        console: where the bars go; default the terminal's standard error.
    """

    def __init__(self, log: Path, console: Console | None = None) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self.console = console or Console(stderr=True)

    def note(self, line: str) -> None:
        """A detail: into the file only."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    def say(self, line: str) -> None:
        """A line for the person and for the file."""
        self.note(line)
        self.console.print(line, highlight=False)

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Bar]:
        """A bar that lives as long as the `with` block."""
        with self._progress() as progress:
            yield Bar(progress, progress.add_task(label, total=total, info=""))

    @contextmanager
    def bars(self, totals: dict[str, int]) -> Iterator[dict[str, Bar]]:
        """Several bars side by side, by label."""
        with self._progress() as progress:
            yield {
                label: Bar(progress, progress.add_task(label, total=total, info=""))
                for label, total in totals.items()
            }

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description:>12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[info]}"),
            console=self.console,
            refresh_per_second=2,
        )

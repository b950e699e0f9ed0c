"""What has to go on although it fails: again and again, with longer and longer breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

FIRST_BACKOFF_S, LAST_BACKOFF_S = 0.5, 30.0
STABLE_S = 10.0  # what lasted so long starts the breaks anew


async def keep(
    work: Callable[[], Awaitable[None]],
    report: Callable[[Exception, bool], None],
    *,
    lasting: bool,
    jitter: Callable[[], float],
) -> None:
    """Does something until it is cancelled.

    Args:
        work: returns or raises when it has to be done again.
        report: told of an error, and whether the attempt before has failed as well.
        lasting: False to do it once.
        jitter: between 0 and 1, at random: many clients must not come back at once.
    """
    attempt = 0
    loop = asyncio.get_running_loop()
    while True:
        began_s = loop.time()
        try:
            await work()
        except Exception as error:
            report(error, attempt > 0)
        check_cancelled()
        if not lasting:
            return
        attempt = 1 if loop.time() - began_s > STABLE_S else attempt + 1
        backoff_s = min(LAST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(attempt - 1, 10))
        await asyncio.sleep(backoff_s * (0.5 + jitter() / 2))


def check_cancelled() -> None:
    """To be called after what may swallow a cancellation, as `asyncio.wait_for` of 3.11 does.

    Raises:
        asyncio.CancelledError: this task has been cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError

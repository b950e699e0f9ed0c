import threading

from support.fake_voice import FakeClock

from streamtts.textwork import TextWorker


class Scripted:
    """Returns what it is told to, and notes when it was called."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.calls = []

    def work(self, now_s):
        self.calls.append(now_s)
        return self.answers.pop(0) if self.answers else None


def turns(worker):
    count = 0
    while worker.turn():
        count += 1
    return count


def test_jobs_take_turns():
    order = []

    class Job:
        def __init__(self, name):
            self.name, self.left = name, 3

        def work(self, now_s):
            order.append(self.name)
            self.left -= 1
            return now_s if self.left else None

    worker = TextWorker(FakeClock())
    for name in "ab":
        worker.ready(Job(name))
    assert turns(worker) == 6
    assert "".join(order) == "ababab"


def test_a_job_is_queued_once():
    worker, job = TextWorker(FakeClock()), Scripted()
    for _ in range(5):
        worker.ready(job)
    assert turns(worker) == 1


def test_alarms_ring_once_and_at_their_time():
    clock = FakeClock()
    worker = TextWorker(clock)
    job = Scripted(105.0, None)
    worker.ready(job)
    assert turns(worker) == 1
    clock.now_s = 104.9
    assert turns(worker) == 0
    clock.now_s = 105.0
    assert turns(worker) == 1
    assert job.calls == [100.0, 105.0]
    clock.now_s = 999.0
    assert turns(worker) == 0


def test_alarms_do_not_pile_up():
    clock = FakeClock()
    worker = TextWorker(clock)
    job = Scripted(*(160.0 + i for i in range(1000)))
    for i in range(1000):
        clock.now_s = 100.0 + i * 0.001
        worker.ready(job)
        worker.turn()
    assert len(worker._heap) == 1
    worker.forget(job)
    assert not worker._heap
    clock.now_s = 999.0
    assert turns(worker) == 0


def test_an_earlier_alarm_wins():
    clock = FakeClock()
    worker = TextWorker(clock)
    job = Scripted(160.0, 101.0, None)
    for _ in range(2):
        worker.ready(job)
        worker.turn()
    clock.now_s = 101.0
    assert turns(worker) == 1


def test_the_thread_survives_a_bad_job_and_stops(caplog):
    done = threading.Event()

    class Bad:
        def work(self, now_s):
            raise RuntimeError("no")

    class Good:
        def work(self, now_s):
            done.set()

    worker = TextWorker(FakeClock())
    worker.start()
    worker.ready(Bad())
    worker.ready(Good())
    assert done.wait(30)
    worker.close()
    assert "a job of the text thread failed" in caplog.text

import threading

from streamtts.engine.commands import Commands


def sleeper(commands):
    thread = threading.Thread(target=commands.sleep, args=(600.0,), daemon=True)
    thread.start()
    return thread


def test_a_ring_ends_one_sleep():
    commands = Commands(4, 1.0)
    thread = sleeper(commands)
    commands.put(lambda: None, wait=False)
    thread.join(10)
    assert not thread.is_alive()
    assert len(commands.take()) == 1
    assert not commands.waiting


def test_a_stop_is_not_slept_over_whoever_took_in_between():
    commands = Commands(4, 1.0)
    commands.stop()
    commands.take()
    thread = sleeper(commands)
    thread.join(10)
    assert not thread.is_alive()
    assert commands.stopped

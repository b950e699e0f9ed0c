import pytest

from streamtts.engine.admission import NO_COSTS, TARGET_LOAD, Admission, Costs

COSTS = Costs(((1, 0.001), (10, 0.002), (100, 0.011)), 0.00002, 0.001)


def admission(costs=COSTS, slots=500, clock=lambda: 100.0):
    return Admission(costs, steps_per_s=40.0, frames_per_s=80.0, slots=slots, clock=clock)


def test_steps_between_and_beyond_the_measured_ones():
    assert COSTS.step_s(0) == 0.0
    assert COSTS.step_s(1) == 0.001
    assert COSTS.step_s(55) == pytest.approx(0.0065)
    assert COSTS.step_s(100) == pytest.approx(0.011)
    assert COSTS.step_s(200) == pytest.approx(0.022)


def test_as_many_are_admitted_as_the_machine_keeps_in_time():
    gate = admission()
    n = gate.capacity
    assert 40 < n < 200
    assert gate.load(n) <= TARGET_LOAD < gate.load(n + 1)
    assert gate.admits(n - 1)
    assert not gate.admits(n)


def turns(gate, count, times=1.0):
    """Turns of fifty rows and a vocoder call of a hundred frames."""
    for _ in range(count):
        gate.took(times * (COSTS.step_s(50) + 100 * COSTS.sound_s), 50, [100])


def test_a_machine_that_slows_down_admits_fewer_and_recovers():
    gate = admission()
    turns(gate, 1500)
    assert gate.pressure == pytest.approx(1.0, rel=0.02)
    before = gate.capacity
    turns(gate, 1500, times=3)
    assert gate.pressure == pytest.approx(3.0, rel=0.02)
    assert gate.capacity < 0.5 * before
    turns(gate, 1500)
    assert gate.capacity == pytest.approx(before, rel=0.05)


def test_small_batches_alone_are_no_pressure():
    gate = admission()
    for _ in range(2000):
        gate.took(COSTS.step_s(1) + COSTS.call_s, 1, [4])
    assert gate.pressure == pytest.approx(1.0, rel=0.02)


def test_one_bad_turn_shuts_nobody_out():
    gate = admission()
    turns(gate, 1500)
    before = gate.capacity
    gate.took(0.1, 50, [100])  # twelve times as long as it should have taken
    assert gate.capacity > 0.8 * before


def test_a_machine_that_stood_still_is_forgiven():
    now_s = [100.0]
    gate = admission(clock=lambda: now_s[0])
    turns(gate, 1500)
    before = gate.capacity
    for _ in range(20):
        gate.took(10.0, 1, [])
    assert gate.capacity < 0.1 * before
    now_s[0] += 60.0
    assert gate.capacity > 0.3 * before


def test_twice_the_speed_needs_twice_the_steps_but_no_more_sound():
    gate = admission()
    slow = gate.load(50)
    gate.speed = 2.0
    assert gate.load(50) == pytest.approx(slow + gate.pressure * 40.0 * COSTS.step_s(50))


def test_nobody_more_while_listeners_are_about_to_run_dry():
    gate = admission()
    gate.crowded = True
    assert gate.admits(0)
    assert not gate.admits(1)
    gate.crowded = False
    assert gate.admits(1)


def test_the_first_one_always_fits_and_slots_bound_all():
    gate = admission(slots=3)
    for _ in range(5000):
        gate.took(10.0, 3, [])
    assert gate.admits(0)
    assert not gate.admits(1)
    assert gate.capacity == 1
    unmeasured = admission(NO_COSTS, slots=3)
    unmeasured.took(1.0, 1, [8])
    assert [unmeasured.admits(n) for n in range(4)] == [True, True, True, False]


def test_the_wait_follows_from_who_got_a_slot_lately():
    gate = admission()
    assert gate.wait_s(5, 100.0) == 0.0
    assert gate.retry_after_ms(5, 100.0) == 250
    for i in range(20):
        gate.admitted(100.0 + 0.5 * i)
    assert gate.wait_s(1, 110.0) == pytest.approx(0.5)
    assert gate.wait_s(10, 110.0) == pytest.approx(5.0)
    assert gate.retry_after_ms(9, 110.0) == pytest.approx(5000)
    assert gate.wait_s(10, 200.0) == 0.0  # that was long ago

"""Host and device: who waits for whom."""

import numpy
import pytest

from harness.timing.queues import DEEP, SYNC, run


def _run(host, device, launches=None, waits=None):
    count = len(host)
    return run(
        numpy.array(host, float),
        numpy.array(device, float),
        numpy.ones(count) if launches is None else numpy.array(launches, float),
        numpy.zeros(count, bool) if waits is None else numpy.array(waits, bool),
    )


def _slowly(host, device, launches, waits):
    """Return when both are done, operator by operator."""
    done, numbers, host_now, device_now, number = [], [], 0.0, 0.0, 0
    for spent, worked, count, asks in zip(host, device, launches, waits, strict=True):
        number += count
        if number > DEEP:
            before = next((i for i, n in enumerate(numbers) if n >= number - DEEP), None)
            if before is not None:
                host_now = max(host_now, done[before])
        host_now += spent
        if count:
            device_now = max(device_now, host_now) + worked
        done.append(device_now)
        numbers.append(number)
        if asks:
            host_now = max(host_now, device_now) + SYNC
    return max(host_now, device_now)


def test_the_slower_one_binds():
    slow_host = _run([2.0] * 10, [1.0] * 10)
    assert slow_host.seconds == pytest.approx(21.0)  # the last kernel begins when it is launched
    slow_device = _run([1.0] * 10, [2.0] * 10)
    assert slow_device.seconds == pytest.approx(21.0)
    assert slow_device.done[0] == pytest.approx(3.0)


def test_the_host_waits_where_it_asks():
    # Without the question the host would launch the last kernel at 3 and the device go on at once.
    asked = _run([1.0, 1.0, 1.0], [5.0, 5.0, 5.0], waits=[False, True, False])
    assert asked.seconds == pytest.approx(11.0 + SYNC + 1.0 + 5.0)


def test_views_take_the_host_alone():
    assert _run([1.0] * 4, [0.0, 3.0, 0.0, 0.0], launches=[0, 1, 0, 0]).seconds == pytest.approx(
        5.0
    )


def test_it_is_what_a_loop_over_operators_gives():
    draw = numpy.random.default_rng(0)
    count = 5 * DEEP
    host, device = draw.exponential(1.0, count), draw.exponential(1.05, count)
    host[: count // 2] /= 3  # first the device binds, with a full queue, then the host
    launches = draw.choice([0, 1, 1, 2], count)
    device[launches == 0] = 0.0
    waits = draw.random(count) < 0.001
    course = run(host, device, launches.astype(float), waits)
    assert course.seconds == pytest.approx(_slowly(host, device, launches, waits), rel=1e-3)


def test_a_full_queue_stops_the_host():
    # The host, done at once with all, has to wait; its last launch comes DEEP before the end.
    count = 3 * DEEP
    host = [1e-9] * count + [5.0]
    course = _run(host, [1.0] * (count + 1))
    assert course.seconds == pytest.approx(count + 1, rel=1e-6)
    late = _run([1e-9] * count + [DEEP + 5.0], [1.0] * (count + 1))
    assert late.seconds == pytest.approx(count + 1 + 5.0, rel=1e-3)

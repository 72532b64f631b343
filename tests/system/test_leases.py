# SPDX-License-Identifier: MIT
"""Leases beside a Python peer that sweeps the same Redis.

kombu gives back whatever has a score older than its own visibility timeout, by its
own clock, whoever claimed it; Celery keeps tasks that wait for their ETA in memory
and never stamps them again. So a Python fleet doubles an ETA task that waits longer
than its visibility timeout, all by itself, and nothing of ours can keep it from
that. What is asserted is what concerns us:

- what only ours has received starts exactly once, and no peer takes it over;
- ours starts nothing twice, also what Python claimed first and kombu moved to us;
- everything starts: what changes hands is never lost.
"""

import collections
import json
import re
import time

import pytest

import harness
from harness import ModuleWorker, wait_for
from test_interop import python_ready, start_python_worker
from test_parked import envelope

# A fleet's numbers: the peer's visibility timeout, how far away the ETAs are, how
# many tasks.
LATE_ACK = 6  # four run at once, two wait for them
PYTHON_FIRST = 8


def clock_off(seconds):
    """The environment in which a program's clock is off."""
    return {"LD_PRELOAD": harness.CLOCK_OFF, "CLOCK_OFF": seconds}


class Fleet:
    """A Redis database with a Python worker that sweeps every second, then one of
    ours beside it."""

    def __init__(self, name, server, db, folder, started, numbers, python_off=0):
        self.name, self.started, self.numbers = name, started, numbers
        self.folder = folder / name
        self.folder.mkdir()
        self.broker, self.backend, self.ledger = server.url(db), server.url(db), ""
        self.client = server.client(db)
        self.starts_path = self.folder / "starts"
        self.starts_path.touch()
        self.python_off = python_off
        self.ids = {"first": [], "shared": [], "ours": []}
        self.ours = self.python = None

    def start_python(self):
        visibility, *_ = self.numbers
        more = clock_off(self.python_off) if self.python_off else {}
        self.python = start_python_worker(
            self, self.started, "5.7.0", "-c", "1", "-Q", "celery", "--without-mingle",
            "--without-gossip", T_STARTS=self.starts_path, T_TRANSPORT=json.dumps(
                {"visibility_timeout": visibility, "unacked_restore_interval": 1,
                 "unacked_restore_throttle": 1}), **more)

    def start_ours(self):
        self.ours = ModuleWorker(self.folder, self.broker, self.backend, "-c", "4", "-Q",
                                 "celery,ours", T_STARTS=self.starts_path,
                                 CELERY_TASK_ACKS_LATE=1)
        self.started.append(self.ours)

    def publish(self, group, queue, count, seconds, eta=None):
        messages = [envelope("t.mark", [seconds], eta, queue) for _ in range(count)]
        self.ids[group] += [task_id for task_id, _ in messages]
        with self.client.pipeline(transaction=False) as pipe:
            for _, message in messages:
                pipe.lpush(queue, message)
            pipe.execute()

    def starts(self):
        """[(kind, id)]"""
        return [tuple(line.split()) for line in self.starts_path.read_text().splitlines()]

    def received(self):
        """How often each kind has received each id."""
        by_python = re.findall(r"t\.mark\[(\S+)\] received", self.python.log())
        by_ours = [event["id"] for event in self.ours.events("task_received")] if self.ours else []
        return collections.Counter(by_python), collections.Counter(by_ours)

    def idle(self):
        """Nothing waits, is claimed, or stands in a worker's memory."""
        if self.client.hlen("unacked") or self.client.llen("celery") or self.client.llen("ours"):
            return False
        by_python, by_ours = self.received()
        python_done = len(re.findall(r"t\.mark\[\S+\] succeeded", self.python.log()))
        ours_done = len(self.ours.events("task_succeeded")) + len(self.ours.events("lease_lost"))
        return python_done == by_python.total() and ours_done >= by_ours.total()

    def check(self):
        starts = self.starts()
        total = collections.Counter(task_id for _, task_id in starts)
        ours = collections.Counter(task_id for kind, task_id in starts if kind == "c")
        by_python, by_ours = self.received()
        what = f"{self.name}: {self.folder}"
        assert set(total) == {i for ids in self.ids.values() for i in ids}, what
        assert [i for i in self.ids["ours"] if total[i] != 1 or ours[i] != 1] == [], what
        assert [i for i in by_ours if i not in by_python and total[i] != 1] == [], what
        assert [i for i, times in ours.items() if times != 1] == [], what
        assert [i for i, times in by_ours.items() if times != 1] == [], what
        assert self.ours.events("lease_lost") == [], what
        assert self.ours.events("expired_claims_restored") == [], what
        # The peer did sweep: what it held itself for longer than its timeout moved.
        assert any(by_python[i] + by_ours[i] > 1 for i in self.ids["first"]), what


def run(fleets, numbers):
    """All fleets at the same time."""
    visibility, eta, tasks = numbers
    for fleet in fleets:
        fleet.start_python()
    for fleet in fleets:
        python_ready(fleet.python)
    for fleet in fleets:
        fleet.publish("first", "celery", PYTHON_FIRST, 0, time.time() + eta + max(fleet.python_off, 0))
    for fleet in fleets:
        wait_for(lambda: len(fleet.received()[0]) == PYTHON_FIRST, "Python holds the first ones")
        fleet.start_ours()
    for fleet in fleets:
        fleet.ours.ready()
        at = time.time() + eta + max(fleet.python_off, 0)
        fleet.publish("shared", "celery", tasks // 2, 0, at)
        fleet.publish("ours", "ours", tasks - tasks // 2, 0, at)
        # Late acks: what runs, and what waits behind it, is held beyond the peer's
        # timeout.
        fleet.publish("ours", "ours", LATE_ACK, 3 * visibility)
    for fleet in fleets:
        wait_for(fleet.idle, f"everything has run in {fleet.folder}", 60 + 3 * eta, every=0.2)
    for fleet in fleets:
        fleet.check()
        assert fleet.ours.stop() == 0
        assert fleet.python.stop() == 0


@pytest.fixture
def late_redis(tmp_path):
    """A Redis whose clock is ahead of ours: with a Python worker of the same clock
    beside it, it is ours that is off."""
    servers = []

    def start(seconds):
        (tmp_path / "ahead").mkdir()
        servers.append(harness.Redis(tmp_path / "ahead", env=harness.plain_env(**clock_off(seconds))))
        return servers[0]

    yield start
    for server in servers:
        server.stop()


def fleets_of(redis, late_redis, folder, started, numbers, off):
    return [
        Fleet("same-clock", redis, 0, folder, started, numbers),
        Fleet("python-ahead", redis, 1, folder, started, numbers, off),
        Fleet("python-behind", redis, 2, folder, started, numbers, -off),
        Fleet("ours-behind", late_redis(off), 0, folder, started, numbers, off),
    ]


def test_what_ours_claims_starts_once(redis, late_redis, tmp_path, started):
    """Clocks that agree and clocks that do not, side by side: a peer's visibility
    timeout of 3 s, ETAs of five times that, clocks 5 s off; ours has 3600 s."""
    numbers = (3, 15, 50)
    run(fleets_of(redis, late_redis, tmp_path, started, numbers, 5), numbers)


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_what_ours_claims_starts_once_long(redis, late_redis, tmp_path, started):
    numbers = (20, 100, 200)
    run(fleets_of(redis, late_redis, tmp_path, started, numbers, 30), numbers)

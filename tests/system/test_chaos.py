# SPDX-License-Identifier: MIT
"""Kills and faults under full load, judged by what was published against what ran.
Short by default; T_CHAOS_KILLS and T_CHAOS_FAULTS make it long."""

import os
import random
import signal
import time

import pytest

import harness
from harness import LOOPBACK, Redis, wait_for
from load import Load
from proxy import Proxy
from test_interop import python_worker

KILLS = int(os.environ.get("T_CHAOS_KILLS", "8"))
FAULTS = int(os.environ.get("T_CHAOS_FAULTS", "6"))
# How soon after the broker's return: 2 s; a sanitizer's build on a busy machine gets more.
RESUME_S = float(os.environ.get("T_CHAOS_RESUME", "5"))
SEED = int(os.environ.get("T_SEED") or random.randrange(2**32))


def refill(load):
    # Those that are held alone run slowly: they must not pile up.
    if load.waits() < 500 and load.suspects() < 500:
        load.publish(1000)


def kill_often(load, rng):
    """Lives of a few hundredths of a second; of how many it was looked at what they
    held, and how many died with claims. RabbitMQ's answer takes a second or two: of
    many kills every twentieth is looked at."""
    looked = hit = 0
    for n in range(KILLS):
        refill(load)
        size = load.notes.stat().st_size
        worker = load.worker()
        wait_for(lambda: load.notes.stat().st_size > size or not worker.alive(), "it runs", 30,
                 every=0.002)
        until = time.monotonic() + rng.random() * 0.1
        while time.monotonic() < until:
            pass
        worker.child.send_signal(signal.SIGSTOP)
        if not load.setup.rabbitmq or KILLS < 100 or n % 20 == 0:
            looked += 1
            hit += load.held() > 0
        worker.kill()
        log = worker.log()
        assert "Sanitizer" not in log and "runtime error:" not in log, log[-3000:]
        worker.log_path.unlink()
    return looked, hit


def finish(load, started, what):
    """Runs what is left; nothing may be lost."""
    last = load.worker()
    started.append(last)
    load.drained(300)
    assert last.stop() == 0
    lost, twice, dead = load.judge()
    print(f"{what}, {len(load.published)} tasks, {len(lost)} lost, {dead} given up after five "
          f"deaths, {twice} run more than once")
    assert not lost, sorted(lost)[:5]


def test_kills_under_load(setup, started):
    """0 lost, whatever instant the worker is killed at."""
    print(f"T_SEED={SEED}")
    load = Load(setup)
    looked, hit = kill_often(load, random.Random(SEED))
    finish(load, started, f"{setup.name}: {KILLS} kills, {hit} of {looked} looked at with claims")
    assert hit >= looked * 0.8


@pytest.fixture
def servers(setup):
    if not setup.redis:
        pytest.skip("the folder has no server")
    if not setup.rabbitmq:
        setup.redis.cli("FLUSHALL")
    return setup


@pytest.mark.skipif(KILLS < 100, reason="part of scripts/test.sh chaos")
def test_kills_in_a_mixed_fleet(servers, started):
    """The same beside a Python worker that nobody kills: it takes its share, and what
    ours had claimed is not lost."""
    print(f"T_SEED={SEED}")
    load = Load(servers)
    load.publish(2000)
    python = python_worker(servers, started, "5.7.0", "-c", "1", "-Q", "celery",
                           T_NOTES=load.notes)
    kill_often(load, random.Random(SEED + 1))
    wait_for(lambda: "succeeded in" in python.log(), "the Python worker has its share")
    assert python.stop() == 0
    finish(load, started, f"{servers.name}, mixed: {KILLS} kills")


# --- faults of the connection ---------------------------------------------------


class RedisServer:
    """A Redis of its own that survives a restart."""

    weights = {"reset": 4, "fin": 4, "blackhole": 2, "client_kill": 4, "restart": 2, "pause": 2}

    def __init__(self, folder):
        self.server = Redis(folder, "--appendonly", "yes", "--appendfsync", "always")
        self.redis, self.rabbitmq = self.server, None
        self.folder, self.port = folder, self.server.port

    def url(self, port):
        return f"redis://{LOOPBACK}:{port}/0"

    def client_kill(self):
        for row in self.server.client().client_list():
            if row["name"] == "celery-c-worker":
                self.server.cli("CLIENT", "KILL", "ID", row["id"])

    def restart(self):
        self.server.process.kill()
        self.server.start()

    def pid(self):
        return self.server.process.pid

    def stop(self):
        self.server.stop()


class RabbitServer:
    weights = {"reset": 5, "fin": 5, "blackhole": 3, "client_kill": 2, "restart": 1, "pause": 2}

    def __init__(self, folder):
        self.server = harness.RabbitMQ(folder)
        self.redis, self.rabbitmq = None, self.server.vhost()
        self.folder, self.port = folder, self.server.port

    def url(self, port):
        return self.rabbitmq.url.replace(f":{self.port}/", f":{port}/")

    def client_kill(self):
        self.server.ctl("close_all_connections", "-p", self.rabbitmq.name, "by the test")

    def restart(self):
        self.server.stop()
        self.server.start()

    def pid(self):
        """Of the runtime itself, not of the script that started it."""
        return int((self.folder / "rabbitmq.pid").read_text())

    def stop(self):
        self.server.close()


def strike(server, proxy, kind, seconds):
    """The fault, which lasts so long where it lasts; returns when the broker can be
    reached again."""
    if kind == "reset":
        proxy.reset()
    elif kind == "fin":
        proxy.finish()
    elif kind == "blackhole":
        proxy.blackhole(True)
        time.sleep(seconds)
        proxy.blackhole(False)
    elif kind == "client_kill":
        server.client_kill()
    elif kind == "restart":
        server.restart()
    else:
        os.kill(server.pid(), signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(server.pid(), signal.SIGCONT)


@pytest.mark.parametrize("broker", [RedisServer, RabbitServer])
def test_faults_under_load(broker, tmp_path, started):
    """After each the worker goes on by itself, soon, and nothing is lost."""
    print(f"T_SEED={SEED}")
    rng = random.Random(SEED)
    server = broker(tmp_path)
    proxy = Proxy(server.port)
    try:
        server.broker, server.backend = server.url(server.port), None
        load = Load(server)
        load.publish(3000)
        # Slow tasks: the backlog must outlast a fault.
        worker = load.worker(broker=server.url(proxy.port), T_NOTE_SECONDS="0.01")
        started.append(worker)
        kinds = list(server.weights)
        # Each kind once, then by weight.
        plan = (kinds + rng.choices(kinds, list(server.weights.values()),
                                    k=max(0, FAULTS - len(kinds))))[:max(FAULTS, len(kinds))]
        slow = []
        for kind in plan:
            if load.waits() < 2000:
                load.publish(4000)
            before = load.notes.stat().st_size
            wait_for(lambda: load.notes.stat().st_size > before, "it runs before the fault", 30)
            # Longer ones outlast the deadlines and RabbitMQ's heartbeats.
            strike(server, proxy, kind, rng.choice((1, 1, 1, 8, 25)) if FAULTS >= 100 else 1)
            back, size = time.monotonic(), load.notes.stat().st_size
            wait_for(lambda: load.notes.stat().st_size > size, f"it goes on after {kind}", 60)
            took = time.monotonic() - back
            if took > RESUME_S:
                slow.append((kind, round(took, 2)))
        assert worker.alive(), worker.log()[-3000:]
        load.drained(300)
        assert worker.stop() == 0
        lost, twice, dead = load.judge()
        print(f"{broker.__name__}: {len(plan)} faults, {len(plan) - len(slow)} resumed within "
              f"{RESUME_S} s, {len(load.published)} tasks, {len(lost)} lost, {dead} given up, {twice} "
              "run more than once")
        assert dead == 0
        assert not lost, sorted(lost)[:5]
        assert not slow, slow
    finally:
        proxy.close()
        server.stop()

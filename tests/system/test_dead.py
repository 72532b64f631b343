# SPDX-License-Identifier: MIT
"""Messages that cannot be run are kept with their reason, on every broker."""

import json
import pathlib
import subprocess

import pytest

import harness
from harness import ModuleWorker, wait_for


def call(setup, *words):
    done = subprocess.run([harness.CELERYC, "call", *words, "-b", setup.broker], text=True,
                          env=harness.plain_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def dead_entries(setup, queue="celery"):
    """(facts, message bytes) of each entry."""
    if setup.redis:
        entries = setup.redis.client().lrange(f"{queue}.dead", 0, -1)
    else:
        folder = pathlib.Path(setup.folder) / "spool" / "dead"
        entries = [path.read_bytes() for path in folder.iterdir()] if folder.exists() else []
    parts = [entry.split(b"\n", 1) for entry in entries]
    return [(json.loads(facts), raw) for facts, raw in parts]


def claimed(setup):
    """How many messages wait or are held."""
    if setup.redis:
        client = setup.redis.client()
        return client.llen("celery") + client.hlen("unacked")
    spool = pathlib.Path(setup.folder) / "spool"
    return sum(1 for path in [*spool.glob("queue/*.celery.msg"), *spool.glob("claims/*/*")])


def test_a_task_that_kills_its_worker(setup, started):
    """Five workers die of it, not one more; its neighbours, claimed with it each
    time, all run."""
    poison = call(setup, "t.die")
    neighbours = [call(setup, "t.late", "--args", "[0.01]") for _ in range(8)]
    deaths = 0
    while not dead_entries(setup):
        assert deaths < 6
        worker = ModuleWorker(setup.folder, setup.broker, setup.backend, "-c", "2")
        started.append(worker)
        wait_for(lambda: not worker.alive() or dead_entries(setup), "it dies again", 60)
        deaths += not worker.alive()
    assert deaths == 5
    (facts, raw), = dead_entries(setup)
    assert facts["x-dead-reason"] == "poison" and facts["x-dead-queue"] == "celery"
    assert facts["x-dead-detail"] == "5 workers died while they had it"
    message = json.loads(raw)
    assert message["headers"]["id"] == poison and message["headers"]["x-deliveries"] == 4
    wait_for(lambda: claimed(setup) == 0, "the neighbours are run")
    assert started[-1].alive() and started[-1].stop() == 0
    ran = {event["id"] for worker in started for event in worker.events("task_succeeded")}
    assert ran == set(neighbours)
    assert len(dead_entries(setup)) == 1

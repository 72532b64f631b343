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


def dead_messages(setup, queue):
    """Got and given back: closing the channel requeues them."""
    import amqp
    found = []
    with setup.rabbitmq.channel() as channel:
        try:
            while message := channel.basic_get(queue):
                found.append((message.headers, json.dumps({"headers": message.headers})))
        except amqp.exceptions.NotFound:
            return []
    return found


def dead_entries(setup, queue="celery"):
    """(facts, message bytes) of each entry."""
    if setup.rabbitmq:
        return dead_messages(setup, f"{queue}.dead")
    if setup.redis:
        entries = setup.redis.client().lrange(f"{queue}.dead", 0, -1)
    else:
        folder = pathlib.Path(setup.folder) / "spool" / "dead"
        entries = [path.read_bytes() for path in folder.iterdir()] if folder.exists() else []
    parts = [entry.split(b"\n", 1) for entry in entries]
    return [(json.loads(facts), raw) for facts, raw in parts]


def claimed(setup):
    """How many messages wait or are held."""
    if setup.rabbitmq:
        return sum(setup.rabbitmq.queues().get("celery", (0, 0)))
    if setup.redis:
        client = setup.redis.client()
        return client.llen("celery") + client.hlen("unacked")
    spool = pathlib.Path(setup.folder) / "spool"
    return sum(1 for path in [*spool.glob("queue/*.celery.msg"), *spool.glob("claims/*/*")])


def test_a_task_that_kills_its_worker(setup, started):
    """Five workers die of it, not one more; its neighbours, claimed with it, all run."""
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
    wait_for(lambda: {event["id"] for worker in started
                      for event in worker.events("task_succeeded")} == set(neighbours),
             "the neighbours are run")
    wait_for(lambda: claimed(setup) == 0, "all is settled")
    assert started[-1].alive() and started[-1].stop() == 0
    entries = {json.loads(raw)["headers"]["id"]: (facts, json.loads(raw))
               for facts, raw in dead_entries(setup)}
    facts, message = entries.pop(poison)
    assert facts["x-dead-reason"] == "poison" and facts["x-dead-queue"] == "celery"
    assert message["headers"]["x-deliveries"] == 4 and not entries
    if not setup.rabbitmq:
        assert facts["x-dead-detail"] == "5 workers died while they had it"


def dead(setup, *words, status=0):
    done = subprocess.run([harness.CELERYC, "dead", *words, "-b", setup.broker], text=True,
                          env=harness.plain_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stderr if status else done.stdout


def listed(setup, *options):
    return [json.loads(line) for line in dead(setup, "list", "celery", *options).splitlines()]


def test_list_replay_purge(setup, started):
    worker = ModuleWorker(setup.folder, setup.broker, setup.backend, "-c", "1").ready()
    started.append(worker)
    assert listed(setup) == []
    ids = [call(setup, name) for name in ("no.such", "no.other", "no.third")]
    wait_for(lambda: len(dead_entries(setup)) == 3, "all three are kept")
    rows = listed(setup)
    assert [row["id"] for row in rows] == ids and rows[1]["task"] == "no.other"
    assert {row["reason"] for row in rows} == {"unknown_task"}
    assert all(row["at"] > 1.7e9 for row in rows)
    assert [row["id"] for row in listed(setup, "--id", ids[2])] == [ids[2]]
    assert listed(setup, "--reason", "poison") == []
    whole, = listed(setup, "--id", ids[0], "--messages")
    assert json.loads(whole["message"])["headers"]["id"] == ids[0]

    # Nothing is touched unless it is said what.
    assert "--all" in dead(setup, "purge", "celery", status=2)
    assert "which queue" in dead(setup, "list", status=2)
    assert "accepted: list, replay, purge" in dead(setup, "empty", "celery", status=2)
    assert len(dead_entries(setup)) == 3

    # Sent back, one is refused again: it stands behind the others.
    assert dead(setup, "replay", "celery", "--id", ids[0]) == "1 replayed, 2 kept\n"
    wait_for(lambda: sorted(row["id"] for row in listed(setup)) == sorted(ids), "it is back")
    # With nobody to take it, it waits in its queue.
    assert worker.stop() == 0
    assert dead(setup, "replay", "celery", "--all") == "3 replayed, 0 kept\n"
    assert listed(setup) == [] and claimed(setup) == 3
    assert dead(setup, "purge", "celery", "--all") == "0 purged, 0 kept\n"

    worker = ModuleWorker(setup.folder, setup.broker, setup.backend, "-c", "1").ready()
    started.append(worker)
    wait_for(lambda: len(dead_entries(setup)) == 3, "all three are kept again")
    assert dead(setup, "purge", "celery", "--reason", "poison") == "0 purged, 3 kept\n"
    assert dead(setup, "purge", "celery", "--id", ids[1]) == "1 purged, 2 kept\n"
    assert dead(setup, "purge", "celery", "--all") == "2 purged, 0 kept\n"
    assert dead_entries(setup) == []
    assert worker.stop() == 0


def test_a_replayed_poison_starts_anew(setup, started):
    """What was repaired meanwhile gets all its deliveries again."""
    call(setup, "t.die")
    for _ in range(2):
        worker = ModuleWorker(setup.folder, setup.broker, setup.backend, "-c", "1",
                              CELERY_C_MAX_DELIVERIES=2)
        started.append(worker)
        wait_for(lambda: not worker.alive(), "it dies")
    worker = ModuleWorker(setup.folder, setup.broker, setup.backend, "-c", "1",
                          CELERY_C_MAX_DELIVERIES=2).ready()
    started.append(worker)
    wait_for(lambda: dead_entries(setup), "it is given up")
    assert worker.stop() == 0
    assert dead(setup, "replay", "celery", "--reason", "poison") == "1 replayed, 0 kept\n"
    if setup.rabbitmq:
        message, = setup.rabbitmq.take_all("celery")
        assert not [key for key in message.headers if key.startswith(("x-dead", "x-deliv"))]
        return
    if setup.redis:
        raw = setup.redis.client().lindex("celery", 0)
    else:
        raw = next((pathlib.Path(setup.folder) / "spool" / "queue").glob("*.celery.msg")).read_bytes()
    assert json.loads(raw)["headers"]["x-deliveries"] == 0

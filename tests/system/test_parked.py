# SPDX-License-Identifier: MIT
"""Tasks that wait for their ETA: the worker keeps a tag, Redis the message."""

import base64
import datetime
import json
import time
import uuid

import pytest

from harness import ModuleWorker, wait_for
from test_interop import celery_command, inspect, send


@pytest.fixture
def on_redis(redis, tmp_path):
    class Setup:
        broker, backend, ledger = redis.url(0), redis.url(1), ""
        server, rabbitmq, folder = redis, None, tmp_path

    return Setup


def envelope(task, args, eta=None, queue="celery"):
    """A message as kombu writes it, without a process for each."""
    task_id = str(uuid.uuid4())
    body = base64.b64encode(json.dumps([args, {}, None]).encode()).decode()
    at = eta and datetime.datetime.fromtimestamp(eta, datetime.timezone.utc).isoformat()
    return task_id, json.dumps({
        "body": body, "content-encoding": "utf-8", "content-type": "application/json",
        "headers": {"lang": "py", "task": task, "id": task_id, "root_id": task_id,
                    "parent_id": None, "group": None, "eta": at, "expires": None, "retries": 0,
                    "timelimit": [None, None], "argsrepr": "()", "kwargsrepr": "{}"},
        "properties": {"correlation_id": task_id, "reply_to": "", "delivery_mode": 2,
                       "delivery_info": {"exchange": "", "routing_key": queue}, "priority": 0,
                       "body_encoding": "base64", "delivery_tag": str(uuid.uuid4())}})


def publish(client, *messages):
    with client.pipeline(transaction=False) as pipe:
        for message in messages:
            pipe.lpush("celery", message)
        pipe.execute()


def test_they_run_when_it_is_time_and_once(on_redis, started):
    client = on_redis.server.client()
    eta = time.time() + 4
    tasks = dict(envelope("t.late", [0], eta + i % 3 * 0.2) for i in range(300))
    far_id, far = envelope("t.late", [0], time.time() + 3600)
    revoked_id, revoked = envelope("t.late", [0], eta)
    publish(client, far, revoked, *tasks.values())
    worker = ModuleWorker(on_redis.folder, on_redis.broker, on_redis.backend, "-c", "2", node="parks@test")
    started.append(worker)
    worker.ready()
    wait_for(lambda: client.hlen("unacked") == 302, "all are claimed")
    celery_command(on_redis, "control", "revoke", revoked_id)
    assert time.time() < eta, "this machine is too slow for the test"
    scores = [score for _, score in client.zrange("unacked_index", 0, -1, withscores=True)]
    assert sum(score > time.time() + 800 for score in scores) == 1, "the far one is stamped ahead"
    shown = inspect(on_redis, "scheduled", "parks@test")
    assert {row["request"]["id"] for row in shown} >= {far_id}
    row, = [row for row in shown if row["request"]["id"] == far_id]
    assert row["priority"] == 6 and row["request"]["name"] == "t.late"
    assert row["request"]["args"] == [0] and row["eta"].endswith("+00:00")

    wait_for(lambda: client.hlen("unacked") == 1, "all but the far one have run")
    done = [event["id"] for event in worker.events("task_succeeded")]
    assert sorted(done) == sorted(tasks), "each once"
    assert [event["id"] for event in worker.events("task_revoked")] == [revoked_id]
    received = [event["id"] for event in worker.events("task_received")]
    assert len(received) == len(set(received)) == 302, "told once"
    early = [event for event in worker.events("task_succeeded") if event["ts"] < eta]
    assert early == []

    assert worker.stop() == 0
    assert client.hlen("unacked") == 0 and client.zcard("unacked_index") == 0
    assert client.lrange("celery", 0, -1) == [far.encode()], "given back byte for byte"


def test_one_that_a_peer_took_over_does_not_start(on_redis, started):
    client = on_redis.server.client()
    _, message = envelope("t.late", [0], time.time() + 2)
    publish(client, message)
    worker = ModuleWorker(on_redis.folder, on_redis.broker, on_redis.backend, "-c", "1")
    started.append(worker)
    worker.ready()
    tag, = wait_for(lambda: client.hkeys("unacked"), "it is claimed")
    client.hdel("unacked", tag)
    client.zrem("unacked_index", tag)
    wait_for(lambda: worker.events("lease_lost"), "the loss is told")
    assert worker.stop() == 0
    assert worker.events("task_succeeded") == []


def test_a_parked_claim_starts_under_a_new_tag(on_redis, started):
    """kombu reads expired tags and moves each of them later without another look:
    what starts here must not be found under a tag that it may have read."""
    client = on_redis.server.client()
    worker = ModuleWorker(on_redis.folder, on_redis.broker, on_redis.backend, "-c", "1",
                          CELERY_TASK_ACKS_LATE=1)
    started.append(worker)
    worker.ready()
    task = send(on_redis, "t.sleep", 2, countdown=1.5)
    parked, = wait_for(lambda: client.hkeys("unacked"), "the task is claimed")
    assert client.zscore("unacked_index", parked) > time.time() + 0.5, "stamped into the future"
    running, = wait_for(lambda: [tag for tag in client.hkeys("unacked") if tag != parked],
                        "it runs under another tag")
    assert running == parked + b".1"
    assert client.zrange("unacked_index", 0, -1) == [running]
    # What kombu's restore_by_tag() does with the tag it read before.
    assert client.hget("unacked", parked) is None
    wait_for(lambda: on_redis.server.client(1).exists(f"celery-task-meta-{task}"),
             "the task's result is stored")
    wait_for(lambda: client.hlen("unacked") == 0, "the claim is acked by its new tag")
    assert client.zcard("unacked_index") == 0 and client.llen("celery") == 0
    assert worker.stop() == 0

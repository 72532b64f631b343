# SPDX-License-Identifier: MIT
"""Signed messages: CELERY_C_SIGN_KEYS and CELERY_C_REQUIRE_SIGNED."""

import base64
import json
import subprocess

import pytest

import harness
from harness import ModuleWorker, Process, wait_for
from test_dead import dead_entries
from test_interop import python_env, python_worker, real  # noqa: F401

KEYS = "k2:0123456789abcdef0123,k1:fedcba9876543210fedc"


def call(real, task, args, **env):
    done = subprocess.run(
        [harness.CELERYC, "call", task, "--args", json.dumps(args), "-b", real.broker],
        env=harness.plain_env(**env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=60)
    assert done.returncode == 0, done.stdout
    return done.stdout.split()[-1]


def result(real, task_id):
    client = real.server.client(1)
    key = f"celery-task-meta-{task_id}"

    def done():
        document = client.get(key)
        return document and json.loads(document)["status"] in ("SUCCESS", "FAILURE")
    wait_for(done, f"{task_id} is done")
    return json.loads(client.get(key))


def dead(real):
    return [facts["x-dead-reason"] for facts, _ in dead_entries(real)]


def strict_worker(real, started, **settings):
    worker = ModuleWorker(real.folder, real.broker, real.backend, "-c", "2",
                          CELERY_C_REQUIRE_SIGNED="other,celery", CELERY_C_SIGN_KEYS=KEYS,
                          **settings)
    started.append(worker)
    worker.ready()
    return worker


def test_signed_runs_and_unsigned_does_not(real, started):  # noqa: F811
    worker = strict_worker(real, started)
    assert result(real, call(real, "t.add", [2, 3], CELERY_C_SIGN_KEYS=KEYS))["result"] == 5
    # The old key still verifies; a file holds the secret as well.
    old = real.folder / "old-key"
    old.write_text("k1:fedcba9876543210fedc\n")
    assert result(real, call(real, "t.add", [2, 4], CELERY_C_SIGN_KEYS_FILE=str(old)))["result"] == 6
    # Our worker signs its own retries.
    assert result(real, call(real, "t.retry", [2], CELERY_C_SIGN_KEYS=KEYS))["result"] == 2
    assert dead(real) == []

    # Python's producer does not sign; ours without keys does not either.
    subprocess.run([harness.PY57, "-c", "from t import app; app.send_task('t.add', [1, 1])"],
                   cwd=harness.ROOT / "tests" / "interop", check=True, env=python_env(real))
    wait_for(lambda: dead(real) == ["unsigned"], "Python's message is refused")
    call(real, "t.add", [1, 1], CELERY_C_SIGN_KEYS="k9:a-key-nobody-else-has")
    wait_for(lambda: sorted(dead(real)) == ["bad_signature", "unsigned"], "a strange key")
    assert worker.stop() == 0


def test_unsigned_is_kept_on_every_broker(setup, started):
    worker = strict_worker(setup, started)
    task_id = call(setup, "t.add", [2, 3])
    wait_for(lambda: dead_entries(setup), "it is refused")
    (facts, raw), = dead_entries(setup)
    assert facts["x-dead-reason"] == "unsigned" and facts["x-dead-queue"] == "celery"
    assert json.loads(raw)["headers"]["id"] == task_id
    assert worker.stop() == 0


@pytest.mark.parametrize("protocol", ["1", "2"])
def test_msgpack_is_signed_too(real, started, protocol):  # noqa: F811
    """Sent and retried as msgpack; what fits only JSON is retried as JSON."""
    how = {"CELERY_C_SIGN_KEYS": KEYS, "CELERY_TASK_SERIALIZER": "msgpack",
           "CELERY_TASK_PROTOCOL": protocol}
    more = {k: v for k, v in how.items() if k != "CELERY_C_SIGN_KEYS"}
    strict_worker(real, started, CELERY_ACCEPT_CONTENT='["json", "msgpack"]', **more)
    assert result(real, call(real, "t.retry", [2], **how))["result"] == 2
    how["CELERY_TASK_SERIALIZER"] = "json"
    assert result(real, call(real, "t.retry", [1, 2**80], **how))["result"] == 1
    assert dead(real) == []


def test_a_changed_message_does_not_run(real, started):  # noqa: F811
    if real.rabbitmq:
        pytest.skip("it changes an entry of a Redis list")
    call(real, "t.add", [2, 3], CELERY_C_SIGN_KEYS=KEYS)
    client = real.server.client()
    message = json.loads(client.rpop("celery"))
    body = json.loads(base64.b64decode(message["body"]))

    def changed(**headers):
        return json.dumps({**message, "headers": {**message["headers"], **headers}})

    body[0] = [2, 4]
    other_args = {**message, "body": base64.b64encode(json.dumps(body).encode()).decode()}
    bad = [changed(task="t.echo"), changed(id="x"), changed(retries=9),
           changed(eta="2020-01-01T00:00:00+00:00"), changed(timelimit=[None, 3]),
           json.dumps(other_args)]
    for text in bad:
        client.lpush("celery", text)
    client.lpush("other", json.dumps(message))  # signed for another queue
    worker = strict_worker(real, started, CELERY_WORKER_QUEUES="celery,other")
    wait_for(lambda: len(dead(real)) == len(bad) and client.llen("other.dead") == 1, "all refused")
    assert set(dead(real)) == {"bad_signature"}
    client.lpush("celery", json.dumps(message))  # as Python's json writes it anew
    assert result(real, message["headers"]["id"])["result"] == 5
    assert worker.stop() == 0


def test_python_passes_the_header_by(real, started):  # noqa: F811
    python_worker(real, started, "5.7.0", "-c", "1", "-P", "solo")
    task_id = call(real, "t.add", [20, 3], CELERY_C_SIGN_KEYS=KEYS)
    assert result(real, task_id)["result"] == 23


def test_requiring_without_keys_does_not_start(real):  # noqa: F811
    worker = Process("refused", [
        harness.CELERYC, "worker", "-A", harness.MODULE, "-b", real.broker], real.folder,
        harness.plain_env(CELERY_C_REQUIRE_SIGNED="celery", METRICS_PORT="0"))
    wait_for(lambda: not worker.alive(), "it stops")
    assert "CELERY_C_SIGN_KEYS" in worker.log()
    for keys in ("short:key", "no-colon-in-here-at-all"):
        worker = Process("refused", [
            harness.CELERYC, "worker", "-A", harness.MODULE, "-b", real.broker], real.folder,
            harness.plain_env(CELERY_C_SIGN_KEYS=keys, METRICS_PORT="0"))
        wait_for(lambda: not worker.alive(), "it stops")
        assert "CELERY_C_SIGN_KEYS" in worker.log() and keys not in worker.log()

# SPDX-License-Identifier: MIT
"""Programs that end, or stand still, between two steps: a deposit answered 202 is
credited exactly once all the same. Needs a build with -Dfailpoints=true
(CRICALGO_FAILPOINTS); part of scripts/test.sh chaos."""

import json
import os
import pathlib
import signal
import subprocess

import pytest

import harness
from harness import Api, ModuleWorker, Worker, wait_for
from test_deposits import QUICK, assert_all_credited, forget_everything, post_many

BUILD = os.environ.get("CRICALGO_FAILPOINTS")
pytestmark = [pytest.mark.chaos,
              pytest.mark.skipif(not BUILD, reason="CRICALGO_FAILPOINTS names no build")]
DEPOSITS = 40
# In the worker; and those that the API reaches too.
WORKER = ["after-claim", "before-commit", "after-commit", "before-ack", "mid-sweep"]
API = ["between-publish-and-mark", "mid-sweep"]


@pytest.fixture(autouse=True)
def programs(monkeypatch):
    monkeypatch.setattr(harness, "WORKER", pathlib.Path(BUILD) / "worker" / "cricalgo-worker")
    monkeypatch.setattr(harness, "API", pathlib.Path(BUILD) / "api" / "cricalgo-api")


def stopped(process):
    """Has it been stopped as SIGSTOP does?"""
    try:
        status = pathlib.Path(f"/proc/{process.pid}/stat").read_text()
    except OSError:
        return False
    return status.rsplit(")", 1)[1].split()[0] == "T"


def reached(process, action):
    if action == "kill":
        wait_for(lambda: not process.alive(), "the failpoint ends it", 60)
        assert process.child.returncode == -signal.SIGKILL, process.log()[-2000:]
    else:
        wait_for(lambda: stopped(process), "the failpoint stops it", 60)


@pytest.mark.parametrize("action", ["kill", "hang"])
@pytest.mark.parametrize("point", WORKER)
def test_worker(setup, started, point, action):
    api = Api(setup.folder, setup.ledger, setup.broker,
              **{**QUICK, **({"DEPOSIT_SWEEP_INTERVAL": "3600"} if point == "mid-sweep" else {})})
    started.append(api.process)
    user = api.register()
    post_many(api, user, DEPOSITS)
    if point == "mid-sweep":
        # Its messages are gone: the worker's own sweeper finds them.
        forget_everything(setup)
    hit = 1 if point == "mid-sweep" else 2
    first = Worker(setup.folder, setup.ledger, setup.broker, "-c", "1", "--prefetch-multiplier",
                   "8", backend=setup.backend, CELERY_C_FAILPOINT=f"{point}:{action}:{hit}",
                   **QUICK)
    started.append(first)
    reached(first, action)
    if setup.ledger.startswith("sqlite") and action == "hang":
        # Who stands still in a transaction holds up every other writer: on one
        # machine that is all there is to it.
        first.child.send_signal(signal.SIGCONT)
    second = Worker(setup.folder, setup.ledger, setup.broker, "-c", "1", backend=setup.backend,
                    **QUICK)
    started.append(second)
    if action == "hang":
        # It wakes up in the middle of what the other one does.
        wait_for(lambda: second.events("worker_ready"), "the second one is there")
        first.child.send_signal(signal.SIGCONT)
    assert_all_credited(setup, DEPOSITS, 120)
    assert second.stop() == 0
    if action == "hang":
        assert first.stop() == 0
    assert api.stop() == 0


@pytest.mark.parametrize("action", ["kill", "hang"])
def test_retry(setup, started, monkeypatch, action):
    """Between the publish of a retry and the ack of its message: it may run twice, and
    it ends."""
    monkeypatch.setattr(harness, "CELERYC", pathlib.Path(BUILD) / "worker" / "celeryc")
    monkeypatch.setattr(harness, "MODULE", pathlib.Path(BUILD) / "tests" / "interop" / "t.so")
    options = ("-c", "1", "--prefetch-multiplier", "8")
    late = {"CELERY_TASK_ACKS_LATE": 1}
    ids = [subprocess.run([harness.CELERYC, "call", "t.retry", "--args", "[2]", "-b",
                           setup.broker], env=harness.plain_env(), text=True, check=True,
                          stdout=subprocess.PIPE).stdout.strip() for _ in range(5)]
    first = ModuleWorker(setup.folder, setup.broker, setup.backend, *options,
                         CELERY_C_FAILPOINT=f"between-publish-and-ack:{action}:2", **late)
    started.append(first)
    reached(first, action)
    second = ModuleWorker(setup.folder, setup.broker, setup.backend, *options, **late)
    started.append(second)
    if action == "hang":
        wait_for(lambda: second.events("worker_ready"), "the second one is there")
        first.child.send_signal(signal.SIGCONT)
    wait_for(lambda: all(outcome(setup, task_id) == 2 for task_id in ids), "all have ended", 120)
    assert second.stop() == 0
    if action == "hang":
        assert first.stop() == 0


def outcome(setup, task_id):
    """The result of a task that has succeeded, or None."""
    name = f"celery-task-meta-{task_id}"
    if setup.redis:
        raw = setup.redis.client(1).get(name)
    else:
        path = setup.folder / "results" / name
        raw = path.read_bytes() if path.exists() else None
    document = json.loads(raw) if raw else {}
    return document["result"] if document.get("status") == "SUCCESS" else None


@pytest.mark.parametrize("action", ["kill", "hang"])
@pytest.mark.parametrize("point", API)
def test_api(setup, started, point, action):
    api = Api(setup.folder, setup.ledger, setup.broker,
              **{**QUICK, "CELERY_C_FAILPOINT": f"{point}:{action}:3"})
    started.append(api.process)
    user = api.register()
    accepted = 0
    for _ in range(DEPOSITS):
        try:
            status, _, _ = api.webhook(harness.deposit_body(user, "1"))
        except OSError:
            break
        assert status == 202
        accepted += 1
        if not api.process.alive() or stopped(api.process):
            break
    if point == "mid-sweep":
        forget_everything(setup)
    reached(api.process, action)
    if action == "hang":
        api.process.child.send_signal(signal.SIGCONT)
    worker = Worker(setup.folder, setup.ledger, setup.broker, "-c", "1", backend=setup.backend,
                    **QUICK)
    started.append(worker)
    stored = harness.states(setup.ledger)
    total = sum(n for state, n in stored.items() if state != "balanced")
    assert total >= accepted > 0
    assert_all_credited(setup, total, 120)
    assert worker.stop() == 0

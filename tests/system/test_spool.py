# SPDX-License-Identifier: MIT
"""One spool folder and two kinds of workers: kombu's filesystem transport beside
ours, and what its way of writing (open, then lock, then write) asks of us."""

import collections
import fcntl
import json
import os
import re
import signal
import subprocess
import time
import uuid

import pytest

import harness
from harness import ModuleWorker, wait_for
from test_interop import (INTEROP, RELEASES, celery_command, python_env, python_ready,
                          start_python_worker)
from test_parked import envelope


class Spool:
    """The folder, and the options that docs/mixed-fleet.md gives a Python worker."""

    def __init__(self, folder):
        self.folder, self.root = folder, folder / "spool"
        self.ours = f"filesystem://{self.root}"
        (folder / "results").mkdir()
        (self.root / "processed").mkdir(parents=True, mode=0o700)
        self.starts_path = folder / "starts"
        self.starts_path.touch()
        # What python_env() and ModuleWorker want to know.
        self.broker, self.backend, self.ledger = "filesystem://", f"file://{folder}/results", ""
        self.options = {
            "data_folder_in": f"{self.root}/queue", "data_folder_out": f"{self.root}/queue",
            "control_folder": f"{self.root}/control", "store_processed": True,
            "processed_folder": f"{self.root}/processed", "polling_interval": 0.05}
        os.environ["T_TRANSPORT"] = json.dumps(self.options)

    def worker(self, started, *options, **settings):
        worker = ModuleWorker(self.folder, self.ours, self.backend, *options,
                              T_STARTS=self.starts_path, **settings)
        started.append(worker)
        return worker

    def put(self, raw, queue="celery"):
        """A whole message at once."""
        name = f"{time.monotonic_ns() // 1000000}_{uuid.uuid4()}.{queue}.msg"
        (self.root / f"queue/.{name}").write_bytes(raw)
        (self.root / f"queue/.{name}").rename(self.root / "queue" / name)
        return self.root / "queue" / name

    def queued(self, queue="celery"):
        return list(self.root.glob(f"queue/*.{queue}.msg"))

    def claims(self):
        return list(self.root.glob("claims/*/*.msg*"))

    def dead(self):
        """[(facts, message bytes)]"""
        parts = [path.read_bytes().split(b"\n", 1) for path in self.root.glob("dead/*.msg")]
        return [(json.loads(facts), raw) for facts, raw in parts]

    def starts(self):
        """[(kind, id)]"""
        return [tuple(line.split()) for line in self.starts_path.read_text().splitlines()]


@pytest.fixture
def spool(tmp_path, monkeypatch):
    monkeypatch.setenv("T_TRANSPORT", "")
    return Spool(tmp_path)


def send_by_python(spool, release, count, seconds, queue="celery"):
    code = ("import sys; from t import app\n"
            "for _ in range(int(sys.argv[1])):\n"
            "    print(app.send_task('t.mark', (float(sys.argv[2]),), queue=sys.argv[3]).id)")
    done = subprocess.run([RELEASES[release], "-c", code, str(count), str(seconds), queue],
                          env=python_env(spool), cwd=INTEROP, text=True, check=True,
                          stdout=subprocess.PIPE)
    return done.stdout.split()


def send_by_ours(spool, count, seconds, queue="celery"):
    return [subprocess.run([harness.CELERYC, "call", "t.mark", "--args", f"[{seconds}]", "-b",
                            spool.ours, "-Q", queue], env=harness.plain_env(), text=True, check=True,
                           stdout=subprocess.PIPE).stdout.strip() for _ in range(count)]


def wait_until_run(spool, ids):
    wait_for(lambda: not spool.queued() and not spool.queued("python") and not spool.claims()
             and {task_id for _, task_id in spool.starts()} >= set(ids), "all have run", 60,
             every=0.1)


def test_two_kinds_of_workers(spool, started):
    """Published by either, run once by one of them; both take their share."""
    ours = spool.worker(started, "-c", "1", "--prefetch-multiplier", "1", node="c@spool").ready()
    python = start_python_worker(spool, started, "5.7.0", "-c", "1", "--prefetch-multiplier", "8",
                                 T_STARTS=spool.starts_path)
    python_ready(python)
    ping = celery_command(spool, "inspect", "ping", "-t", "2")
    assert "c@spool: OK" in ping.stdout and "py570@python: OK" in ping.stdout, ping.stdout
    ids = send_by_python(spool, "5.7.0", 280, 0.02) + send_by_ours(spool, 20, 0.02)
    wait_until_run(spool, ids)
    assert sorted(task_id for _, task_id in spool.starts()) == sorted(ids), "each once"
    kinds = collections.Counter(kind for kind, _ in spool.starts())
    assert kinds["c"] >= 20 and kinds["python"] >= 20, kinds
    assert spool.dead() == []
    assert ours.stop() == 0
    assert python.stop() == 0


def test_an_old_worker_on_its_own_queue(spool, started):
    """5.2.7's kombu ends its worker when anybody else, another Python worker too,
    takes a file first, and what it had not acked then runs again. On a queue that
    it has for itself it shares the folder: both publish to both queues."""
    ours = spool.worker(started, "-c", "1").ready()
    python = start_python_worker(spool, started, "5.2.7", "-c", "1", "-Q", "python",
                                 "--prefetch-multiplier", "40", T_STARTS=spool.starts_path)
    python_ready(python)
    for_python = send_by_python(spool, "5.2.7", 60, 0, "python") + send_by_ours(spool, 10, 0, "python")
    for_ours = send_by_python(spool, "5.2.7", 60, 0) + send_by_ours(spool, 10, 0)
    wait_until_run(spool, for_python + for_ours)
    assert sorted(spool.starts()) == sorted([("python", task_id) for task_id in for_python]
                                            + [("c", task_id) for task_id in for_ours])
    assert spool.dead() == []
    assert ours.stop() == 0
    assert python.stop() == 0


def test_kill_beside_a_python_worker(spool, started):
    """kill -9 of ours with claims in its hands: they come back under their names, to
    whoever takes them, and only what it had started runs again."""
    ours = spool.worker(started, "-c", "1", "--prefetch-multiplier", "8",
                        CELERY_TASK_ACKS_LATE=1).ready()
    python = start_python_worker(spool, started, "5.7.0", "-c", "1", "--prefetch-multiplier", "1",
                                 T_STARTS=spool.starts_path)
    ids = [spool_id for spool_id, raw in (envelope("t.mark", [0.05]) for _ in range(120))
           if spool.put(raw.encode())]
    python_ready(python)
    wait_for(lambda: len(spool.starts()) >= 20 and len(spool.claims()) >= 4, "both are at work",
             every=0)
    ours.child.send_signal(signal.SIGSTOP)
    wait_for(lambda: open(f"/proc/{ours.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "T",
             "it has stopped")
    held = {json.loads(path.read_bytes())["headers"]["id"] for path in spool.claims()}
    again_too = {task_id for kind, task_id in spool.starts() if kind == "c"} & held
    assert len(held) > len(again_too), "some have not started"
    ours.kill()
    again = spool.worker(started, "-c", "1", "--prefetch-multiplier", "8",
                         CELERY_TASK_ACKS_LATE=1)
    wait_for(lambda: again.events("orphans_restored"), "what it held came back")
    wait_until_run(spool, ids)
    assert sum(event["restored"] for event in again.events("orphans_restored")) == len(held)
    total = collections.Counter(task_id for _, task_id in spool.starts())
    assert set(total) == set(ids)
    assert {task_id for task_id, times in total.items() if times > 1} == again_too
    assert all(times <= 2 for times in total.values())
    assert again.stop() == 0
    assert python.stop() == 0


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_what_is_being_written(spool, started):
    """As kombu writes: under the final name, locked once it is open. Nothing of it
    is taken for broken, nothing waits behind it, and nobody spins over it."""
    worker = spool.worker(started, "-c", "1").ready()
    task_id, raw = envelope("t.mark", [0])
    path = spool.root / "queue" / f"1_{uuid.uuid4()}.celery.msg"
    with open(path, "wb", buffering=0) as stopped:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        stopped.write(raw[:40].encode())
        # A second name for it, as of a worker that comes to a folder with half a file.
        path.rename(spool.root / "queue" / "x")
        (spool.root / "queue" / "x").rename(path)
        behind, whole = envelope("t.mark", [0])
        spool.put(whole.encode())
        wait_for(lambda: spool.starts() == [("c", behind)], "what stands behind it runs", 5)
        before, cpu = time.monotonic(), cpu_seconds(worker.pid)
        wait_for(lambda: time.monotonic() - before > 2.5, "it is looked at, and again")
        assert cpu_seconds(worker.pid) - cpu < 0.5, "without a rush"
        assert path.exists() and spool.dead() == []
        stopped.write(raw[40:].encode())
    wait_for(lambda: spool.starts()[1:] == [("c", task_id)], "it runs when it is whole", 5)
    assert spool.dead() == []
    assert worker.stop() == 0


def test_what_stays_broken(spool, started):
    """Empty and half files are looked at for a second, then kept with every byte."""
    worker = spool.worker(started, "-c", "1").ready()
    half = b'{"body": "W10=", "head'
    begin = time.time()
    spool.put(b"")
    spool.put(half)
    wait_for(lambda: len(spool.dead()) == 2, "both are dead letters", 6)
    assert sorted(raw for _, raw in spool.dead()) == [b"", half]
    for facts, _ in spool.dead():
        assert facts["x-dead-reason"] == "undecodable" and facts["x-dead-queue"] == "celery"
        assert facts["x-dead-at"] - begin >= 1
    assert spool.queued() == [] and spool.claims() == []
    assert worker.stop() == 0


def test_what_nobody_reads(spool, started):
    """Events, requests and replies of the gone are removed after a minute; tasks
    never."""
    worker = spool.worker(started, "-c", "1", node="first@spool").ready()
    assert worker.stop() == 0
    old, young = [], []
    for queue in ("celeryev.5c5f", "gone@host.celery.pidbox", "5c5f.reply.celery.pidbox"):
        for files, age in ((old, 61), (young, 0)):
            files.append(spool.put(b"{}", queue))
            os.utime(files[-1], (time.time() - age, time.time() - age))
    task = spool.put(b"{}", "other")
    os.utime(task, (time.time() - 100000,) * 2)
    worker = spool.worker(started, "-c", "1", node="second@spool").ready()
    wait_for(lambda: not any(path.exists() for path in old), "the old ones are gone", 5)
    assert all(path.exists() for path in young) and task.exists()
    assert worker.stop() == 0


def test_a_peer_that_was_stopped_with_a_lock(spool, started):
    """A table's lock is not waited for without end: tasks run and events are told
    meanwhile, and remote control comes when the lock is let go."""
    other = spool.worker(started, "-c", "1", node="other@spool").ready()
    assert other.stop() == 0
    tables = [open(spool.root / "control" / f"{exchange}.exchange", "a+")
              for exchange in ("celery.pidbox", "celeryev")]
    for table in tables:
        fcntl.flock(table, fcntl.LOCK_EX)
    worker = spool.worker(started, "-c", "1", "-E", node="free@spool").ready()
    ids = [spool_id for spool_id, raw in (envelope("t.mark", [0]) for _ in range(20))
           if spool.put(raw.encode())]
    begin = time.monotonic()
    wait_for(lambda: len(spool.starts()) == 20, "they run", 5)
    wait_for(lambda: not spool.claims(), "and are acked", 5)
    assert time.monotonic() - begin < 5
    assert sorted(task_id for _, task_id in spool.starts()) == sorted(ids)
    assert worker.events("pidbox_not_bound")
    for table in tables:
        table.close()
    wait_for(lambda: re.search("free@spool: OK",
                               celery_command(spool, "inspect", "ping", "-t", "2").stdout),
             "remote control is back", 20)
    assert worker.stop() == 0


def test_what_is_no_message(spool, started):
    """A pipe, a link and a file that is too large: nobody waits for them, and the file
    is kept as it is."""
    queue = spool.root / "queue"
    queue.mkdir(mode=0o700, exist_ok=True)
    names = [f"{n}_{uuid.uuid4()}.celery.msg" for n in range(3)]
    os.mkfifo(queue / names[0])
    os.symlink("/etc/hostname", queue / names[1])
    with (queue / names[2]).open("wb") as file:
        file.write(b"{")
        file.truncate((64 << 20) + 1)
    for name in names:
        os.utime(queue / name, (0, 0), follow_symlinks=False)
    worker = spool.worker(started, "-c", "1").ready()
    ids = send_by_ours(spool, 1, 0)
    wait_for(lambda: {task_id for _, task_id in spool.starts()} == set(ids), "the task has run")
    wait_for(lambda: len(list(spool.root.glob("dead/*.msg"))) == 3, "three dead letters")
    assert (spool.root / "dead" / names[2]).stat().st_size == (64 << 20) + 1
    assert not spool.queued() and worker.stop() == 0

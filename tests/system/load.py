# SPDX-License-Identifier: MIT
"""Many small tasks on any broker, each of which notes that it ran, and the judge of
what was published against what ran."""

import collections
import json
import pathlib
import time

import harness
from harness import ModuleWorker, wait_for
from test_parked import envelope


class Load:
    """Publishes t.note tasks, knows what waits, and what has run."""

    def __init__(self, setup, queue="celery"):
        self.setup, self.queue = setup, queue
        self.published = set()
        self.notes = pathlib.Path(setup.folder) / "notes"
        self.notes.touch()
        self._channel = None

    def publish(self, count):
        messages = [envelope("t.note", []) for _ in range(count)]
        if self.setup.rabbitmq:
            self._to_rabbitmq(messages)
        elif self.setup.redis:
            with self.setup.redis.client().pipeline(transaction=False) as pipe:
                for _, text in messages:
                    pipe.lpush(self.queue, text)
                pipe.execute()
        else:
            self._to_spool(messages)
        self.published.update(task_id for task_id, _ in messages)

    def _to_rabbitmq(self, messages):
        import amqp
        with self.setup.rabbitmq.channel() as channel:
            channel.queue_declare(self.queue, durable=True, auto_delete=False)
            for task_id, text in messages:
                message = json.loads(text)
                channel.basic_publish(amqp.Message(
                    b"[[], {}, null]", content_type="application/json", content_encoding="utf-8",
                    application_headers=message["headers"], correlation_id=task_id,
                    delivery_mode=2), routing_key=self.queue)

    def _to_spool(self, messages):
        queue = pathlib.Path(self.setup.broker.removeprefix("filesystem://")) / "queue"
        queue.mkdir(mode=0o700, parents=True, exist_ok=True)
        for n, (task_id, text) in enumerate(messages):
            name = f"{time.time_ns()}_{n}_{task_id}.{self.queue}.msg"
            (queue / f".{name}.tmp").write_text(text)
            (queue / f".{name}.tmp").rename(queue / name)

    def ran(self):
        return collections.Counter(self.notes.read_text().split())

    def waits(self):
        if self.setup.rabbitmq:
            return self.setup.rabbitmq.length(self.queue)
        if self.setup.redis:
            return self.setup.redis.client().llen(self.queue)
        queue = pathlib.Path(self.setup.broker.removeprefix("filesystem://")) / "queue"
        return sum(1 for _ in queue.glob(f"*.{self.queue}.msg"))

    def suspects(self):
        """What came back so often that it is held alone, and waits for that."""
        return self.setup.rabbitmq.length(f"{self.queue}.suspects") if self.setup.rabbitmq else 0

    def held(self):
        """Claims that are not settled."""
        if self.setup.rabbitmq:
            return sum(unacked for _, unacked in self.setup.rabbitmq.queues().values())
        if self.setup.redis:
            return self.setup.redis.client().hlen("unacked")
        claims = pathlib.Path(self.setup.broker.removeprefix("filesystem://")) / "claims"
        return sum(1 for _ in claims.glob("*/*.msg*"))

    def worker(self, *options, broker=None, **settings):
        return ModuleWorker(self.setup.folder, broker or self.setup.broker, "disabled://",
                            "-c", "4", "-Q", self.queue, "-l", "warning", *options,
                            T_NOTES=self.notes, **settings)

    def dead(self):
        """What has been given up: killed five times while it ran."""
        name = f"{self.queue}.dead"
        if self.setup.rabbitmq:
            there = name in self.setup.rabbitmq.queues()
            return {m.headers["id"] for m in self.setup.rabbitmq.take_all(name)} if there else set()
        if self.setup.redis:
            raw = [entry.split(b"\n", 1)[1] for entry in self.setup.redis.client().lrange(name, 0, -1)]
        else:
            folder = pathlib.Path(self.setup.broker.removeprefix("filesystem://")) / "dead"
            raw = [path.read_bytes().split(b"\n", 1)[1] for path in folder.glob("*.msg")]
        return {json.loads(message)["headers"]["id"] for message in raw}

    def drained(self, seconds=120):
        """Waits until nothing is left to do."""
        wait_for(lambda: self.waits() == 0 and self.suspects() == 0 and self.held() == 0,
                 "the queue is drained", seconds, every=0.2)

    def judge(self):
        """(lost, run more than once, dead letters that did not run); what ran that
        nobody published fails."""
        ran, dead = self.ran(), self.dead()
        unknown = set(ran) - self.published
        assert not unknown, f"ran and was never published: {sorted(unknown)[:5]}"
        assert dead <= self.published
        lost = self.published - set(ran) - dead
        return lost, sum(1 for n in ran.values() if n > 1), len(dead - set(ran))

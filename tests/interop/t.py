# SPDX-License-Identifier: MIT
"""The tasks of t.c for a Python worker, and a process_deposit that settles with
the schema's own function. URLs come from the environment."""

import json
import os
import time

from celery import Celery

app = Celery("t", broker=os.environ["T_BROKER"], backend=os.environ.get("T_BACKEND"))
app.conf.update(
    task_default_queue="celery",
    worker_prefetch_multiplier=int(os.environ.get("T_PREFETCH", "4")),
    task_acks_late=os.environ.get("T_ACKS_LATE") == "1",
    broker_transport_options={"visibility_timeout": int(os.environ.get("T_VISIBILITY", "3600")),
                              **json.loads(os.environ.get("T_TRANSPORT", "{}"))},
    broker_connection_retry_on_startup=True,
)


@app.task(name="t.add")
def add(x, y):
    return x + y


@app.task(name="t.echo")
def echo(x):
    return x


@app.task(name="t.noop")
def noop():
    return None


@app.task(name="t.note", bind=True, acks_late=True)
def note(self):
    import time
    fd = os.open(os.environ["T_NOTES"], os.O_WRONLY | os.O_APPEND)
    os.write(fd, (self.request.id + "\n").encode())
    os.close(fd)
    time.sleep(0.002)


@app.task(name="t.boom")
def boom(message):
    raise ValueError(message)


@app.task(name="t.mark", bind=True)
def mark(self, seconds):
    """Writes down that it starts, one line for each time, then sleeps."""
    with open(os.environ["T_STARTS"], "a") as starts:
        starts.write(f"python {self.request.id}\n")
    time.sleep(seconds)


@app.task(name="app.tasks.deposits.process_deposit", acks_late=True)
def process_deposit(tx_id):
    import psycopg2

    with psycopg2.connect(os.environ["T_LEDGER"]) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT tx_id::text, state FROM settle_deposits(ARRAY[%s]::uuid[])",
                           (tx_id,))
            row = cursor.fetchone()
    connection.close()
    return {"tx_id": row[0], "state": row[1]}

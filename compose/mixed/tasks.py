# SPDX-License-Identifier: MIT
"""A Python worker on the same queue as cricalgo-worker: the ledger's own
function settles a deposit, so it does not matter which of the two takes it."""
import os
import re

import psycopg2
from celery import Celery

app = Celery("cricalgo", broker=os.environ["CELERY_BROKER_URL"],
             backend=os.environ.get("CELERY_RESULT_BACKEND"))
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_track_started=True,
    result_expires=3600,
    worker_prefetch_multiplier=1,
)
# postgresql+asyncpg:// and the like are SQLAlchemy's spelling.
DSN = re.sub(r"^postgresql\+\w+:", "postgresql:", os.environ["DATABASE_URL"])


def settle(self, tx_id):
    try:
        with psycopg2.connect(DSN) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT tx_id::text, state FROM settle_deposits(ARRAY[%s]::uuid[])",
                           (tx_id,))
            row = cursor.fetchone()
    except psycopg2.OperationalError as error:
        raise self.retry(exc=error, countdown=min(600, 2 ** self.request.retries), max_retries=10)
    if row is None:
        raise LookupError(f"no deposit {tx_id}")
    return {"tx_id": row[0], "state": row[1]}


for name in ("app.tasks.deposits.process_deposit", "app.tasks.process_deposit"):
    app.task(settle, name=name, bind=True)

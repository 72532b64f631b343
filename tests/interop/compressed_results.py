# SPDX-License-Identifier: MIT
"""Python's Celery 5.7 reads results that our worker compressed, and the worker
leaves alone what Python compressed. A client, as client.py; T_BACKEND tells where
results are."""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from celery.backends.base import (  # noqa: E402
    COMPRESSED_PAYLOAD_MAGIC, compress_payload, decompress_payload)
from t import app  # noqa: E402


def stored(task_id):
    return app.backend.get(app.backend.get_key_for_task(task_id))


def document(task_id):
    raw = stored(task_id)
    assert raw.startswith(COMPRESSED_PAYLOAD_MAGIC), raw
    return json.loads(decompress_payload(raw))


def put(task_id, state, compression):
    """As a Python worker with result_compression would."""
    meta = {"status": state, "result": "python's", "traceback": None, "children": [],
            "date_done": None, "task_id": task_id}
    raw = json.dumps(meta).encode()
    app.backend.set(app.backend.get_key_for_task(task_id),
                    compress_payload(raw, compression) if compression else raw)
    return stored(task_id)


def main():
    # STARTED was stored first, compressed too: SUCCESS went over it.
    signature = app.signature("t.echo", ("x" * 5000,))
    signature.stamp(order="42")
    result = signature.apply_async()
    assert result.get(timeout=30) == "x" * 5000
    assert len(stored(result.id)) < 1000
    got = document(result.id)
    assert list(got)[-3:] == ["stamped_headers", "order", "task_id"], list(got)
    assert got["order"] == app.AsyncResult(result.id)._get_task_meta()["order"]
    assert got["name"] == "t.echo" and got["queue"] == "celery"

    failed = app.send_task("t.boom", ("bad thing",))
    try:
        failed.get(timeout=30)
    except ValueError as error:
        assert error.args == ("bad thing",)
    else:
        raise AssertionError("t.boom did not raise")
    assert document(failed.id)["status"] == "FAILURE"

    for compression in (None, "gzip", "bzip2", "lzma", "zstd", "brotli"):
        kept = put(f"kept-{compression}", "SUCCESS", compression)
        put(f"over-{compression}", "RETRY", compression)
        for name in ("kept", "over"):
            app.send_task("t.echo", ("ours",), task_id=f"{name}-{compression}")
        # The worker has one slot: when the last is done, so are the others.
        assert app.send_task("t.echo", (1,)).get(timeout=30) == 1
        assert stored(f"kept-{compression}") == kept, compression
        assert app.AsyncResult(f"over-{compression}").get(timeout=30) == "ours"
    print("read", flush=True)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""Python's Celery as a client of our worker: run by the interpreter of the release
under test, exits 0 when every answer is right. T_SEED repeats a run."""

import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from t import app  # noqa: E402

SEED = int(os.environ.get("T_SEED") or random.randrange(2**32))
RANDOM = random.Random(SEED)
ARGUMENT_SETS = 200


def text():
    alphabet = "ab é\u20b9\u4e2d\U0001f600\U00010348\"\\/\n\t\x00\x7f'"
    return "".join(RANDOM.choice(alphabet) for _ in range(RANDOM.randrange(12)))


def value(depth=0):
    kinds = ["int", "big", "float", "text", "bool", "none"]
    if depth < 4:
        kinds += ["list", "dict"]
    kind = RANDOM.choice(kinds)
    if kind == "int":
        return RANDOM.randrange(-2**31, 2**31)
    if kind == "big":
        return RANDOM.choice((1, -1)) * RANDOM.randrange(2**64, 2**200)
    if kind == "float":
        return RANDOM.choice((0.1, 1e300, -0.0, 5e-324, RANDOM.random(), RANDOM.uniform(-1e9, 1e9)))
    if kind == "text":
        return text()
    if kind == "bool":
        return RANDOM.random() < 0.5
    if kind == "list":
        return [value(depth + 1) for _ in range(RANDOM.randrange(5))]
    if kind == "dict":
        return {text(): value(depth + 1) for _ in range(RANDOM.randrange(5))}
    return None


def same(a, b):
    """Equal, and of equal types: 1 is not 1.0, and -0.0 is not 0.0."""
    return repr(a) == repr(b)


def echo():
    sent = [value() for _ in range(ARGUMENT_SETS)]
    sent[0] = 2**80
    sent[1] = "\U0001f600"
    results = [app.send_task("t.echo", (x,)) for x in sent]
    for x, result in zip(sent, results):
        got = result.get(timeout=30)
        assert same(x, got), f"sent {x!r}, got {got!r}"


def keywords():
    assert app.send_task("t.add", kwargs={"x": 2, "y": 40}).get(timeout=30) == 42


def boom():
    result = app.send_task("t.boom", ("bad thing",))
    try:
        result.get(timeout=30)
    except ValueError as error:
        assert type(error) is ValueError and error.args == ("bad thing",), repr(error)
    else:
        raise AssertionError("t.boom did not raise")
    assert result.state == "FAILURE" and "bad thing" in result.traceback


def missing_argument():
    try:
        app.send_task("t.add", (1,)).get(timeout=30)
    except TypeError as error:
        assert "'y'" in str(error), error
    else:
        raise AssertionError("t.add(1) did not raise")


def retries():
    assert app.send_task("t.retry", (2,)).get(timeout=30) == 2
    try:
        app.send_task("t.retry", (9,)).get(timeout=30)
    except ConnectionError as error:
        assert str(error) == "try 4 of 9", error  # max_retries is 3
    else:
        raise AssertionError("t.retry(9) did not raise")


def countdown():
    import time

    started = time.time()
    assert app.send_task("t.add", (1, 1), countdown=1).get(timeout=30) == 2
    assert time.time() - started >= 1, "ran before its time"


def expired():
    from celery.exceptions import TaskRevokedError

    result = app.send_task("t.add", (1, 1), expires=-1)
    try:
        result.get(timeout=30)
    except TaskRevokedError as error:
        assert str(error) == "expired", error
    else:
        raise AssertionError("an expired task ran")


def unknown():
    from celery.exceptions import NotRegistered

    try:
        app.send_task("no.such").get(timeout=30)
    except NotRegistered as error:
        assert error.args == ("no.such",), error
    else:
        raise AssertionError("an unknown task ran")


def compressed():
    for name in ("gzip", "bzip2"):
        result = app.send_task("t.echo", ("x" * 5000,), compression=name)
        assert result.get(timeout=30) == "x" * 5000, name


def protocol_1():
    app.conf.task_protocol = 1
    try:
        assert app.send_task("t.add", (20, 22)).get(timeout=30) == 42
    finally:
        app.conf.task_protocol = 2


def priorities():
    results = [app.send_task("t.echo", (p,), priority=p) for p in range(10)]
    assert [r.get(timeout=30) for r in results] == list(range(10))


CHECKS = [echo, keywords, boom, missing_argument, retries, countdown, expired, unknown, compressed,
          protocol_1, priorities]

if __name__ == "__main__":
    import celery

    print(f"celery {celery.__version__}, T_SEED={SEED}", flush=True)
    for check in CHECKS:
        check()
        print(f"  {check.__name__}", flush=True)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ask Python Celery whether the C codec tells the truth.

usage: test_codec.py path/to/codec_tool [recording of tests/vectors/capture.py ...]

Values are random but repeatable; SEED and ROUNDS change them. Needs celery;
CELERY_PYTHON names an interpreter that has it. Exits 77 without one.
"""
import base64
import datetime
import decimal
import fnmatch
import json
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import time
import uuid
import warnings

if __name__ == "__main__":
    other = os.environ.get("CELERY_PYTHON")
    if other and os.path.abspath(other) != sys.executable:
        os.execv(other, [os.path.abspath(other), *sys.argv])

try:
    from celery import Celery
    from celery._state import _task_stack
    from celery.app.task import Context
    from celery.events import EventDispatcher, EventReceiver
    from celery.utils.saferepr import saferepr
    from celery.utils.time import maybe_iso8601
    from celery.worker.request import Request
    from celery.worker.strategy import proto1_to_proto2
    from kombu import Connection, compression
    from kombu.exceptions import DecodeError, EncodeError
    from kombu.serialization import dumps as kombu_dumps
    from kombu.transport.virtual.base import Message
    from kombu.utils.json import dumps, loads
except ImportError as exc:
    if __name__ != "__main__":
        raise
    print(f"skipped: {exc}")
    sys.exit(77)

try:
    from celery.backends.base import compress_payload, decompress_payload
except ImportError:  # before 5.7
    compress_payload = decompress_payload = None

SEED = int(os.environ.get("SEED", "7"))
ROUNDS = int(os.environ.get("ROUNDS", "2000"))
UTC = datetime.timezone.utc
RECORDINGS = sorted((pathlib.Path(__file__).resolve().parent.parent / "vectors")
                    .glob("celery-*.jsonl"))


def ask(tool, questions):
    """One run of the tool for all questions."""
    return ask_raw(tool, [json.dumps(q) for q in questions])


def ask_raw(tool, questions):
    """Questions whose spelling matters."""
    lines = "".join(q + "\n" for q in questions)
    out = subprocess.run([tool], input=lines.encode(), stdout=subprocess.PIPE,
                         check=True).stdout
    answers = [json.loads(line) for line in out.split(b"\n") if line]
    assert len(answers) == len(questions)
    return answers


class Values:
    """Random Python values that kombu can put into JSON."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def text(self):
        pool = self.random.choice([
            "abc d", "a'b\"c\\ ", "\u20b9\xe9\x00\n\t\x7f\u2028\U0001f600\ud800 ",
            "\x85\xa0\xad\u200b\u3000\ue000\u0378\U000e0001x",
        ])
        longest = self.random.choice([3, 10, 60])
        return "".join(self.random.choice(pool)
                       for _ in range(self.random.randint(0, longest)))

    def moment(self):
        zone = self.random.choice([
            None, UTC, datetime.timezone(datetime.timedelta(hours=-3, minutes=-30)),
            datetime.timezone(datetime.timedelta(hours=5, minutes=30)),
            datetime.timezone(datetime.timedelta(
                seconds=self.random.choice([-1, 0, 1]), microseconds=5)),
            datetime.timezone(datetime.timedelta(seconds=-3661)),
        ])
        return datetime.datetime(
            self.random.randint(1, 9999), 2, 3, self.random.choice([0, 4]),
            self.random.choice([0, 5]), self.random.choice([0, 6]),
            self.random.choice([0, 7, 123456]), tzinfo=zone)

    def number(self):
        return self.random.choice([
            self.random.randint(-10 ** self.random.randint(0, 40),
                                10 ** self.random.randint(0, 40)),
            self.random.random(), 0.1, 1e300, -0.0, 5.0, 1e16, 1e-5,
            float("inf"), float("nan"), True, False,
        ])

    def decimal(self):
        digits = str(self.random.getrandbits(self.random.choice([1, 30, 300])))
        return self.random.choice(["1.10", "1E+2", "-0.5", "nan", "-sNaN12", "inf",
                                   digits, f"-{digits}e{self.random.randint(-9, 9)}",
                                   f"0.{'0' * self.random.randint(0, 9)}{digits}"])

    def leaf(self):
        return self.random.choice([
            lambda: None, self.number, self.number, self.text, self.text,
            lambda: decimal.Decimal(self.decimal()),
            lambda: uuid.UUID(int=self.random.getrandbits(128)),
            self.moment, lambda: self.moment().date(),
            lambda: self.moment().time(),
            lambda: self.random.choice([b"abc", "\xe9'x".encode(), b"\xff\0",
                                        b"a b " * self.random.randint(0, 30)]),
        ])()

    def value(self, depth):
        kind = self.random.randint(0, 3) if depth else 0
        if kind < 2:
            return self.leaf()
        if kind == 2:
            return [self.value(depth - 1) for _ in range(self.random.randint(0, 5))]
        return {self.text(): self.value(depth - 1)
                for _ in range(self.random.randint(0, 5))}


def check_saferepr(tool):
    values = Values(SEED)
    questions, wanted = [], []
    for _ in range(ROUNDS):
        document = dumps(values.value(values.random.randint(0, 5)))
        as_tuple = values.random.random() < 0.3
        maxlen = values.random.choice([None, 1024, 128, 60, 20, 5, 1])
        levels = values.random.choice([0, 1, 2, 3, 3, 5])
        value = loads(document)
        if as_tuple and isinstance(value, list):
            value = tuple(value)
        questions.append({"op": "repr", "value": json.loads(document), "tuple": as_tuple,
                          "maxlen": maxlen or 0, "levels": levels})
        wanted.append(saferepr(value, maxlen, levels))
    for question, want, got in zip(questions, wanted, ask(tool, questions)):
        assert got["out"] == want, (question, want, got)


def check_saferepr_of_documents(tool):
    """What others than kombu may write: equal keys, decimals as they please."""
    values = Values(SEED + 8)
    chance = values.random
    texts = ['{"a": 1, "a": 2}', '{"a":1,"\\u0061":{"b":1,"b":2},"c":3}']
    for _ in range(ROUNDS):
        number = "".join(chance.choice("0019.eE+-") for _ in range(chance.randint(1, 9)))
        try:
            decimal.Decimal(number)
        except decimal.InvalidOperation:
            number = chance.choice(["1e5", "nan", "+sNAN007", "-iNf", "infinity", "5."])
        members = ['"%s": %s' % (chance.choice(["a", "b", "\\u0061", "c"]), chance.choice([
            "1", "[2]", '{"a": 1, "b": 2, "a": 3}',
            '{"__type__": "decimal", "__value__": "%s"}' % number]))
                   for _ in range(chance.randint(0, 5))]
        texts.append("{" + ", ".join(members) + "}")
    answers = ask_raw(tool, ['{"op": "repr", "levels": 3, "maxlen": 100, "value": %s}' % t
                             for t in texts])
    for text, got in zip(texts, answers):
        assert got["out"] == saferepr(loads(text), 100, 3), (text, got)


def check_repr_of_text(tool):
    values = Values(SEED + 1)
    texts = [values.text() for _ in range(ROUNDS)]
    texts += [chr(c) for c in range(0x3000)]
    questions = [{"op": "repr", "str": t} for t in texts]
    for text, got in zip(texts, ask(tool, questions)):
        assert got["out"] == repr(text), (ascii(text), got)


def check_float(tool):
    chance = random.Random(SEED + 2)
    bits = [chance.getrandbits(64) for _ in range(ROUNDS * 5)]
    bits += [e << 52 | m for e in range(2047) for m in (0, 1, 2 ** 52 - 1)]
    bits += [chance.getrandbits(chance.randint(1, 52)) for _ in range(ROUNDS)]
    floats = [struct.unpack(">d", struct.pack(">Q", b))[0] for b in bits]
    floats += [round(chance.uniform(0, 1e17), chance.randint(0, 6))
               for _ in range(ROUNDS)]
    for f, got in zip(floats, ask(tool, [{"op": "float", "value": f} for f in floats])):
        assert got["out"] == repr(f), (repr(f), got)


def python_accepts(text):
    try:
        json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


def check_loads(tool):
    """Documents with a few bytes changed: both accept, or neither does."""
    values = Values(SEED + 3)
    chance = values.random
    texts = []
    for _ in range(ROUNDS * 3):
        ascii_only = chance.random() < 0.5
        try:
            text = bytearray(json.dumps(json.loads(dumps(values.value(3))),
                                        ensure_ascii=ascii_only).encode())
        except UnicodeEncodeError:
            continue
        for _ in range(chance.randint(0, 3)):
            at = chance.randint(0, len(text))
            if chance.random() < 0.5:
                text[at:at + 1] = b""
            else:
                text[at:at] = chance.choice([
                    b" ", b"\n", b"\"", b"\\", b"{", b"]", b",", b":", b"0", b"-", b".",
                    b"e", b"N", b"NaN", b"\xff", b"\xed\xa0\x80", b"\x01", b"\0", b"\f",
                    b"\\ud800", b"\xc3\xa9"])
        texts.append(bytes(text))
    questions = [{"op": "loads", "bytes": base64.b64encode(t).decode()} for t in texts]
    accepted = 0
    for text, got in zip(texts, ask(tool, questions)):
        assert got["ok"] == python_accepts(text), (text, got)
        accepted += got["ok"]
    assert ROUNDS // 4 < accepted < len(texts) - ROUNDS // 4, accepted


# CPython's guard against slow conversions, which other Pythons do not have: we carry
# integers as text. Source: sys.int_info.default_max_str_digits.
LONG_INTEGER = "Exceeds the limit (4300"
# The corpora whose inputs are JSON, or were once.
JSON_CORPORA = ["envelope", "json", "message", "result", "signature"]


def check_corpus(tool):
    """Of the fuzz corpora, Python's json accepts what we do, and we what it does."""
    corpus = pathlib.Path(__file__).resolve().parent.parent / "fuzz" / "corpus"
    texts = [path.read_bytes() for name in JSON_CORPORA
             for path in sorted((corpus / name).iterdir())]
    texts += [b"[" + b"7" * 4300 + b"]", b"[" + b"7" * 4301 + b"]"]
    questions = [{"op": "loads", "bytes": base64.b64encode(t).decode()} for t in texts]
    accepted, refused, long_integers = 0, 0, 0
    for text, got in zip(texts, ask(tool, questions)):
        try:
            json.loads(text.decode("utf-8"))
        except (ValueError, RecursionError) as exc:
            long_integers += got["ok"]
            assert not got["ok"] or LONG_INTEGER in str(exc), (text, exc)
            refused += not got["ok"]
        else:
            assert got["ok"], text
            accepted += 1
    assert accepted > 300 and refused > 10 and long_integers, (accepted, refused, long_integers)


def python_message(app, options):
    """What Python puts on a queue for the same options."""
    eta = options.get("eta_us")
    expires = options.get("expires_us")
    stamped = options.get("stamped_headers")
    as_date = lambda us: us and datetime.datetime.fromtimestamp(us / 1e6, UTC)
    return app.amqp.as_task_v2(
        options["id"], options["task"], args=tuple(options["args"]),
        kwargs=options["kwargs"], eta=as_date(eta), expires=as_date(expires),
        group_id=options.get("group"), group_index=options.get("group_index"),
        retries=options.get("retries", 0), chord=options.get("chord"),
        callbacks=options.get("callbacks"), errbacks=options.get("errbacks"),
        reply_to=options.get("reply_to"), time_limit=options.get("time_limit"),
        soft_time_limit=options.get("soft_time_limit"), root_id=options.get("root_id"),
        parent_id=options.get("parent_id"), shadow=options.get("shadow"),
        chain=options.get("chain"), origin=options["origin"],
        ignore_result=[None, False, True][options.get("ignore_result", 0)],
        replaced_task_nesting=options.get("replaced_task_nesting", 0),
        stamped_headers=stamped, **(options.get("stamps") or {}))


def known_compressions():
    """All five, where kombu finds the modules; the suites' interpreter has them."""
    names = ["gzip", "bzip2", "lzma", "zstd", "brotli"]
    known = [name for name in names if compression._aliases.get(name) in compression.encoders()]
    if known != names:
        assert "CELERY_PYTHON" not in os.environ, f"kombu knows only {known}"
        print(f"# kombu knows only {known}")
    return known


COMPRESSIONS = known_compressions()


def random_options(values):
    chance = values.random
    plain = lambda: loads_plain(dumps(values.value(2)))
    options = {
        "task": "proj." + chance.choice(["add", "mul"]),
        "id": str(uuid.UUID(int=chance.getrandbits(128))),
        "args": [plain() for _ in range(chance.randint(0, 3))],
        "kwargs": {values.text(): plain() for _ in range(chance.randint(0, 3))},
        "origin": "gen1@host", "routing_key": "celery",
        "delivery_tag": str(uuid.UUID(int=chance.getrandbits(128))),
    }
    signature = {"task": "proj.x", "args": [1], "kwargs": {}, "options": {},
                 "subtask_type": None, "immutable": False}
    maybe = {
        "eta_us": 1795469808274203, "expires_us": 1795469808274204,
        "group": "g", "group_index": chance.choice([0, 3, -3]), "retries": 2,
        "chord": signature,
        "callbacks": [signature], "errbacks": [signature], "chain": [signature],
        "reply_to": "r", "time_limit": 10, "soft_time_limit": 5, "root_id": "ro",
        "parent_id": "pa", "shadow": "s", "ignore_result": chance.randint(1, 2),
        "priority": 5, "replaced_task_nesting": 2,
        "compression": chance.choice(COMPRESSIONS),
        "headers": {"mine": [1.0, "x"]},
    }
    for key, value in maybe.items():
        if chance.random() < 0.3:
            options[key] = value
    if chance.random() < 0.2:
        options["stamped_headers"] = ["st"]
        options["stamps"] = {"st": ["v"]}
    return options


def loads_plain(text):
    """Typed values stay the objects that stand for them."""
    return json.loads(text)


def check_encode(tool):
    """What we encode, kombu decodes to what Python would have sent."""
    app = Celery(set_as_current=False)
    values = Values(SEED + 4)
    all_options = [random_options(values) for _ in range(ROUNDS // 4)]
    answers = ask(tool, [{"op": "encode", **o} for o in all_options])
    with Connection("memory://") as connection:
        channel = connection.default_channel
        for options, answer in zip(all_options, answers):
            assert "out" in answer, (options, answer)
            message = Message(json.loads(answer["out"]), channel, accept={"application/json"})
            # Python works on objects; what it prints is compared with them.
            objects = dict(options, args=loads(json.dumps(options["args"])),
                           kwargs=loads(json.dumps(options["kwargs"])))
            want = python_message(app, objects)
            headers = dict(want.headers, **options.get("headers", {}))
            got = dict(message.headers)
            if "compression" in options:
                assert got.pop("compression").startswith("application/")
            assert list(got) == list(headers), (got, headers)
            for key, value in headers.items():
                assert got[key] == value, (key, value, got[key])
            assert dumps(message.decode()) == dumps(want.body), options
            properties = message.properties
            assert properties["correlation_id"] == options["id"]
            assert properties["reply_to"] == options.get("reply_to", "")
            assert properties["priority"] == options.get("priority", 0)
            assert properties["delivery_tag"] == options["delivery_tag"]
            assert properties["delivery_info"] == {"exchange": "", "routing_key": "celery"}
            assert properties["delivery_mode"] == 2


def check_encode_v1(tool):
    """What we encode as protocol 1 is what as_task_v1 makes, and a worker takes it."""
    app = Celery(set_as_current=False)
    values = Values(SEED + 9)
    all_options = [random_options(values) for _ in range(ROUNDS // 4)]
    for options in all_options:
        options.pop("chain", None)
        options["now_us"] = options.get("expires_us", 0) - 1_234_567
    answers = ask(tool, [{"op": "encode", "protocol": 1, **o} for o in all_options])
    as_date = lambda us: us and datetime.datetime.fromtimestamp(us / 1e6, UTC)
    with Connection("memory://") as connection:
        channel = connection.default_channel
        for options, answer in zip(all_options, answers):
            assert "out" in answer, (options, answer)
            message = Message(json.loads(answer["out"]), channel, accept={"application/json"})
            known = {k: v for k, v in options.items() if k in (
                "group_index", "retries", "chord", "callbacks", "errbacks", "reply_to",
                "time_limit", "soft_time_limit", "root_id", "parent_id", "shadow")}
            want = app.amqp.as_task_v1(
                options["id"], options["task"], args=options["args"],
                kwargs=options["kwargs"], group_id=options.get("group"),
                eta=as_date(options.get("eta_us")), expires=as_date(options.get("expires_us")),
                **known)
            # The body as it stands, before the typed values in it become objects.
            plain = json.loads(message.body)
            assert json.dumps(plain) == json.dumps(want.body), options
            headers = dict(message.headers)
            assert headers.pop("compression", None) == MIMES.get(options.get("compression"))
            assert headers == {**want.headers, **options.get("headers", {})}, options
            expiration = "1234" if "expires_us" in options else None
            assert message.properties.get("expiration") == expiration
            for key, value in want.properties.items():
                assert message.properties[key] == value, (key, options)
            assert takes_v1(app, message) == options["task"]


def check_encode_msgpack(tool):
    """A body of msgpack is kombu's, byte for byte, and its loads give the same objects."""
    try:
        import msgpack  # noqa: F401
    except ImportError:
        print("# no msgpack in this Python")
        return
    app = Celery(set_as_current=False)
    values = Values(SEED + 10)
    all_options = [random_options(values) for _ in range(ROUNDS // 4)]
    for options in all_options:
        options.pop("compression", None)
    answers = ask(tool, [{"op": "encode", "msgpack": True, **o} for o in all_options])
    sent = 0
    with Connection("memory://") as connection:
        channel = connection.default_channel
        for options, answer in zip(all_options, answers):
            # Typed values are JSON's; of them bytes alone are msgpack's too.
            args, kwargs = map(bytes_alone, (options["args"], options["kwargs"]))
            want = python_message(app, dict(options, args=args, kwargs=kwargs))
            try:
                packed = kombu_dumps(want.body, "msgpack")
            except EncodeError:
                assert answer["error"].startswith("msgpack: "), (options, answer)
                continue
            envelope = json.loads(answer["out"])
            assert (envelope["content-type"], envelope["content-encoding"]) == packed[:2]
            assert base64.b64decode(envelope["body"]) == packed[2], options
            message = Message(envelope, channel, accept={"application/x-msgpack"})
            assert dumps(message.decode()) == dumps(want.body), options
            sent += 1
    assert sent > ROUNDS // 20, sent


def bytes_alone(value):
    """What JSON text means where only bytes have a type of their own."""
    if isinstance(value, list):
        return [bytes_alone(v) for v in value]
    if isinstance(value, dict):
        if set(value) == {"__type__", "__value__"} and value["__type__"] in ("bytes", "base64"):
            return loads(json.dumps(value))
        return {k: bytes_alone(v) for k, v in value.items()}
    return value


MIMES = {name: compression._aliases[name] for name in COMPRESSIONS}


def anything(*args, **kwargs):
    """A task's function."""


def takes_v1(app, message):
    """A 5.7.0 worker's way from a message of protocol 1 to the request that it runs."""
    assert "task" not in message.headers            # create_task_handler asks this
    body = message.decode()
    converted, headers, decoded, utc = proto1_to_proto2(message, body)
    assert decoded and utc
    if body["task"] not in app.tasks:
        app.task(anything, name=body["task"])
    request = Request(message, on_ack=None, hostname="h", eventer=None, app=app,
                      connection_errors=(), task=app.tasks[body["task"]], body=converted,
                      headers=headers, decoded=decoded, utc=utc)
    assert request.id == body["id"] and request.args is converted[0]
    assert request.request_dict["retries"] == body["retries"]
    return request.name


def from_amqp(vector):
    """The envelope that our driver puts around what RabbitMQ delivered."""
    properties = dict(vector["meta"]["properties"])
    info = vector["meta"]["delivery_info"]
    return json.dumps({
        "body": base64.b64encode(vector["raw"].encode("latin-1")).decode(),
        "content-type": properties.pop("content_type"),
        "content-encoding": properties.pop("content_encoding"),
        "headers": properties.pop("application_headers"),
        "properties": {
            **properties, "body_encoding": "base64", "delivery_tag": "1",
            "delivery_info": {"exchange": info["exchange"], "routing_key": info["routing_key"]},
        }})


def recorded_tasks():
    """Every task of every recording: its name, its envelope."""
    for path in RECORDINGS:
        for line in path.read_text(encoding="utf-8").splitlines():
            vector = json.loads(line)
            name = f"{path.name} {vector['kind']} {vector['name']}"
            meta = vector["meta"]
            if vector["kind"] == "task":
                yield name, vector["raw"]
            elif vector["kind"] == "amqp-task":
                yield name, from_amqp(vector)
            elif (vector["kind"] == "spool" and meta["folder"] in ("queue", "processed")
                  and ".pidbox." not in meta["file"]):
                yield name, vector["raw"]


def written_tasks(app, channel):
    """Random tasks as Python writes them."""
    values = Values(SEED + 8)
    for number in range(ROUNDS // 4):
        options = random_options(values)
        options["args"] = loads(json.dumps(options["args"]))
        options["kwargs"] = loads(json.dumps(options["kwargs"]))
        if "stamped_headers" in options:
            options["stamped_headers"] = ["st", "\u00e9", "missing\""]
            options["stamps"] = {"st": 1, "\u00e9": [2], "missing\"": None}
        made = python_message(app, options)
        headers = dict(made.headers, **options.get("headers", {}))
        body, content_type, encoding = app.amqp.Producer(channel)._prepare(
            made.body, "json", None, None, options.get("compression"), headers)
        raw = channel.prepare_message(
            body, options.get("priority", 0), content_type, encoding, headers,
            dict(made.properties, delivery_mode=2))
        channel._inplace_augment_message(raw, "", "celery")
        yield f"random {number}", json.dumps(raw)


def moment(text):
    return text and datetime.datetime.fromisoformat(text)


def publish_time(envelope):
    """When Python published it, as microseconds: expiration is what was left."""
    expiration = envelope["properties"].get("expiration")
    if expiration is None:
        return 0
    body = json.loads(base64.b64decode(envelope["body"])) if not envelope["headers"] else {}
    expires = moment(envelope["headers"].get("expires") or body.get("expires"))
    since = expires.astimezone(UTC) - datetime.datetime(1970, 1, 1, tzinfo=UTC)
    return since // datetime.timedelta(microseconds=1) - int(expiration) * 1000


def as_kombu_reads(channel, raw):
    """Headers, properties and body of a task, by kombu and Celery."""
    message = Message(json.loads(raw), channel,
                      accept={"application/json", "application/x-msgpack"})
    body, headers = message.decode(), message.headers
    if "task" not in headers:
        body, headers, _, _ = proto1_to_proto2(message, body)
    return headers, message.properties, body


# What 5.2 and protocol 1 do not have, and what stands for it.
UNSET = {"lang": "py", "shadow": None, "root_id": None, "parent_id": None, "origin": None,
         "ignore_result": None, "replaced_task_nesting": 0, "stamped_headers": None,
         "stamps": {}}
# Members of a body of protocol 1 that are no headers in protocol 2; args, kwargs and
# the embedded signatures are compared as the body.
NO_HEADERS = {"args", "kwargs", "callbacks", "errbacks", "chord", "taskset", "utc", "headers"}


def compare_again(name, before, after, tag):
    """Field by field. Every field that may differ is here, with its reason."""
    (headers, properties, body), (headers2, properties2, body2) = before, after
    want = {**UNSET, **{k: v for k, v in headers.items() if k not in NO_HEADERS}}
    # The next attempt: Task.retry() counts, and fills in an unset parent.
    want["retries"] += 1
    want["parent_id"] = want["parent_id"] or want["id"]
    want["root_id"] = want["root_id"] or want["id"]
    # Who publishes shows the arguments anew, as Python does.
    want["argsrepr"] = saferepr(tuple(body[0]), 1024, maxlevels=3)
    want["kwargsrepr"] = saferepr(body[1], 1024, maxlevels=3)
    # Who publishes compresses as its own settings say.
    want.pop("compression", None)
    want["timelimit"] = list(want["timelimit"])
    got = dict(headers2)
    for key in ("eta", "expires"):      # the same moment, with six digits
        assert moment(got[key]) == moment(want[key]), (name, key)
        want[key] = got[key]
    assert sorted(got) == sorted(want), (name, got, want)
    for key, value in want.items():
        assert dumps(got[key]) == dumps(value), (name, key, value, got[key])
    for ours, python in zip(body2[:2], body[:2]):
        assert dumps(ours) == dumps(python), (name, body, body2)
    assert len(body2) == len(body) == 3 and sorted(body2[2]) == sorted(body[2])
    for key, value in body[2].items():
        assert dumps(body2[2][key]) == dumps(value), (name, key, body, body2)
    # A tag is one publish's.
    want = dict(properties, delivery_tag=tag)
    assert properties2 == want, (name, want, properties2)


def check_again(tool):
    """What we decode and encode again is the same to kombu."""
    app = Celery(set_as_current=False)
    refused = 0
    with Connection("memory://") as connection:
        channel = connection.default_channel
        tasks = list(recorded_tasks())
        assert len(tasks) > 40 * len(RECORDINGS), len(tasks)
        tasks += written_tasks(app, channel)
        answers = ask(tool, [{"op": "again", "raw": raw, "delivery_tag": f"tag {n}",
                              "now_us": publish_time(json.loads(raw))}
                             for n, (_, raw) in enumerate(tasks)])
        for number, ((name, raw), answer) in enumerate(zip(tasks, answers)):
            if json.loads(raw)["content-type"] in ("application/x-python-serialize",
                                                   "application/x-yaml"):
                assert "is not accepted" in answer["error"], (name, answer)
                refused += 1
                continue
            assert "out" in answer, (name, answer)
            compare_again(name, as_kombu_reads(channel, raw),
                          as_kombu_reads(channel, answer["out"]), f"tag {number}")
    assert refused >= 12, refused


class Retries:
    """Python's own Task.retry(), stopped where it would publish."""

    def __init__(self):
        self.app = Celery(broker="memory://", set_as_current=False)
        self.app.amqp.send_task_message = self.keep

    def keep(self, producer, name, message, headers=None, **options):
        self.kept = dict(message.headers, **(headers or {})), message.body, \
            dict(message.properties, **options)

    def of(self, message):
        """Headers, body and options of the next attempt."""
        name = message.headers["task"]
        if name not in self.app.tasks:
            self.app.task(anything, name=name, typing=False, max_retries=None)
        task = self.app.tasks[name]
        request = Request(message, hostname="h", app=self.app, task=task)
        args, kwargs, embed = message.decode()
        task.push_request({**request.request_dict, **embed}, args=args, kwargs=kwargs,
                          called_directly=False)
        _task_stack.push(task)
        try:
            task.retry(countdown=0, throw=False)
        finally:
            _task_stack.pop()
            task.pop_request()
        return self.kept


def check_retry(tool):
    """Our next attempt is the one of Python's Task.retry()."""
    retries = Retries()
    with Connection("memory://") as connection:
        channel = connection.default_channel
        raws = [raw for _, raw in written_tasks(retries.app, channel)]
        answers = ask(tool, [{"op": "again", "raw": raw, "delivery_tag": "t",
                              "now_us": int(time.time() * 1e6)} for raw in raws])
        for raw, answer in zip(raws, answers):
            want, body, options = retries.of(
                Message(json.loads(raw), channel, accept={"application/json"}))
            got, properties, our_body = as_kombu_reads(channel, answer["out"])
            # The new time is the caller's.
            assert want.pop("eta") is None
            got.pop("eta")
            assert moment(want.pop("expires")) == moment(got.pop("expires"))
            # null stands for the task's own setting, which Python writes down.
            if got["ignore_result"] is None:
                got["ignore_result"] = False
            assert list(got) == [key for key in got if key in want], (got, want)
            assert dumps(got) == dumps({key: want[key] for key in got}), (got, want)
            assert sorted(got) == sorted(want), (got, want)
            assert dumps(our_body) == dumps(body), (our_body, body)
            # Of an empty reply_to Python makes its worker's own, which nobody reads.
            asked = json.loads(raw)["properties"]["reply_to"]
            assert properties["reply_to"] == asked and asked in ("", options["reply_to"])
            for key in ("correlation_id", "priority"):
                assert properties[key] == options[key], (key, properties, options)
            expiration = options.get("expiration")      # in seconds
            assert properties.get("expiration") == \
                (None if expiration is None else str(int(expiration * 1000)))


def check_decode(tool):
    """What kombu writes, we decode to what went in."""
    app = Celery(set_as_current=False)
    values = Values(SEED + 5)
    chance = values.random
    raws, wanted = [], []
    with Connection("memory://") as connection:
        channel = connection.default_channel
        for _ in range(ROUNDS // 4):
            options = random_options(values)
            v1 = chance.random() < 0.3
            if v1:
                made = app.amqp.as_task_v1(
                    options["id"], options["task"], args=options["args"],
                    kwargs=options["kwargs"], group_id=options.get("group"),
                    callbacks=options.get("callbacks"), chord=options.get("chord"),
                    retries=options.get("retries", 0))
            else:
                made = python_message(app, options)
            body, *rest = encode_body(channel, made.body)
            if "compression" in options:  # as kombu.messaging.Producer._prepare
                body, made.headers["compression"] = compression.compress(
                    body, options["compression"])
            raw = channel.prepare_message(
                body, *rest, headers=made.headers,
                properties=dict(made.properties))
            channel._inplace_augment_message(raw, "", "celery")
            raws.append({"op": "decode", "raw": json.dumps(raw)})
            wanted.append((options, v1))
    for (options, v1), got in zip(wanted, ask(tool, raws)):
        for key in ("task", "id"):
            assert got[key] == options[key], (options, got)
        for key in ("args", "kwargs"):
            assert dumps(got[key]) == dumps(options[key]), (options, got)
        for key in ("callbacks", "chord"):
            assert got[key] == options.get(key), (options, got)
        assert got["retries"] == options.get("retries", 0)
        assert got["group"] == options.get("group", "")
        assert got["routing_key"] == "celery"
        if not v1:
            assert got["chain"] == options.get("chain")
            assert got["eta_us"] == options.get("eta_us", 0)
            assert got["expires_us"] == options.get("expires_us", 0)


def encode_body(channel, body):
    text = json.dumps(body)
    return text, 0, "application/json", "utf-8"


def check_msgpack(tool):
    try:
        import msgpack
    except ImportError:
        print("# no msgpack in this Python")
        return
    values = Values(SEED + 6)
    documents = []
    for _ in range(ROUNDS):
        text = dumps(values.value(3))
        if "ud800" not in text and "decimal" not in text and "date" not in text \
                and "time" not in text and "uuid" not in text:
            documents.append(json.loads(text))
    answers = ask(tool, [{"op": "msgpack", "value": d} for d in documents])
    back = []
    for document, got in zip(documents, answers):
        python = loads(json.dumps(document))
        try:
            packed = msgpack.packb(python, use_bin_type=True)
        except OverflowError:
            assert "error" in got
            continue
        assert base64.b64decode(got["out"]) == packed, (document, got)
        back.append((document, got["out"]))
    answers = ask(tool, [{"op": "unmsgpack", "bytes": b} for _, b in back])
    for (document, _), got in zip(back, answers):
        assert json.dumps(got["value"]) == json.dumps(document)


class Published:
    """Stands for a producer: keeps what EventDispatcher.publish() gives it."""

    def publish(self, body, **options):
        self.body = body


def python_event(dispatcher, question):
    """The same event by Celery's own code."""
    app = dispatcher.app
    at = {"timestamp": question["timestamp"]}
    dispatcher.clock.value = question["clock"] - 1
    producer = Published()
    if "runtime" in question:
        dispatcher.publish("task-succeeded", {
            "uuid": question["uuid"], "result": saferepr(loads(json.dumps(question["result"])), 1024),
            "runtime": question["runtime"], **at}, producer)
    else:
        as_date = lambda us: us and datetime.datetime.fromtimestamp(us / 1e6, UTC)
        message = app.amqp.as_task_v2(
            question["uuid"], question["task"], args=tuple(loads(json.dumps(question["args"]))),
            kwargs=loads(json.dumps(question["kwargs"])), retries=question["retries"],
            root_id=question["root_id"], parent_id=question["parent_id"],
            eta=as_date(question["eta_us"]), expires=as_date(question["expires_us"]),
            create_sent_event=True)
        # celery/app/amqp.py send_task_message; the queue is known by its exchange.
        queue = None if question["exchange"] else question["routing_key"]
        dispatcher.publish("task-sent", {
            **message.sent_event, "queue": queue, "exchange": question["exchange"],
            "routing_key": question["routing_key"], **at}, producer)
    # An event without its own time has it behind its fields, as publish() adds it.
    event = dict(producer.body)
    return {**{k: v for k, v in event.items() if k not in ("timestamp", "type")},
            "timestamp": event["timestamp"], "type": event["type"]}


def check_events(tool):
    """task-sent and task-succeeded byte for byte, and a batch for EventReceiver."""
    app = Celery(set_as_current=False)
    values = Values(SEED + 11)
    chance = values.random
    plain = lambda: loads_plain(dumps(values.value(2)))
    dispatcher = EventDispatcher(connection=Connection("memory://"), hostname="w@h", app=app,
                                 enabled=False)
    questions = []
    for i in range(ROUNDS // 4):
        question = {"op": "event", "hostname": "w@h", "utcoffset": 0.0, "pid": dispatcher.pid,
                    "clock": i + 1, "timestamp": 1795497474.7026083 + i, "uuid": f"id-{i}"}
        if chance.random() < 0.5:
            question.update(result=plain(), runtime=chance.random())
        else:
            question.update(
                task="proj.add", args=[plain()], kwargs={"k": plain()}, retries=chance.randint(0, 2),
                root_id=chance.choice([None, "r"]), parent_id=chance.choice([None, "p"]),
                eta_us=chance.choice([None, 1795469808274203]),
                expires_us=chance.choice([None, 1795469808000001]),
                exchange=chance.choice(["", "x"]), routing_key="celery")
        questions.append(question)
    events = []
    for question, got in zip(questions, ask(tool, questions)):
        want = json.dumps(python_event(dispatcher, question))
        assert got["out"] == want, (question, got["out"], want)
        events.append(json.loads(got["out"]))

    # What events_flush() sends: a list of them, as one message.
    seen = []
    receiver = EventReceiver(Connection("memory://").channel(), app=app,
                             handlers={"*": seen.append})
    receiver._receive(events, None)
    assert [e["uuid"] for e in seen] == [q["uuid"] for q in questions]


# What is read here. Python reads more: fields that are too short, or that only int()
# takes ("+1", " 1", "1_0", so "2026106 1200" is October 6th), and a digit between date
# and time.
TIMESTAMP = re.compile(
    r"(?:\d{4}(?:-\d\d)?|(?:\d{4}-\d\d-\d\d|\d{8}|\d{4}-\d{3}|\d{7}(?!\s)|\d{4}-W\d\d-\d|\d{4}W\d{3}|"
    r"\d{4}-?W\d\d(?=$))(?:[^0-9](?:\d\d(?::?\d\d(?::?\d\d(?:[.,]\d+)?)?)?)?"
    r"(?:[Zz]|[+-]\d\d(?::?\d\d)?)?)?)", re.A)


def python_timestamp(text):
    try:
        at = maybe_iso8601(text)
    except (ValueError, OverflowError):
        return None
    at = at.replace(tzinfo=at.tzinfo or UTC)
    since = at - datetime.datetime(1970, 1, 1, tzinfo=UTC)
    return since // datetime.timedelta(microseconds=1)


def random_timestamp(chance):
    digits = lambda n: "".join(chance.choice("0123456789") for _ in range(n))
    two = lambda most: "%02d" % chance.randint(0, most + 1)
    dash, colon = chance.choice(["-", ""]), chance.choice([":", ""])
    year = "%04d" % chance.choice([0, 1, 1900, 2000, 2026, 9999])
    text = chance.choice([
        f"{year}{dash}{two(12)}{dash}{two(31)}", f"{year}{dash}{two(12)}{dash}{two(31)}",
        f"{year}{dash}{chance.randint(0, 400):03}", f"{year}{dash}W{two(53)}{dash}{digits(1)}",
        f"{year}{dash}W{two(53)}", f"{year}{dash}{two(12)}", year])
    if chance.random() < 0.8:
        text += chance.choice("TTTT t_") + colon.join(
            [two(24), two(59), two(59)][:chance.choice([0, 1, 2, 3, 3, 3])])
        text += chance.choice(["", "", ".5", ",25", ".123456", f".{digits(9)}"])
        text += chance.choice(["", "", "Z", "z", "+00:00", f"+{two(23)}", f"-{two(23)}{two(59)}",
                               f"-{two(23)}:{two(59)}"])
    for _ in range(chance.choice([0, 0, 0, 1, 2])):
        at = chance.randint(0, len(text))
        text = text[:at] + chance.choice(["", "0", ":", "-", "+", "Z", "T", ".", " ", "W", "\xe9"]) \
            + text[at + chance.randint(0, 1):]
    return text or "x"


def check_timestamp(tool):
    """What both can read is the same moment; the rest is refused here."""
    chance = random.Random(SEED + 12)
    texts = [random_timestamp(chance) for _ in range(ROUNDS * 5)]
    accepted = 0
    for text, got in zip(texts, ask(tool, [{"op": "timestamp", "text": t} for t in texts])):
        want = python_timestamp(text) if TIMESTAMP.fullmatch(text) else None
        assert got["usec"] == want, (text, got, want)
        accepted += want is not None
    assert accepted > len(texts) // 8, accepted


def random_result(values):
    """(what our writer is asked, what Python's is given)."""
    chance = values.random
    text = lambda: chance.choice(["a", "b\u20b9", "c d"])
    plain = lambda: loads_plain(dumps(values.value(2)))
    stamps = {text() + str(i): plain() for i in range(chance.randint(0, 3))}
    listed = [name for name in stamps if chance.random() < 0.7] + ["absent"]
    question = {
        "op": "result", "status": chance.choice(["SUCCESS", "STARTED"]), "result": plain(),
        "task_id": "i", "name": "proj.add", "args": [plain()], "kwargs": {"k": plain()},
        "worker": chance.choice([None, "w@h"]), "retries": chance.randint(0, 3),
        "queue": chance.choice([None, "q"]), "group_id": chance.choice([None, "g"]),
        "parent_id": chance.choice([None, "p"]), "stamps": stamps, "children": [],
        "stamped_headers": chance.choice([listed, None]),
        "compression": chance.choice([None, *COMPRESSIONS]),
    }
    if question["status"] == "SUCCESS":
        question["date_done_us"] = 1795469808274203
    request = Context(
        task="proj.add", args=question["args"], kwargs=question["kwargs"],
        hostname=question["worker"], retries=question["retries"], group=question["group_id"],
        parent_id=question["parent_id"], delivery_info={"routing_key": question["queue"]},
        stamps=stamps, stamped_headers=question["stamped_headers"], children=[])
    return question, request


def check_result(tool):
    """Documents byte for byte; compressed ones by Python's functions, both ways."""
    app = Celery(set_as_current=False, backend="cache+memory://")
    app.conf.result_extended = True
    app.now = lambda: datetime.datetime.fromtimestamp(1795469808274203 / 1e6, UTC)
    values = Values(SEED + 9)
    results = [random_result(values) for _ in range(ROUNDS // 4)]
    answers = ask(tool, [question for question, _ in results])
    packed = []
    for (question, request), got in zip(results, answers):
        meta = app.backend._get_result_meta(
            question["result"], question["status"], None, request)
        meta["task_id"] = "i"
        text = app.backend.encode(meta)
        bytes_ = base64.b64decode(got["out"])
        if compress_payload is None:
            assert question["compression"] or bytes_ == text.encode(), question
            continue
        assert bytes_.startswith(b"\0celery-compressed\0") == bool(question["compression"])
        plain = decompress_payload(bytes_)
        assert plain == text.encode(), (question, plain, text)
        name = question["compression"] or "gzip"
        packed.append((text, compress_payload(text, name)))
    answers = ask(tool, [{"op": "unresult", "bytes": base64.b64encode(p).decode()}
                         for _, p in packed])
    for (text, _), got in zip(packed, answers):
        assert json.dumps(got["document"]) == text, got


def check_glob(tool):
    chance = random.Random(SEED + 7)
    questions, wanted = [], []
    for _ in range(ROUNDS * 3):
        pattern = "".join(chance.choice("ab\xf6\u20b9*?[]!-^\\.") for _ in range(chance.randint(1, 9)))
        node = "".join(chance.choice("ab\xf6\u20b9-]!^\\.") for _ in range(chance.randint(1, 6)))
        questions.append({"op": "match", "matcher": "glob", "pattern": pattern, "node": node})
        wanted.append(fnmatch.fnmatchcase(node, pattern))
    for question, want, got in zip(questions, wanted, ask(tool, questions)):
        assert got["ok"] == want, (question, want)


def python_matches(pattern, node):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.match(pattern, node) is not None
    except re.error:
        return False


def check_regex(tool):
    """Where a pattern is known here, Python's verdict; where it is not, none."""
    chance = random.Random(SEED + 10)
    pieces = ["a", "b", "B", "-", ".", "*", "+", "?", "(", ")", "(?:", "|", "[", "]", "[^", "^", "$",
              "{2}", "{1,2}", "{,1}", "{", "}", "\\d", "\\W", "\\w", "\\S", "\\.", "\\Z", "\\A",
              "\\b", "\\B", "\\x61", "1", "\n", "(?i)", "(?P<n>", "\\q"]
    questions, wanted = [], []
    for _ in range(ROUNDS * 5):
        pattern = "".join(chance.choice(pieces) for _ in range(chance.randint(1, 8)))
        if chance.random() < 0.2:
            pattern = "(?i)" + pattern
        node = "".join(chance.choice("aabBA1-.\n") for _ in range(chance.randint(0, 6)))
        if re.search(r"[*+?}]\+", pattern):
            continue  # possessive: not known
        questions.append({"op": "match", "matcher": "pcre", "pattern": pattern, "node": node})
        wanted.append(python_matches(pattern, node))
    for question, want, got in zip(questions, wanted, ask(tool, questions)):
        assert got["ok"] == want, (question, want)
    assert sum(wanted) > len(wanted) // 20, sum(wanted)
    for pattern in ("w@h.st", "w@h[^x]st", "w@h[\xe0-\xfc]st$", "w@h\\u00f6", "w@\\w"):
        got, = ask(tool, [{"op": "match", "matcher": "pcre", "pattern": pattern,
                           "node": "w@h\xf6st"}])
        assert got["ok"] == (python_matches(pattern, "w@h\xf6st") and "\\w" not in pattern)


def refuses(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except (ValueError, DecodeError):
        return True
    return False


def check_deviations(tool):
    """The rows of docs/protocol.md that have no other test: still as they stand there?"""
    digits = "1" * 4301
    unknown = '{"__type__": "money", "__value__": "1.10"}'
    for text in (digits, unknown):
        assert refuses(loads, text), text[:40]
        got, = ask(tool, [{"op": "loads", "bytes": base64.b64encode(text.encode()).decode()}])
        assert got["ok"], text[:40]
    assert not refuses(loads, digits[1:])
    got, = ask_raw(tool, ['{"op": "repr", "levels": 3, "value": [%s, %s]}' % (digits, unknown)])
    assert got["out"] == f"[{digits}, {{'__type__': 'money', '__value__': '1.10'}}]"

    try:
        import msgpack
    except ImportError:
        return  # check_msgpack has said so
    for value, why in ((msgpack.ExtType(5, b"x"), "extension type"),
                       (msgpack.Timestamp(1, 0), "extension type"),
                       ({b"k": 1}, "map key is no text")):
        packed = msgpack.packb(value)
        assert not refuses(msgpack.unpackb, packed, raw=False), value
        got, = ask(tool, [{"op": "unmsgpack", "bytes": base64.b64encode(packed).decode()}])
        assert why in got["error"], got


CHECKS = [check_saferepr, check_saferepr_of_documents, check_repr_of_text, check_float,
          check_loads, check_corpus, check_encode, check_encode_v1, check_encode_msgpack,
          check_again, check_retry, check_decode, check_msgpack, check_result, check_events,
          check_glob, check_regex, check_timestamp, check_deviations]


def test_codec():
    """For pytest; CODEC_TOOL names the helper."""
    for check in CHECKS:
        check(os.environ["CODEC_TOOL"])


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    RECORDINGS.extend(pathlib.Path(path) for path in sys.argv[2:])
    for check in CHECKS:
        check(sys.argv[1])
        print(f"ok {check.__name__}")


if __name__ == "__main__":
    main()

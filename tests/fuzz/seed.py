#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make the fuzz targets' seeds again, from the recordings and Python's encoders.

usage: CELERY_PYTHON=build-venv/celery-5.7.0/bin/python tests/fuzz/seed.py [corpus folder]

Writes the files seed-* of each target's folder and removes those that it no
longer makes; every other file stays. Of inputs that differ in their values only,
one is kept. Needs kombu with brotli, msgpack and zstandard for what Python packs.
"""
import base64
import json
import os
import pathlib
import re
import struct
import sys

if __name__ == "__main__":
    other = os.environ.get("CELERY_PYTHON")
    if other and os.path.abspath(other) != sys.executable:
        os.execv(other, [os.path.abspath(other), *sys.argv])

import msgpack
from kombu import compression

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = sorted((HERE.parent / "vectors").glob("celery-*.jsonl"))
COMPRESSIONS = ["zlib", "bzip2", "lzma", "zstd", "brotli"]  # in fuzz_content's order
LARGEST = 4096
MAGIC = b"\0celery-compressed\0"


def shape(value):
    """What is left of a document when its values are taken out."""
    if isinstance(value, dict):
        return sorted(((k if len(k) < 20 else "id", shape(v)) for k, v in value.items()), key=repr)
    if isinstance(value, list):
        kinds = []
        for item in map(shape, value):
            if item not in kinds[-1:]:
                kinds.append(item)
        return ("list", *kinds)
    if isinstance(value, str):
        return ("text", bool(value), value.isascii())
    return type(value).__name__


def outline(value):
    """Its types by depth, without the members' names."""
    if isinstance(value, dict):
        return ("object", *sorted({repr(outline(v)) for v in value.values()}))
    if isinstance(value, list):
        return ("list", *sorted({repr(outline(v)) for v in value}))
    return shape(value)


class Corpus:
    def __init__(self, folder):
        self.folder = folder
        self.seen = set()
        self.files = {}

    def add(self, target, name, data, kind=None):
        """kind: what makes two inputs the same; the bytes where it is not given."""
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogatepass")
        key = (target, repr(data if kind is None else kind))
        if key in self.seen or len(data) > LARGEST:
            return
        self.seen.add(key)
        name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        path, n = self.folder / target / f"seed-{name}", 2
        while path in self.files:
            path, n = self.folder / target / f"seed-{name}-{n}", n + 1
        self.files[path] = data

    def write(self):
        for old in self.folder.glob("*/seed-*"):
            if old not in self.files:
                old.unlink()
        for path, data in self.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def body_of(envelope):
    body = envelope.get("body") or ""
    if envelope.get("properties", {}).get("body_encoding") == "base64":
        return base64.b64decode(body)
    return body.encode()


def document(data):
    """The JSON in data, or None."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def signatures(value):
    """Every signature in a body."""
    if isinstance(value, dict):
        if "subtask_type" in value:
            yield value
        for item in value.values():
            yield from signatures(item)
    elif isinstance(value, list):
        for item in value:
            yield from signatures(item)


def add_json(corpus, name, text):
    value = document(text)
    if value is None:
        return
    corpus.add("json", name, text, outline(value))
    for signature in signatures(value):
        corpus.add("signature", f"{signature['subtask_type'] or 'task'}-{name}",
                   json.dumps(signature), shape(signature))
    if name.startswith(("event", "inspect", "result")):
        return  # no body of a task
    corpus.add("python_repr", name, b"\xff" + text, outline(value))
    try:
        corpus.add("msgpack", name, msgpack.packb(value), outline(value))
    except (OverflowError, UnicodeEncodeError):
        pass  # msgpack holds no such integer, no such text


def task_out(envelope, headers, args, kwargs, embed):
    """The lines of fuzz_publish for a recorded task."""
    def text(value):
        return "" if value is None else str(value)

    def part(value):
        return "" if value is None else json.dumps(value)

    properties = envelope.get("properties", {})
    info = properties.get("delivery_info", {})
    limits = headers.get("timelimit") or [None, None]
    known = {"lang", "task", "id", "shadow", "eta", "expires", "group", "group_index",
             "retries", "timelimit", "root_id", "parent_id", "argsrepr", "kwargsrepr",
             "origin", "ignore_result", "replaced_task_nesting", "stamped_headers", "stamps"}
    extra = {k: v for k, v in headers.items() if k not in known}
    packed = envelope.get("content-type") == "application/x-msgpack"
    return "\n".join([
        "2", "1" if packed else "0", text(headers.get("compression")),
        text(headers.get("task")), text(headers.get("id")), part(args), part(kwargs),
        part(embed.get("callbacks")), part(embed.get("errbacks")), part(embed.get("chain")),
        part(embed.get("chord")), part(headers.get("stamped_headers")),
        part(headers.get("stamps")), part(extra), text(headers.get("root_id")),
        text(headers.get("parent_id")), text(headers.get("group")), text(headers.get("shadow")),
        text(headers.get("origin")), text(properties.get("reply_to")),
        "1795497472000000" if headers.get("eta") else "0",
        "1795497482000000" if headers.get("expires") else "0", "1795497470000000",
        text(-1 if headers.get("group_index") is None else headers["group_index"]),
        text(headers.get("retries") or 0), text(headers.get("replaced_task_nesting") or 0),
        text(limits[0] or 0), text(limits[1] or 0),
        {None: "0", False: "1", True: "2"}[headers.get("ignore_result")],
        text(properties.get("priority", 0)), text(info.get("exchange")),
        text(info.get("routing_key"))])


EVENT_BASE = "c@host\n-1.5\n4711\n7\n1795497473.125\n"


def add_task(corpus, name, raw):
    envelope = json.loads(raw)
    body = body_of(envelope)
    headers = envelope.get("headers") or {}
    inner = document(body)
    kind = (shape(envelope), shape(inner), envelope.get("content-type"),
            headers.get("compression"))
    corpus.add("message", name, raw, kind)
    corpus.add("envelope", name, raw, shape(envelope))
    corpus.add("base64", name, envelope.get("body") or "", len(body) % 3)
    corpus.add("event", f"received-{name}", f"received\n{EVENT_BASE}" + raw, ("received", shape(headers)))
    corpus.add("event", f"sent-{name}", f"sent\n{EVENT_BASE}" + raw, ("sent", shape(headers)))
    corpus.add("seal", name, json.dumps(headers), shape(headers))
    for key in ("eta", "expires"):
        if isinstance(headers.get(key), str):
            corpus.add("timestamp", f"{key}-{name}", headers[key],
                       re.sub(r"\d", "0", headers[key]))
    if inner is None:
        return
    add_json(corpus, name, body)
    if isinstance(inner, list) and len(inner) == 3 and headers.get("task"):
        lines = task_out(envelope, headers, *inner)
        corpus.add("publish", name, lines, kind)
        corpus.add("publish", f"protocol-1-{name}", "1" + lines[1:], ("protocol 1", kind))


def add_result(corpus, name, raw):
    value = document(raw)
    if not isinstance(value, dict) or "status" not in value:
        return
    kind = (shape(value), value["status"])
    corpus.add("result", f"{value['status']}-{name}", raw, kind)
    add_json(corpus, f"result-{name}", raw.encode())
    if isinstance(value.get("date_done"), str):
        corpus.add("timestamp", f"done-{name}", value["date_done"],
                   re.sub(r"\d", "0", value["date_done"]))


def add_message(corpus, name, raw):
    """An event, a request or a reply."""
    envelope = json.loads(raw)
    inner = document(body_of(envelope))
    corpus.add("envelope", name, raw, shape(envelope))
    if name.startswith(("control", "spool-control")):
        corpus.add("control", name, raw, (shape(envelope), shape(inner), inner.get("method")))
    add_json(corpus, name, body_of(envelope))


def add_amqp(corpus, name, raw, meta):
    """The same message as an envelope, as it would be on Redis."""
    properties = dict(meta["properties"])
    headers = properties.pop("application_headers", {})
    envelope = {"body": base64.b64encode(raw.encode("latin-1")).decode(),
                "content-encoding": properties.pop("content_encoding", None),
                "content-type": properties.pop("content_type", None), "headers": headers,
                "properties": {**properties, "body_encoding": "base64", "delivery_tag": "1",
                               "delivery_info": {"exchange": "", "routing_key": "q"}}}
    add_task(corpus, name, json.dumps(envelope))


def add_spool(corpus, name, raw, meta):
    file = meta.get("file") or ""
    if meta.get("folder") == "control":
        add_json(corpus, name, raw.encode())
    elif meta.get("folder") == "results":
        add_result(corpus, name, raw)
    elif ".celery.pidbox." in file and ".reply." not in file:
        add_message(corpus, f"spool-control-{name}", raw)
    elif ".celeryev." in file or ".reply." in file:
        add_message(corpus, name, raw)
    else:
        add_task(corpus, name, raw)


def add_recording(corpus, line):
    v = json.loads(line)
    raw, name = v["raw"], f"{v['kind']}-{v['name']}-{v['celery']}"
    try:
        raw = raw.encode("latin-1").decode()
    except UnicodeDecodeError:
        return  # no kind but a compressed amqp-task's body is no text
    if v["kind"] in ("task",):
        add_task(corpus, name, raw)
    elif v["kind"] == "amqp-task":
        add_amqp(corpus, name, v["raw"], v["meta"])
    elif v["kind"] in ("event", "control", "reply"):
        add_message(corpus, name, raw)
    elif v["kind"] in ("result", "result-publish"):
        add_result(corpus, name, raw)
    elif v["kind"] == "inspect":
        add_json(corpus, name, raw.encode())
    elif v["kind"] == "spool":
        add_spool(corpus, name, raw, v["meta"])


def add_compressed(corpus):
    """All five compressions as kombu makes them: of a small body, of nothing, of
    what does not compress, of what inflates to more than a cap."""
    texts = {"body": b'[[2, 3], {}, {"callbacks": null}]', "empty": b"",
             "bytes": bytes(range(256)), "bomb": b"\0" * 300000, "text": b"[1, " * 99 + b"0"}
    meta = json.dumps({"status": "SUCCESS", "result": "x" * 50, "task_id": "t"}).encode()
    for n, name in enumerate(COMPRESSIONS):
        for what, text in texts.items():
            packed, mime = compression.compress(text, name)
            corpus.add("content", f"{name}-{what}", bytes([n]) + packed)
            corpus.add("compress", f"{name}-{what}", name.encode() + b"\n" + text[:600])
            if what == "body":
                corpus.add("compress", f"mime-{name}", mime.encode() + b"\n" + text)
                corpus.add("content", f"{name}-twice", bytes([n]) + packed + packed)
                corpus.add("content", f"{name}-tail", bytes([n]) + packed + b"tail")
                corpus.add("content", f"{name}-cut", bytes([n]) + packed[:-3])
                corpus.add("content", f"plain-{name}", bytes([n + 130]) + text)
        packed, _ = compression.compress(meta, name)
        corpus.add("result", f"compressed-{name}", MAGIC + name.encode() + b"\0" + packed)
    for alias in ("gzip", "bzip", "xz", "zstandard", "snappy", ""):
        corpus.add("compress", f"alias-{alias or 'none'}", alias.encode() + b"\ntext")
    corpus.add("result", "compressed-no-name", MAGIC + b"zlib")


def add_packed(corpus):
    """Each of msgpack's forms, as Python packs it and as it does not."""
    values = [None, True, False, 0, 127, 128, 256, 65536, 2**32, 2**64 - 1, -1, -32, -33, -129,
              -32769, -2**31 - 1, -2**63, 0.5, float("nan"), float("inf"), "", "a" * 31, "a" * 32,
              "a" * 256, "\u20b9\U0001f600", b"", b"\0\xff", b"b" * 256, [], [1] * 16, {}, {"a": {"b": [1]}},
              {str(i): i for i in range(16)}, {1: 2}, {None: 1}, msgpack.ExtType(5, b"abcd"),
              msgpack.Timestamp(1, 2)]
    for value in values:
        corpus.add("msgpack", f"packed-{type(value).__name__}", msgpack.packb(value))
    corpus.add("msgpack", "packed-float32", b"\xca" + struct.pack(">f", 1.5))
    for n, head in enumerate((b"\xda\0\1a", b"\xdb\0\0\0\1a", b"\xc5\0\1a", b"\xc6\0\0\0\1a",
                              b"\xdc\0\1\1", b"\xdd\0\0\0\1\1", b"\xde\0\1\xa1a\1",
                              b"\xdf\0\0\0\1\xa1a\1", b"\xc7\1\5a", b"\xc8\0\1\5a",
                              b"\xc9\0\0\0\1\5a", b"\xd4\5a", b"\xc1", b"\xd9\1\xff", b"\1\1")):
        corpus.add("msgpack", f"long-form-{n}", head)


# name, value: what kombu does not write itself as well.
OTHERS = [
    ("datetime", "2026-11-24"), ("datetime", "2026-11-24T05:17:54-08:00"),
    ("datetime", "2026-11-24T05:17:54+05:30:15"), ("datetime", "2026-11-24T05:17"),
    ("datetime", "2026-13-24T05:17:54"), ("datetime", "2026-11-24T25:17:54"),
    ("datetime", "2026-11-24T05:17:54+5"), ("datetime", "2026-11-24T05:17:54.5x"),
    ("datetime", "2026-11-24X05:17:54"), ("date", "2026-1-24"), ("date", "2026-02-30"),
    ("time", "05:17"), ("time", "05:17:54+00:00"), ("time", "x"), ("time", "24:00"),
    ("decimal", "NaN"), ("decimal", "1E+5"), ("decimal", "x"), ("decimal", "-0.00"), ("decimal", "-Infinity"), ("decimal", "sNaN12"), ("decimal", "1e-10"),
    ("decimal", "123.456e3"), ("decimal", " 1_0 "), ("decimal", ".5"), ("decimal", "5."),
    ("decimal", "0E+3"), ("decimal", "1E-99999999999999999999"), ("decimal", "1E+7"),
    ("decimal", "12345678901234567890123456789012345"), ("decimal", ""), ("decimal", 5), ("decimal", "inf"),
    ("uuid", {"hex": "2931820F-5EA0-4D0E-9F55-5C82F86902AA"}), ("uuid", {"hex": "x"}),
    ("uuid", {"hex": "2931820g5ea04d0e9f555c82f86902aa"}), ("uuid", {"hex": 5}), ("uuid", {}),
    ("base64", "***"), ("base64", ""), ("bytes", "\x00\u20b9'"), ("bytes", "x" * 300),
    ("base64", base64.b64encode(bytes(range(256))).decode()), ("other", 1),
]
TYPED = {
    "datetime": "2026-11-24T05:17:54.745490+00:00", "date": "2026-11-24", "time": "05:17:54.5",
    "decimal": "1.50", "uuid": {"hex": "2931820f5ea04d0e9f555c82f86902aa", "version": 4},
    "bytes": "text'\"\\", "base64": "/wB0",
}


def add_typed(corpus):
    """kombu's typed values, and texts and numbers in all their forms."""
    for name, value in TYPED.items():
        text = json.dumps([{"__type__": name, "__value__": value}])
        for first, what in ((255, ""), (8, "cut-"), (254, "tuple-")):
            corpus.add("python_repr", f"{what}typed-{name}", bytes([first]) + text.encode())
        corpus.add("json", f"typed-{name}", text)
        corpus.add("msgpack", f"text-typed-{name}", text)
        wrong = json.dumps({"__type__": name, "__value__": 5})
        corpus.add("python_repr", f"wrong-{name}", b"\xff" + wrong.encode())
        corpus.add("msgpack", f"text-wrong-{name}", wrong)
    for n, text in enumerate(('{"a": 1, "a": 2}', '{"a": 1, "b": {"a": 3, "a": 4}, "\\u0061": 5}',
                              "{%s}" % ", ".join(f'"k{i % 40}": {i}' for i in range(60)))):
        corpus.add("python_repr", f"equal-keys-{n}", b"\xff" + text.encode())
        corpus.add("json", f"equal-keys-{n}", text)
    for n, (name, value) in enumerate(OTHERS):
        text = json.dumps([{"__type__": name, "__value__": value}])
        corpus.add("python_repr", f"other-{name}-{n}", b"\xff" + text.encode())
        corpus.add("python_repr", f"cut-other-{name}-{n}", b"\x0c" + text.encode())
        corpus.add("msgpack", f"text-other-{name}-{n}", text)
        corpus.add("result", f"exception-{name}-{n}", json.dumps(
            {"status": "FAILURE", "task_id": "t", "result":
             {"exc_type": "E", "exc_message": json.loads(text), "exc_module": "m"}}))
    texts = ["it's", 'a "b"', "'\"", "\\\n\t\r\0\x7f", "\x85\xa0\xad\u200b\u3000\ue000\u0378",
             "\u20b9\U0001f600\U000e0001\U0002fffe\U0010ffff", "\ud800", "x" * 300]
    for n, text in enumerate(texts):
        corpus.add("python_repr", f"text-{n}", b"\xff" + json.dumps(text).encode())
        corpus.add("python_repr", f"raw-text-{n}", text)
        corpus.add("json", f"text-{n}", json.dumps(text))
        corpus.add("json", f"raw-text-{n}", json.dumps(text, ensure_ascii=False))
        corpus.add("msgpack", f"text-text-{n}", json.dumps([text, {text: 1}]))
    for n, text in enumerate(("0", "-0", "1e400", "-1e-400", "5e-324", "0.1", "1E+2", "NaN",
                              "Infinity", "-Infinity", "1" * 1000, "9007199254740993",
                              "0." + "0" * 400 + "1", "1" * 800 + "e-800", "1.7976931348623157e308",
                              "1e99999999999", "1e-99999999999", "999e-1", "99999999999999999.5",
                              "1" + "0" * 309, "9223372036854775807", "-9223372036854775809", "123456789012345680000.0")):
        corpus.add("json", f"number-{n}", text)
        corpus.add("msgpack", f"text-number-{n}", text)
        corpus.add("python_repr", f"number-{n}", b"\xff[" + text.encode() + b"]")


def task(name="v.add", **headers):
    base = {"lang": "py", "task": name, "id": "i1", "retries": 0, "timelimit": [None, None],
            "eta": None, "expires": None, "group": None, "group_index": None}
    return {**base, **headers}


def envelope(body, headers, more=None):
    """more: members to be otherwise."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.dumps({"body": base64.b64encode(text).decode(), "content-encoding": "utf-8",
                       "content-type": "application/json", "headers": headers,
                       "properties": {"body_encoding": "base64", "delivery_tag": "t",
                                      "delivery_info": {"exchange": "", "routing_key": "q"},
                                      "priority": 3}, **(more or {})})


PLAIN = [[1], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


def add_headers(corpus):
    """Each header and member with a value of every type, in both protocols and
    in the form between them."""
    values = {"null": None, "number": 7, "text": "2026-11-24T05:17:54Z", "empty": "",
              "nul": "a\0b", "list": [10, 2.5]}
    keys = ["task", "id", "shadow", "eta", "expires", "group", "group_index", "retries",
            "timelimit", "root_id", "parent_id", "argsrepr", "origin", "ignore_result",
            "replaced_task_nesting", "stamped_headers", "stamps", "compression", "custom", "redelivered"]
    for key in keys:
        for what, value in values.items():
            if what in ("empty", "nul") and key not in ("task", "id", "group", "eta"):
                continue  # as any other text
            raw = envelope(PLAIN, task(**{key: value}))
            corpus.add("message", f"{key}-{what}", raw)
            if what == "text":
                corpus.add("event", f"received-{key}-{what}", f"received\n{EVENT_BASE}{raw}")
            if what in ("text", "number", "list"):
                corpus.add("seal", f"{key}-{what}", json.dumps(task(**{key: value})))
                body = {**task(**{key: value}), "args": [1], "kwargs": {"k": 2}, "utc": True}
                if what == "number":
                    corpus.add("message", f"protocol-1-{key}", envelope(body, {}))
                if what == "text":
                    corpus.add("message", f"between-{key}", envelope(body, task()))
    for key in ("callbacks", "errbacks", "chain", "chord"):
        for what, value in values.items():
            if what in ("empty", "nul"):
                continue
            corpus.add("message", f"{key}-{what}",
                       envelope([[1], {}, {**PLAIN[2], key: value}], task()))
            corpus.add("message", f"protocol-1-{key}-{what}",
                       envelope({**task(), "args": [], "kwargs": {}, key: value}, {}))
    corpus.add("message", "eta-1970", envelope(PLAIN, task(eta="1970-01-01T00:00:00+00:00")))
    corpus.add("message", "timelimit-text", envelope(PLAIN, task(timelimit=["10", 5])))
    stamps = {"stamped_headers": ["a", "b", 5], "stamps": {"a": 1, "b": [2], "c": 3}}
    corpus.add("message", "stamps-named", envelope(PLAIN, task(**stamps)))
    corpus.add("message", "stamps-many",
               envelope(PLAIN, task(stamps={str(i): i for i in range(120)})))
    corpus.add("message", "headers-many",
               envelope(PLAIN, task(**{f"h{i}": i for i in range(120)})))
    for what, body in {"none": None, "short": [[1], {}], "args": [{}, {}, {}], "kwargs": [[], [], {}],
                       "embed": [[], {}, 5], "text": "x", "no-args": {"task": "t", "id": "i"},
                       "embed-null": [[], {}, None], "broken": b"[1"}.items():
        corpus.add("message", f"body-{what}", envelope(body, task()))
        corpus.add("message", f"protocol-1-body-{what}", envelope(body, {}))
    for what, more in {"body-number": {"body": 5}, "headers-list": {"headers": []},
                       "properties-list": {"properties": []}, "no-headers": {"headers": None},
                       "no-base64": {"body": "***"}, "redelivered": {"headers": {"redelivered": True}},
                       "unknown-encoding": {"properties": {"body_encoding": "rot13"}},
                       "utf-8": {"properties": {"body_encoding": "utf-8"}},
                       "priority": {"properties": {"priority": -3}},
                       "priority-large": {"properties": {"priority": 300}},
                       "pickle": {"content-type": "application/x-python-serialize"},
                       "msgpack": {"content-type": "application/x-msgpack",
                                   "body": base64.b64encode(msgpack.packb(PLAIN)).decode()}}.items():
        raw = envelope(PLAIN, task(), more)
        corpus.add("envelope", what, raw)
        corpus.add("message", what, raw)
    corpus.add("envelope", "list", "[]")
    corpus.add("envelope", "cut", raw[:-9])
    many = {f"h{i}": i for i in range(120)}
    corpus.add("envelope", "headers-many", envelope(PLAIN, many))


def add_results(corpus):
    """Exceptions and members in the forms that they can have."""
    for state in ("FAILURE", "RETRY", "REVOKED", "SUCCESS"):
        for what, message in {"args": ["a", 1], "one": "text", "none": None, "object": {"a": 1}}.items():
            for kind in ("ValueError", "outer.Inner", ""):
                corpus.add("result", f"{state}-{what}-{kind or 'no-type'}", json.dumps({
                    "status": state, "task_id": "t", "traceback": "Traceback\n  x",
                    "children": [[["c", None], None]], "date_done": "2026-11-24T05:17:54+00:00",
                    "result": {"exc_type": kind, "exc_message": message, "exc_module": "builtins"}}))
    full = {"status": "SUCCESS", "result": [1], "traceback": None, "children": [], "task_id": "t",
            "date_done": None, "group_id": "g", "parent_id": "p", "name": "v.add", "args": [1],
            "kwargs": {"k": 1}, "worker": "c@host", "retries": 2, "queue": "q"}
    corpus.add("result", "extended", json.dumps(full))
    corpus.add("result", "extended-bare", json.dumps(
        {k: v for k, v in full.items() if k in ("status", "name", "task_id")}))
    for what, more in {"stamps": {"stamped_headers": ["custom", "b", 5, "status"], "custom": [1],
                                  "b": None},
                       "stamps-escaped": {"stamped_headers": ["\n\u20b9"], "\n\u20b9": 1},
                       "stamps-null": {"stamped_headers": None, "custom": 1},
                       "stamps-none": {"stamped_headers": [], "custom": 1}}.items():
        corpus.add("result", what, json.dumps({**full, **more}))
    for what, raw in {"list": "[]", "no-status": "{}", "status-number": '{"status": 5}',
                      "not-json": "nonsense", "texts-of-other-types":
                      '{"status": "FAILURE", "task_id": 5, "result": 5}'}.items():
        corpus.add("result", what, raw)


def add_signatures(corpus):
    """Each kind with each part missing or of another type."""
    plain = {"task": "v.add", "args": [1], "kwargs": {}, "options": {}, "subtask_type": None,
             "immutable": False}
    kinds = {
        "chain": {"tasks": [plain, plain]}, "group": {"tasks": [plain]},
        "chord": {"header": [plain], "body": plain}, "xmap": {"task": plain, "it": [1, 2]},
        "xstarmap": {"task": "v.add", "it": [[1, 2]]},
        "chunks": {"task": plain, "it": [[1, 2]], "n": 2},
    }
    for kind, kwargs in kinds.items():
        whole = {**plain, "task": f"celery.{kind}", "subtask_type": kind, "kwargs": kwargs}
        corpus.add("signature", f"whole-{kind}", json.dumps(whole))
        for part in kwargs:
            without = {k: v for k, v in kwargs.items() if k != part}
            corpus.add("signature", f"{kind}-no-{part}", json.dumps({**whole, "kwargs": without}))
            corpus.add("signature", f"{kind}-wrong-{part}",
                       json.dumps({**whole, "kwargs": {**kwargs, part: 5}}))
        options = {"link": [plain], "link_error": [plain], "chain": [plain], "chord": whole}
        corpus.add("signature", f"linked-{kind}", json.dumps({**whole, "options": options}))
    for key in plain:
        corpus.add("signature", f"no-{key}",
                   json.dumps({k: v for k, v in plain.items() if k != key}))
        corpus.add("signature", f"wrong-{key}", json.dumps({**plain, key: 5}))
    corpus.add("signature", "unknown-kind", json.dumps({**plain, "subtask_type": "other"}))
    corpus.add("signature", "list", "[]")
    corpus.add("signature", "own-member", json.dumps({**plain, "chord_size": 3, "own": {"a": 1}}))
    corpus.add("signature", "wrong-chord-size", json.dumps({**plain, "chord_size": "3"}))
    deep = plain
    for _ in range(40):
        deep = {"task": "c", "kwargs": {"tasks": [deep]}, "subtask_type": "chain"}
    corpus.add("signature", "deep", json.dumps(deep))


def add_events(corpus):
    for what, lines in {
        "worker": "worker-online\n16\n1\n2\n0.5\nnan\nc-celery\n1.0\nLinux\n0",
        "worker-brief": "worker-heartbeat\n16\n1\n2\n0.5\ninf\nc-celery\n1.0\nLinux\n1",
        "started": "i1", "succeeded": "i1\n0.25\n{\"a\": [1, 2]}", "succeeded-none": "i1\nnan\n",
        "failed": "i1\nValueError('x')\nTraceback", "failed-bare": "i1\nValueError('x')\n",
        "revoked": "i1\n15\n1\n0", "revoked-expired": "i1\n0\n0\n1", "rejected": "i1\n1",
    }.items():
        corpus.add("event", what, f"{what.split('-')[0]}\n{EVENT_BASE}{lines}")


def add_publish(corpus):
    """One task, with one member at a time of another kind."""
    lines = ["2", "0", "", "v.add", "i1", "[1]", "{}", "", "", "", "", "", "", "", "", "", "", "",
             "", "", "0", "0", "0", "-1", "0", "0", "0", "0", "0", "3", "", "q"]
    changes = {
        "plain": {}, "protocol-0": {0: "0"}, "protocol-3": {0: "3"}, "msgpack": {1: "1"},
        "msgpack-large": {1: "1", 5: "[18446744073709551616]"}, "no-name": {3: ""}, "no-id": {4: ""},
        "no-args": {5: "", 6: ""}, "args-null": {5: "null"}, "args-cut": {5: "[1"},
        "kwargs-list": {6: "[]"}, "links": {7: "[]", 8: "[]", 9: "[]", 10: "{}"},
        "chain-protocol-1": {0: "1", 9: "[{}]"}, "stamps": {11: '["a"]', 12: '{"a": 1}'},
        "custom-headers": {13: '{"custom": [1], "x-death": [], "id": "other"}'},
        "ids": {14: "r", 15: "p", 16: "g", 17: "s", 18: "o", 19: "reply"},
        "times": {20: "1795497472000000", 21: "1795497482000000", 22: "1795497470000000"},
        "expired": {21: "1", 22: "1795497470000000"}, "counts": {23: "4", 24: "2", 25: "1"},
        "limits": {26: "10", 27: "2.5"}, "limits-large": {26: "1e300", 27: "1e-7"},
        "ignored": {28: "2"}, "kept": {28: "1"}, "exchange": {30: "ex"},
        "unknown-compression": {2: "snappy"}, "escapes": {3: "v.\u20b9\"\\\x01", 17: "\x7f"},
    }
    for name in COMPRESSIONS:
        changes[f"{name}"] = {2: name}
        changes[f"{name}-protocol-1-msgpack"] = {0: "1", 1: "1", 2: name}
    changes["compressed-msgpack-large"] = {1: "1", 2: "zlib", 5: "[18446744073709551616]"}
    for what, change in changes.items():
        corpus.add("publish", f"with-{what}",
                   "\n".join(change.get(i, line) for i, line in enumerate(lines)))


def request(**more):
    body = {"method": "ping", "arguments": {}, "destination": None, "pattern": None,
            "matcher": None, "ticket": "ti",
            "reply_to": {"exchange": "reply.celery.pidbox", "routing_key": "oid"}, **more}
    return envelope(body, {"clock": 1, "expires": 1795497472.5})


GLOBS = ["c@*", "*", "c@node-?.example", "c@node-[0-9].*", "c@[!a-m]*", "c@[]n]*", "[c@node",
         "**e", "c*7*x", "", "c@node-7.example*"]
REGEXES = ["c@.*", "c@node-\\d\\.ex", "^c@[a-n]+", "c@(?:node|host)-[0-9]+", "(c|d)@.+?e", "c@[^0-9]*",
           "c@node-7.example$", "\\w+@\\w+", "c{1,3}@", "c{2}", "(a", "[a", "*", "c@(node)\\1", "c\\s|c@",
           ".?.?.?", "c@\\S+\\b", "[\\d\\w-]+", "[a-]", "\\Ac@", "(?i)C@", "c@node-7.example\\Z", "c++"]
NODE = "c@node-7.example"


def add_requests(corpus):
    """Requests for some nodes, broken ones, and the patterns as halves of an input."""
    for n, (matcher, pattern) in enumerate([("glob", p) for p in GLOBS]
                                           + [("pcre", p) for p in REGEXES] + [("other", "x")]):
        corpus.add("control", f"{matcher}-{n}", request(pattern=pattern, matcher=matcher))
        size = max(len(pattern), len(NODE))
        corpus.add("control", f"halves-{matcher}-{n}",
                   pattern.ljust(size, pattern[-1:] or "*") + NODE.ljust(size, "e"))
    for what, more in {
        "destination": {"destination": ["d@x", NODE]}, "destination-other": {"destination": ["d@x"]},
        "destination-text": {"destination": "c@node-7.example,d@x"}, "destination-number": {"destination": 5},
        "arguments-list": {"arguments": []}, "no-method": {"method": None}, "method-number": {"method": 5},
        "pattern-number": {"pattern": 5}, "no-reply": {"ticket": None, "reply_to": None},
        "destination-word": {"destination": "other"},
    }.items():
        corpus.add("control", f"with-{what}", request(**more))
    for what, (body, headers) in {
        "list": ([], {}), "not-json": (b"x", {}), "clock-text": ({"method": "p"}, {"clock": "x"}),
        "expires-text": ({"method": "p"}, {"expires": "x"}), "expires-nan": (b'{"method": "p"}', {"expires": -1}),
        "many": ({"method": "p"}, {f"h{i}": 1 for i in range(120)}),
    }.items():
        corpus.add("control", f"request-{what}", envelope(body, headers))
    for what, lines in {
        "all": ["ping", '{"a": 1}', '["c@host"]', "ti", "oid", "7", "1795497472.5", "tag", "c@host", '{"ok": "pong"}', "9"],
        "bare": ["ping", "", "", "", "", "0", "0", "", "c@host", "1", "1"],
        "other-node": ["ping", "[]", '["d@host", "\\u0063@h"]', "ti", "", "-1", "-1", "", "c@host", '"\\u20b9"', "1"],
        "no-method": ["", "{}"],
    }.items():
        corpus.add("request", what, "\n".join(lines))


def add_limits(corpus):
    """A task that passes one limit after the other, and rooms of all sizes."""
    fit = [60000, 60000, 900, 60, 90, 90]
    raw = envelope([[1, [2, [3]]], {"a": "\n" * 30}, PLAIN[2]],
                   task("\u20b9", stamped_headers=["a", "b"], stamps={"a": 1, "b": 2}, more=1))
    lines = {"all": fit}
    for n, name in enumerate(("message", "inflated", "elements", "depth", "headers", "stamps")):
        lines[name] = fit[:n] + [1] + fit[n + 1:]
    lines["body-elements"] = fit[:2] + [20] + fit[3:]
    for name, limits in lines.items():
        corpus.add("limits", name, f"{' '.join(map(str, limits))}\n0 0\n{raw}")
        corpus.add("limits", f"list-{name}", f"{' '.join(map(str, limits))}\n0 0\n[[[1, 2, {{}}]]]")
    for room in (1, 10, 60, 200, 300, 500, 700, 900, 1200, 2000, 2500, 3000, 5000):
        corpus.add("limits", f"room-{room}",
                   f"{' '.join(map(str, fit))}\n{room} {room}\n{raw}")
        corpus.add("limits", f"list-room-{room}", f"{' '.join(map(str, fit))}\n{room % 97} {room}\n"
                   + json.dumps([["a" * 20, {"b": [1, 2.5]}], 7]))


def add_rest(corpus):
    for what, text in {
        "zulu": "2026-11-24T05:17:54Z", "space": "2026-11-24 05:17:54", "date": "2026-11-24",
        "micro": "2026-11-24T05:17:54.745490", "east": "2026-11-24T05:17:54+05:30",
        "west": "2026-11-24T05:17:54-0800", "first": "0001-01-01T00:00:00+14:00",
        "last": "9999-12-31T23:59:59.999999-14:00", "leap": "2024-02-29T00:00:00",
        "no-leap": "2023-02-29T00:00:00", "comma": "2026-11-24T05:17:54,5", "short": "2026-11-24T05:17",
        "basic": "20261124T051754", "basic-zone": "20261124T051754+0530", "month": "2026-11",
        "year": "2026", "week": "2026-W48-2", "week-basic": "2026W482", "week-only": "2026-W48",
        "week-53": "2020-W53-7", "no-week-53": "2026-W53-1", "day-of-year": "2026-328",
        "day-basic": "2026328", "day-366": "2024-366", "no-day-366": "2026-366", "hour": "2026-11-24T05",
        "hour-minute": "20261124T0517", "zone-hour": "2026-11-24T05:17:54+05", "year-0": "0000-01-01",
        "zone-seconds": "2026-11-24T05:17:54+05:30:15", "day-24": "2026-11-24T24:00:01", "hour-24": "2026-11-24T24:00:00", "month-13": "2026-13-01",
    }.items():
        corpus.add("timestamp", what, text)
    corpus.add("task_id", "bytes", bytes(range(0, 256, 16)))
    for what, text in {"uuid": "2931820f-5ea0-4d0e-9f55-5c82f86902aa", "upper": "2931820F-5EA0-4D0E-9F55-5C82F86902AA",
                       "no-dash": "2931820f05ea0-4d0e-9f55-5c82f86902aa", "no-digit": "2931820g-5ea0-4d0e-9f55-5c82f86902aa",
                       "short": "2931820f-5ea0-4d0e"}.items():
        corpus.add("task_id", what, text)
    for what, text in {"one": "k:0123456789abcdef", "two": "k:0123456789abcdef,l:0123456789abcdef0",
                       "short-key": "k:short", "no-id": ":0123456789abcdef", "no-colon": "k0123456789abcdef",
                       "twice": "k:0123456789abcdef,k:0123456789abcdef",
                       "nine": ",".join(f"k{i}:0123456789abcdef" for i in range(9)),
                       "signed": '{"task": "t", "x-celery-c-signature": "v1:k:' + "0" * 64 + '"}',
                       "bad-form": '{"task": "t", "x-celery-c-signature": "v2"}',
                       "bad-type": '{"task": "t", "x-celery-c-signature": 5}',
                       "no-colon-before-hex": '{"x-celery-c-signature": "v1:kk' + "0" * 65 + '"}'}.items():
        corpus.add("seal", f"key-{what}", text)


def main():
    corpus = Corpus(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "corpus")
    for path in reversed(VECTORS):
        for line in path.read_text().splitlines():
            add_recording(corpus, line)
    for add in (add_compressed, add_packed, add_typed, add_headers, add_results, add_signatures,
                add_events, add_publish, add_requests,
                add_limits, add_rest):
        add(corpus)
    corpus.write()
    print(f"{len(corpus.files)} seeds, {sum(map(len, corpus.files.values()))} bytes")


if __name__ == "__main__":
    main()

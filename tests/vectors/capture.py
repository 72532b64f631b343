#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Record what a real Python Celery puts on the wire, as test vectors.

    capture.py --out celery-5.8.0.jsonl [--redis redis://127.0.0.1:6379/9]
               [--amqp amqp://guest:guest@127.0.0.1:5672//]

Needs: celery[redis] of the version to record. Without --redis it starts a Redis
of its own; a given one has its database flushed. --amqp needs a RabbitMQ.
`scripts/test.sh vectors` records the newest Celery and checks our codec
against it.  Each output line is one JSON object:

    {"name": ..., "kind": "task"|"event"|"control"|"reply"|"result"|"redis-keys"|"amqp-task"|"spool",
     "celery": "5.6.2", "raw": "<the bytes as latin-1 text>", "meta": {...}}

`raw` is what a peer reads from the broker or the result store, byte for byte.
"""
import argparse
import base64
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

import celery
import redis
from celery import Celery, chain, chord, group

WORKER = textwrap.dedent('''
    import os, time
    from celery import Celery
    app = Celery('vec', broker=os.environ['VEC_REDIS'], backend=os.environ['VEC_REDIS'])
    app.conf.update(task_default_queue='vecq', task_track_started=True, result_extended=bool(os.environ.get('VEC_EXT')),
                    worker_send_task_events=True, task_send_sent_event=True, task_ignore_result=False)

    @app.task(name='vec.add')
    def add(x, y): return x + y

    @app.task(name='vec.echo')
    def echo(*args, **kwargs): return {'args': list(args), 'kwargs': kwargs}

    @app.task(name='vec.fail')
    def fail(message='boom'): raise ValueError(message)

    class Custom(Exception):
        pass

    @app.task(name='vec.fail_custom')
    def fail_custom(): raise Custom('a', 2)

    @app.task(name='vec.retry', bind=True, max_retries=2, default_retry_delay=0.2)
    def retry(self): raise self.retry(exc=KeyError('again'))

    @app.task(name='vec.sleep')
    def sleep(seconds): time.sleep(seconds)

    @app.task(name='vec.reject', bind=True, acks_late=True)
    def reject(self):
        from celery.exceptions import Reject
        raise Reject('no', requeue=False)

    @app.task(name='vec.ignore')
    def ignore():
        from celery.exceptions import Ignore
        raise Ignore()

    @app.task(name='vec.xsum')
    def xsum(numbers): return sum(numbers)

    @app.task(name='vec.handler')
    def handler(*args): return 'handled'
''')


FOLDERS = []                # of the recording machine, and what stands for them in a vector


def neutral(raw):
    """Tracebacks name files: say /srv/app and /srv/venv for the folders of this run."""
    def swap(data):
        for here, there in FOLDERS:
            data = data.replace(here.encode(), there.encode())
        return data
    try:
        envelope = json.loads(raw)
        if envelope['properties']['body_encoding'] == 'base64':
            body = base64.b64decode(envelope['body'])
            if swap(body) != body:
                envelope['body'] = base64.b64encode(swap(body)).decode()
                return swap(json.dumps(envelope).encode())
    except (ValueError, KeyError, TypeError):
        pass
    return swap(raw)


class Recorder:
    def __init__(self, path):
        self.file = open(path, 'w', encoding='utf-8')
        self.count = 0
        self.lock = threading.Lock()

    def add(self, name, kind, raw, **meta):
        if isinstance(raw, str):
            raw = raw.encode('utf-8')
        raw = neutral(raw)
        with self.lock:
            self.file.write(json.dumps({'name': name, 'kind': kind, 'celery': celery.__version__,
                                        'raw': raw.decode('latin-1'), 'meta': meta}) + '\n')
            self.count += 1


def unused_queue_tasks(app, db, record):
    """Task messages nobody consumes: read them back from the list."""
    q = 'vecunused'
    when = datetime.datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.timezone.utc)
    t = {n: app.signature(n) for n in ('vec.add', 'vec.echo', 'vec.fail', 'vec.xsum', 'vec.handler')}
    cases = {
        'plain': lambda: app.send_task('vec.add', (2, 3), queue=q),
        'no-arguments': lambda: app.send_task('vec.echo', queue=q),
        'keyword-arguments': lambda: app.send_task('vec.echo', kwargs={'tx_id': 'f00', 'n': 1}, queue=q),
        'unicode': lambda: app.send_task('vec.echo', ('\u20b9 \u0394\u00e9\U0001f3cf', 'tab\tquote"back\\slash\x01'), queue=q),
        'nested': lambda: app.send_task('vec.echo', ([1, [2.5, None, True], {'a': {'b': []}}],), queue=q),
        'big-integers': lambda: app.send_task('vec.echo', (2 ** 53 + 1, -2 ** 63, 2 ** 80), queue=q),
        'floats': lambda: app.send_task('vec.echo', (0.1, 1e300, -0.0, 1e-9), queue=q),
        'typed-values': lambda: app.send_task('vec.echo', (when, when.date(), __import__('decimal').Decimal('1.10'),
                                                           __import__('uuid').UUID(int=7)), queue=q),
        'typed-bytes': lambda: app.send_task('vec.echo', (b'\x00\xff',), queue=q),
        'eta': lambda: app.send_task('vec.add', (1, 1), eta=when, queue=q),
        'countdown': lambda: app.send_task('vec.add', (1, 1), countdown=60, queue=q),
        'expires-seconds': lambda: app.send_task('vec.add', (1, 1), expires=30, queue=q),
        'expires-date': lambda: app.send_task('vec.add', (1, 1), expires=when, queue=q),
        'priority-9': lambda: app.send_task('vec.add', (1, 1), priority=9, queue=q),
        'priority-4': lambda: app.send_task('vec.add', (1, 1), priority=4, queue=q),
        'shadow': lambda: app.send_task('vec.add', (1, 1), shadow='pretty name', queue=q),
        'time-limits': lambda: app.send_task('vec.add', (1, 1), time_limit=10, soft_time_limit=5, queue=q),
        'ignore-result': lambda: app.send_task('vec.add', (1, 1), ignore_result=True, queue=q),
        'reply-to': lambda: app.send_task('vec.add', (1, 1), reply_to='some-reply-queue', queue=q),
        'custom-headers': lambda: app.send_task('vec.add', (1, 1), headers={'x-trace': 'abc', 'n': 1}, queue=q),
        'link': lambda: app.send_task('vec.add', (1, 1), link=t['vec.handler'], queue=q),
        'link-error': lambda: app.send_task('vec.fail', (), link_error=t['vec.handler'], queue=q),
        'chain': lambda: chain(app.signature('vec.add', (1, 1)), app.signature('vec.add', (4,)),
                               app.signature('vec.add', (8,))).apply_async(queue=q),
        'group': lambda: group([app.signature('vec.add', (i, i)) for i in range(3)]).apply_async(queue=q),
        'chord': lambda: chord([app.signature('vec.add', (i, i)) for i in range(3)],
                               app.signature('vec.xsum')).apply_async(queue=q),
        'chain-then-group': lambda: chain(app.signature('vec.add', (1, 1)),
                                          group([app.signature('vec.add', (i,)) for i in range(2)])).apply_async(queue=q),
        'chain-with-chord': lambda: chain(group([app.signature('vec.add', (i, i)) for i in range(2)]),
                                          app.signature('vec.xsum')).apply_async(queue=q),
        'immutable-chain': lambda: chain(app.signature('vec.add', (1, 1)),
                                         app.signature('vec.add', (5, 5), immutable=True)).apply_async(queue=q),
        'protocol-1': lambda: _with(app, {'task_protocol': 1}, lambda: app.send_task(
            'vec.add', (2, 3), kwargs={}, eta=when, expires=when, queue=q)),
    }
    for scheme in ('gzip', 'bzip2', 'zlib', 'lzma', 'brotli', 'zstd'):
        cases['compression-' + scheme] = (lambda s=scheme: app.send_task('vec.echo', ('x' * 200,), compression=s, queue=q))
    for s in ('json', 'yaml', 'msgpack', 'pickle'):
        cases['serializer-' + s] = (lambda s=s: app.send_task('vec.echo', ('v', 1), serializer=s, queue=q))
    if hasattr(app.signature('x'), 'stamp'):
        def stamped():
            sig = app.signature('vec.add', (1, 1))
            sig.stamp(order='42')
            sig.apply_async(queue=q)
        cases['stamped'] = stamped
    for name, send in cases.items():
        before = set(db.keys('*'))
        try:
            send()
        except Exception as exc:                     # codec not installed in this version
            record.add(name, 'skipped', type(exc).__name__ + ': ' + str(exc))
            continue
        for key in sorted(set(db.keys('*'))):
            if db.type(key) == b'list':
                for n, raw in enumerate(reversed(db.lrange(key, 0, -1))):
                    record.add(name, 'task', raw, key=key.decode(), index=n)
                db.delete(key)
        for key in sorted(set(db.keys('*')) - before):
            kind = db.type(key)
            dump = {b'set': lambda k: sorted(m.decode('latin-1') for m in db.smembers(k)),
                    b'zset': lambda k: [(m.decode('latin-1'), s) for m, s in db.zrange(k, 0, -1, withscores=True)],
                    b'hash': lambda k: {a.decode(): b.decode('latin-1') for a, b in db.hgetall(k).items()},
                    b'string': lambda k: db.get(k).decode('latin-1')}.get(kind)
            if dump:
                record.add(name, 'redis-keys', json.dumps(dump(key)), key=key.decode(), type=kind.decode())


def _with(app, conf, fn):
    old = {k: app.conf.get(k) for k in conf}
    app.conf.update(conf)
    app.amqp.__dict__.pop('create_task_message', None)
    for cached in ('_create_task_sender', 'send_task_message'):
        app.amqp.__dict__.pop(cached, None)
    try:
        return fn()
    finally:
        app.conf.update(old)
        for cached in ('create_task_message', '_create_task_sender', 'send_task_message'):
            app.amqp.__dict__.pop(cached, None)


def live(url, record, extended):
    """A real worker at work: events, remote control, replies and results."""
    folder = tempfile.mkdtemp()
    FOLDERS[:] = [(folder, '/srv/app'), (os.path.dirname(os.path.dirname(celery.__file__)), '/srv/venv/site-packages'),
                  (os.path.dirname(os.__file__), '/usr/lib/python3')]
    with open(os.path.join(folder, 'vecapp.py'), 'w') as f:
        f.write(WORKER)
    env = dict(os.environ, VEC_REDIS=url, PYTHONPATH=folder, VEC_EXT='1' if extended else '')
    db = redis.Redis.from_url(url)
    tag = 'extended-' if extended else ''
    stop = threading.Event()

    def listen():
        pub = redis.Redis.from_url(url).pubsub()
        pub.psubscribe('*')
        while not stop.is_set():
            m = pub.get_message(timeout=0.2)
            if m and m['type'] == 'pmessage':
                ch = m['channel'].decode()
                kind = 'event' if 'celeryev' in ch else 'control' if 'pidbox' in ch else 'result-publish'
                record.add(tag + 'live', kind, m['data'], channel=ch)

    def replies():
        while not stop.is_set():
            for key in db.scan_iter('*reply*pidbox*'):
                if db.type(key) == b'list':
                    for raw in db.lrange(key, 0, -1):
                        if raw not in seen:
                            seen.add(raw)
                            record.add(tag + 'live', 'reply', raw, key=key.decode())
            time.sleep(0.002)
    seen = set()
    threads = [threading.Thread(target=f, daemon=True) for f in (listen, replies)]
    [t.start() for t in threads]
    time.sleep(0.5)
    worker = subprocess.Popen([sys.executable, '-m', 'celery', '-A', 'vecapp', 'worker', '-c', '2', '-n', 'vec@host',
                               '-E', '-l', 'INFO'], cwd=folder, env=env, stdout=open(os.path.join(folder, 'log'), 'w'),
                              stderr=subprocess.STDOUT)
    try:
        sys.path.insert(0, folder)
        os.environ.update(VEC_REDIS=url, VEC_EXT='1' if extended else '')
        sys.modules.pop('vecapp', None)
        import vecapp
        app = vecapp.app
        for _ in range(100):
            if app.control.ping(timeout=0.3):
                break
        sent = {}
        for name, args in (('vec.add', (2, 3)), ('vec.echo', ('\u20b9', None, 1.5)), ('vec.fail', ('boom',)),
                           ('vec.fail_custom', ()), ('vec.retry', ()), ('vec.reject', ()), ('vec.ignore', ())):
            sent[name] = app.send_task(name, args)
        sent['expired'] = app.send_task('vec.add', (1, 1), expires=datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc))
        sent['unknown'] = app.send_task('vec.not_registered', (1,))
        sent['slow'] = app.send_task('vec.sleep', (3,))
        sent['eta'] = app.send_task('vec.add', (7, 7), countdown=60)
        sent['chain'] = chain(vecapp.add.s(1, 1), vecapp.add.s(2), vecapp.add.s(3))()
        sent['group'] = group([vecapp.add.s(i, i) for i in range(2)])()
        sent['chord'] = chord([vecapp.add.s(i, i) for i in range(3)], vecapp.xsum.s())()
        sent['chord-error'] = chord([vecapp.add.s(1, 1), vecapp.fail.s()], vecapp.xsum.s())()
        sent['link'] = vecapp.add.apply_async((1, 2), link=vecapp.handler.s(), link_error=vecapp.handler.s())
        sent['limit'] = app.send_task('vec.sleep', (5,), time_limit=1)
        sent['soft-limit'] = app.send_task('vec.sleep', (5,), soft_time_limit=1)
        time.sleep(1.0)
        i = app.control.inspect(timeout=1.0)
        for command in ('ping', 'active', 'reserved', 'scheduled', 'revoked', 'registered', 'stats', 'conf',
                        'active_queues', 'report', 'clock'):
            reply = getattr(i, command)()
            record.add(tag + command, 'inspect', json.dumps(reply, default=str))
        record.add(tag + 'query_task', 'inspect', json.dumps(i.query_task(sent['eta'].id, sent['slow'].id), default=str))
        app.control.revoke(sent['eta'].id)
        for label, call in {
            'rate_limit': lambda: app.control.rate_limit('vec.add', '10/m', reply=True),
            'rate_limit-unknown': lambda: app.control.rate_limit('nope', '10/m', reply=True),
            'rate_limit-bad': lambda: app.control.rate_limit('vec.add', 'zz', reply=True),
            'time_limit': lambda: app.control.time_limit('vec.add', hard=20, soft=10, reply=True),
            'add_consumer': lambda: app.control.add_consumer('extraq', reply=True),
            'add_consumer-again': lambda: app.control.add_consumer('extraq', reply=True),
            'cancel_consumer': lambda: app.control.cancel_consumer('extraq', reply=True),
            'pool_grow': lambda: app.control.pool_grow(1, reply=True),
            'pool_shrink': lambda: app.control.pool_shrink(1, reply=True),
            'autoscale': lambda: app.control.autoscale(4, 2, reply=True),
            'enable_events': lambda: app.control.enable_events(reply=True),
            'disable_events': lambda: app.control.disable_events(reply=True),
            'enable_events-again': lambda: app.control.enable_events(reply=True),
            'heartbeat': lambda: app.control.heartbeat(reply=True),
            'revoke-reply': lambda: app.control.revoke('00000000-0000-0000-0000-000000000000', reply=True),
            'terminate': lambda: app.control.terminate('00000000-0000-0000-0000-000000000001', reply=True),
            'unknown-command': lambda: app.control.broadcast('no_such_command', reply=True),
            'pattern': lambda: app.control.broadcast('ping', reply=True, pattern='vec@*', matcher='glob'),
        }.items():
            record.add(tag + label, 'inspect', json.dumps(call(), default=str))
        app.control.rate_limit('vec.add', 0)
        time.sleep(9)
        for name, result in sent.items():
            key = b'celery-task-meta-' + result.id.encode()
            raw = db.get(key)
            if raw is not None:
                record.add(tag + name, 'result', raw, key=key.decode(), ttl=db.ttl(key))
        for key in sorted(db.keys('*')):
            if key.startswith((b'celery-taskset-meta-', b'chord-unlock-', b'_kombu')):
                kind = db.type(key)
                raw = (json.dumps(sorted(m.decode('latin-1') for m in db.smembers(key))) if kind == b'set' else
                       db.get(key) if kind == b'string' else repr(kind))
                record.add(tag + 'key', 'redis-keys', raw, key=key.decode(), type=kind.decode())
    finally:
        worker.send_signal(signal.SIGTERM)
        try:
            worker.wait(20)
        except subprocess.TimeoutExpired:
            worker.kill()
        time.sleep(0.5)
        stop.set()
        [t.join(2) for t in threads]
        with open(os.path.join(folder, 'log')) as f:
            record.add(tag + 'worker-log', 'log', f.read())
        db.flushdb()


def amqp(url, record):
    """Task messages as RabbitMQ delivers them: properties, headers and body."""
    import kombu
    app = Celery('vec', broker=url)
    q = 'vecunused'
    when = datetime.datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.timezone.utc)
    cases = {
        'plain': {}, 'eta': {'eta': when}, 'expires-seconds': {'expires': 30}, 'priority-9': {'priority': 9},
        'compression-gzip': {'compression': 'gzip'}, 'serializer-msgpack': {'serializer': 'msgpack'},
        'time-limits': {'time_limit': 10, 'soft_time_limit': 5}, 'shadow': {'shadow': 'pretty name'},
    }
    with kombu.Connection(url) as conn:
        channel = conn.channel()
        channel.queue_delete(q)
        kombu.Queue(q, kombu.Exchange(q), q, channel=channel).declare()
        for name, options in cases.items():
            try:
                app.send_task('vec.add', (2, 3), queue=q, **options)
            except Exception as exc:
                record.add(name, 'skipped', type(exc).__name__ + ': ' + str(exc))
                continue
            time.sleep(0.05)
            m = channel.basic_get(q, no_ack=True)
            record.add(name, 'amqp-task', m.body if isinstance(m.body, bytes) else m.body.encode(),
                       properties=json.loads(json.dumps(m.properties, default=str)),
                       delivery_info=json.loads(json.dumps(m.delivery_info, default=str)))
        channel.queue_delete(q)


SPOOL_WORKER = textwrap.dedent('''
    import os
    from celery import Celery
    root = os.environ['VEC_SPOOL']
    app = Celery('vec', broker='filesystem://', backend='file://' + root + '/results')
    app.conf.update(task_default_queue='vecq', worker_send_task_events=True, broker_transport_options={
        'data_folder_in': root + '/queue', 'data_folder_out': root + '/queue', 'control_folder': root + '/control',
        'store_processed': True, 'processed_folder': root + '/processed'})

    @app.task(name='vec.add')
    def add(x, y): return x + y
''')


def spool(record):
    """kombu's filesystem transport: file names and contents of messages, exchange tables, results."""
    with tempfile.TemporaryDirectory() as root:
        for name in ('queue', 'control', 'processed', 'results'):
            os.mkdir(os.path.join(root, name))
        with open(os.path.join(root, 'vecspool.py'), 'w') as f:
            f.write(SPOOL_WORKER)
        os.environ['VEC_SPOOL'] = root
        sys.path.insert(0, root)
        import vecspool
        app = vecspool.app

        def files(label, folder):
            for name in sorted(os.listdir(os.path.join(root, folder))):
                with open(os.path.join(root, folder, name), 'rb') as f:
                    record.add(label, 'spool', f.read(), folder=folder, file=name)

        when = datetime.datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.timezone.utc)
        for name, options in {'plain': {}, 'eta': {'eta': when}, 'priority-9': {'priority': 9}, 'compression-gzip': {'compression': 'gzip'}}.items():
            app.send_task('vec.add', (2, 3), queue='vecunused', **options)
            files('spool-' + name, 'queue')
            for left in os.listdir(os.path.join(root, 'queue')):
                os.unlink(os.path.join(root, 'queue', left))
        files('spool-exchange', 'control')
        log = open(os.path.join(root, 'log'), 'w')
        worker = subprocess.Popen([sys.executable, '-m', 'celery', '-A', 'vecspool', 'worker', '-n', 'vec@host', '-c', '1', '-P', 'solo', '-E',
                                   '-l', 'INFO'], cwd=root, stdout=log, stderr=log)
        try:
            for _ in range(40):
                if app.control.ping(timeout=0.5):
                    break
            app.send_task('vec.add', (2, 3), queue='vecq').get(timeout=15)
            files('spool-exchange-running', 'control')
            files('spool-result', 'results')
        finally:
            worker.send_signal(signal.SIGTERM)
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
        files('spool-processed', 'processed')
        app.control.broadcast('ping')
        time.sleep(0.2)
        files('spool-exchange-after', 'control')
        files('spool-left', 'queue')


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--redis')
    p.add_argument('--amqp')
    p.add_argument('--out', required=True)
    o = p.parse_args()
    if o.redis:
        capture(o)
        return
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'system'))
    import harness
    with tempfile.TemporaryDirectory() as folder:
        server = harness.Redis(folder)
        try:
            o.redis = server.url(9)
            capture(o)
        finally:
            server.stop()


def capture(o):
    db = redis.Redis.from_url(o.redis)
    db.flushdb()
    record = Recorder(o.out)
    app = Celery('vec', broker=o.redis, backend=o.redis)
    app.conf.update(accept_content=['json', 'yaml', 'msgpack', 'pickle'])
    unused_queue_tasks(app, db, record)
    db.flushdb()
    live(o.redis, record, extended=False)
    live(o.redis, record, extended=True)
    if o.amqp:
        amqp(o.amqp, record)
    spool(record)
    record.file.close()
    print(f'{record.count} vectors of celery {celery.__version__} in {o.out}')


if __name__ == '__main__':
    main()

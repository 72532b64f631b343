# SPDX-License-Identifier: MIT
"""Real servers and our programs for the system tests: each on its own free port
and in its own folder, stopped by process id. Tests wait for conditions, never for
time; every wait has a deadline and says what it waited for."""

import hashlib
import hmac
import http.client
import itertools
import json
import os
import pathlib
import pwd
import random
import signal
import socket
import subprocess
import time
import urllib.parse
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CRICALGO_BUILD", ROOT / "build-asan"))
API = BUILD / "api" / "cricalgo-api"
WORKER = BUILD / "worker" / "cricalgo-worker"
CELERYC = BUILD / "worker" / "celeryc"
MODULE = BUILD / "tests" / "interop" / "t.so"
CLOCK_OFF = BUILD / "tests" / "interop" / "clock_off.so"
# Python interpreters of the venvs with Celery 5.7.0 and 5.2.7.
PY57 = os.environ.get("CRICALGO_PY57", "python3")
PY52 = os.environ.get("CRICALGO_PY52", "python3")
SECRET = "system-test-secret"
TOKEN = "system-test-token"
# What the repository must not say is said by nobody: no server listens beyond it.
LOOPBACK = "127.0.0.1"


# Below the ports of outgoing connections, each half of a parallel run on its own
# range: a port that was free stays free until its server has it.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw") or 0)
_PORTS = itertools.count(random.randrange(2000))


def free_port():
    while True:
        port = 12000 + 4000 * (_WORKER % 5) + next(_PORTS) % 4000
        with socket.socket() as sock:
            try:
                sock.bind((LOOPBACK, port))
            except OSError:
                continue
            return port


def wait_for(condition, what, seconds=30.0, every=0.02):
    """The first true value of condition(); fails with what after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s still not: {what}")
        time.sleep(every)


class Process:
    """A child of ours with its log in a file."""

    def __init__(self, name, argv, folder, env=None, cwd=None):
        self.name = name
        self.log_path = pathlib.Path(folder) / f"{name}-{uuid.uuid4().hex[:6]}.log"
        self._log = open(self.log_path, "wb")
        self.child = subprocess.Popen([str(a) for a in argv], stdout=self._log,
                                      stderr=self._log, env=env, cwd=cwd,
                                      stdin=subprocess.DEVNULL)

    @property
    def pid(self):
        return self.child.pid

    def log(self):
        return self.log_path.read_text(errors="replace")

    def events(self, name=None):
        """The log's JSON lines, those of one event when name is given."""
        found = []
        for line in self.log().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if name is None or event.get("event") == name:
                found.append(event)
        return found

    def alive(self):
        return self.child.poll() is None

    def kill(self):
        """kill -9, and nothing but."""
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()
        self._log.close()

    def stop(self, seconds=40, sig=signal.SIGTERM):
        """The exit status after a signal; fails when it does not end."""
        if self.alive():
            self.child.send_signal(sig)
        try:
            status = self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError(f"{self.name} did not end in {seconds} s:\n{self.log()[-3000:]}")
        finally:
            self._log.close()
        return status


class Redis:
    def __init__(self, folder, *extra, env=None):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.extra = extra
        self.env = env
        self.process = None
        self.start()

    def start(self):
        self.process = Process("redis", [
            "redis-server", "--port", self.port, "--bind", LOOPBACK, "--save", "",
            "--appendonly", "no", "--dir", self.folder, *self.extra], self.folder, self.env)
        wait_for(lambda: self.cli("PING") == "PONG", "redis answers PING")

    def url(self, db=0):
        return f"redis://{LOOPBACK}:{self.port}/{db}"

    def cli(self, *words, db=0):
        done = subprocess.run(["redis-cli", "-p", str(self.port), "-n", str(db), *map(str, words)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.stdout.strip()

    def client(self, db=0):
        import redis
        return redis.Redis(host=LOOPBACK, port=self.port, db=db)

    def stop(self):
        self.process.stop()


class RabbitMQ:
    """A node of its own: name, ports, folders, cookie and epmd, on the loopback
    alone."""

    PROGRAMS = pathlib.Path("/usr/lib/rabbitmq/bin")

    def __init__(self, folder, config=()):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.dist_port = free_port()
        self.node = f"t{uuid.uuid4().hex[:8]}@localhost"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("RABBITMQ_")}
        self.env.update(
            HOME=str(self.folder), RABBITMQ_NODENAME=self.node,
            RABBITMQ_NODE_IP_ADDRESS=LOOPBACK, RABBITMQ_NODE_PORT=str(self.port),
            RABBITMQ_DIST_PORT=str(self.dist_port),
            RABBITMQ_MNESIA_BASE=str(self.folder / "mnesia"),
            RABBITMQ_LOG_BASE=str(self.folder / "log"), RABBITMQ_LOGS="-",
            RABBITMQ_PID_FILE=str(self.folder / "rabbitmq.pid"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(self.folder / "plugins"),
            RABBITMQ_CONFIG_FILE=str(self.folder / "rabbitmq.conf"),
            RABBITMQ_CONF_ENV_FILE=str(self.folder / "none"),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=
            "+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
            ERL_EPMD_PORT=str(free_port()), ERL_EPMD_ADDRESS=LOOPBACK)
        (self.folder / "plugins").write_text("[].\n")
        self.tls_port, self.tls = free_port(), self.folder / "tls"
        self._certificates()
        config = [*config, f"listeners.ssl.1 = {LOOPBACK}:{self.tls_port}",
                  f"ssl_options.certfile = {self.tls / 'server.pem'}",
                  f"ssl_options.keyfile = {self.tls / 'server.key'}",
                  "ssl_options.verify = verify_none"]
        (self.folder / "rabbitmq.conf").write_text("\n".join(
            ["log.console.level = info", "vm_memory_high_watermark.absolute = 2GB",
             "disk_free_limit.absolute = 1MB", "collect_statistics_interval = 1000", *config, ""]))
        self.process = None
        self.start()

    def _certificates(self):
        """An authority, and the server's certificate by it for the name localhost."""
        def openssl(*words):
            subprocess.run(["openssl", *map(str, words)], check=True, cwd=self.tls,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        self.tls.mkdir()
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
                "-subj", "/CN=test authority")
        openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj",
                "/CN=localhost")
        (self.tls / "names").write_text("subjectAltName=DNS:localhost\n")
        openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "server.pem")

    def start(self):
        self.process = Process("rabbitmq", [self.PROGRAMS / "rabbitmq-server"], self.folder,
                               self.env, cwd=self.folder)
        wait_for(lambda: "Server startup complete" in self.process.log()
                 or not self.process.alive(), "RabbitMQ has started", 90)
        assert self.process.alive(), self.process.log()[-3000:]

    def ctl(self, *words, check=True):
        done = subprocess.run([str(self.PROGRAMS / "rabbitmqctl"), "-q", "-n", self.node,
                               *map(str, words)], env=self.env, cwd=self.folder, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip("\n")

    def new_vhost(self):
        name = "v" + uuid.uuid4().hex[:10]
        # One call for the two: each starts a runtime of its own.
        self.ctl("eval", f'rabbit_vhost:add(<<"{name}">>, <<"test">>), '
                         'rabbit_auth_backend_internal:set_permissions(<<"guest">>, '
                         f'<<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"test">>).')
        return name

    def vhost(self):
        """A fresh virtual host."""
        return VirtualHost(self, self.new_vhost())

    def url(self, vhost="/"):
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}/{urllib.parse.quote(vhost, safe='')}"

    def stop(self):
        if self.process.alive():
            self.ctl("stop", check=False)
            try:
                self.process.child.wait(40)
            except subprocess.TimeoutExpired:
                self.process.child.kill()
        self.process.child.wait()
        self.process._log.close()

    def close(self):
        """Ends the node and the epmd that came with it."""
        self.stop()
        subprocess.run(["epmd", "-port", self.env["ERL_EPMD_PORT"], "-kill"], env=self.env,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class VirtualHost:
    """One test's part of a RabbitMQ."""

    def __init__(self, server, name):
        self.server, self.name = server, name
        self.url = server.url(name)

    def connect(self):
        import amqp
        connection = amqp.Connection(f"{LOOPBACK}:{self.server.port}", virtual_host=self.name,
                                     confirm_publish=True)
        connection.connect()
        return connection

    def channel(self):
        """Of a connection of its own; for with: it closes both."""
        import contextlib

        @contextlib.contextmanager
        def opened():
            connection = self.connect()
            try:
                yield connection.channel()
            finally:
                connection.collect() if not connection.connected else connection.close()
        return opened()

    def queues(self):
        """{queue: (ready, unacked)}."""
        text = self.server.ctl("list_queues", "-p", self.name, "name", "messages_ready",
                               "messages_unacknowledged", "--no-table-headers")
        rows = [line.split("\t") for line in text.splitlines()]
        return {row[0]: (int(row[1]), int(row[2])) for row in rows if len(row) == 3}

    def length(self, queue):
        """Messages that wait; 0 when there is no such queue. Quick."""
        import amqp
        with self.channel() as channel:
            try:
                return channel.queue_declare(queue, passive=True).message_count
            except amqp.exceptions.NotFound:
                return 0

    def take_all(self, queue):
        """Removes and gives the messages of a queue."""
        taken = []
        with self.channel() as channel:
            while message := channel.basic_get(queue, no_ack=True):
                taken.append(message)
        return taken

    def publish(self, queue, body, headers=None, **properties):
        import amqp
        with self.channel() as channel:
            channel.basic_publish(amqp.Message(body, application_headers=headers or {},
                                               **properties), routing_key=queue)

    def connections(self):
        """[(pid, name given by the client)] of who is connected here."""
        text = self.server.ctl("list_connections", "pid", "vhost", "client_properties",
                               "--no-table-headers")
        rows = [line.split("\t") for line in text.splitlines()]
        return [(row[0], row[2]) for row in rows if len(row) == 3 and row[1] == self.name]


class Postgres:
    """A cluster of its own; initdb refuses root, so then the postgres user runs
    it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.bin = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self.data = self.folder / "pgdata"
        self.as_user = []
        if os.geteuid() == 0:
            self.as_user = ["runuser", "-u", "postgres", "--"]
            user = pwd.getpwnam("postgres")
            self.data.mkdir()
            os.chown(self.data, user.pw_uid, user.pw_gid)
            for parent in [self.folder, *self.folder.parents]:
                if parent.stat().st_uid == 0 and parent != pathlib.Path("/"):
                    parent.chmod(parent.stat().st_mode | 0o055)
        subprocess.run([*self.as_user, self.bin / "initdb", "-D", self.data, "-A", "trust",
                        "-U", "cricalgo", "-E", "UTF8", "--no-sync"],
                       check=True, stdout=subprocess.DEVNULL)
        self.process = None
        self.start()

    def start(self):
        self.process = Process("postgres", [
            *self.as_user, self.bin / "postgres", "-D", self.data, "-p", self.port, "-h", LOOPBACK,
            "-k", "", "-c", "max_connections=200"], self.folder, cwd="/")
        wait_for(lambda: self._psql("postgres", "SELECT 1").returncode == 0,
                 "postgres answers")

    def _psql(self, database, sql):
        return subprocess.run(
            ["psql", "-h", LOOPBACK, "-p", str(self.port), "-U", "cricalgo", "-d", database,
             "-At", "-v", "ON_ERROR_STOP=1", "-c", sql],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def sql(self, database, sql):
        done = self._psql(database, sql)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def new_database(self):
        name = "t" + uuid.uuid4().hex[:12]
        self.sql("postgres", f"CREATE DATABASE {name}")
        return name

    def url(self, database):
        return f"postgresql://cricalgo@{LOOPBACK}:{self.port}/{database}"

    def stop(self):
        # "Fast" shutdown, to the postmaster itself: runuser passes SIGTERM on as
        # a "smart" one, which waits for clients.
        pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGINT)
        try:
            self.process.child.wait(20)
        except subprocess.TimeoutExpired:
            # A slow disk at the last checkpoint: "immediate", the log is replayed.
            os.kill(pid, signal.SIGQUIT)
            self.process.child.wait(20)
        self.process._log.close()


def plain_env(**settings):
    """Our environment without what would configure the programs under test."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("CELERY_", "DB_", "WEBHOOK_", "DEPOSIT_"))
           and k not in ("DATABASE_URL", "REDIS_URL", "API_TOKEN", "PORT", "HOST",
                         "DATABASE_URL_FILE", "REDIS_URL_FILE", "API_TOKEN_FILE")}
    env.setdefault("ASAN_OPTIONS", "detect_stack_use_after_return=1:strict_string_checks=1")
    env.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
    env.update({k: str(v) for k, v in settings.items()})
    return env


class Api:
    def __init__(self, folder, ledger, broker, **settings):
        self.port = free_port()
        # A setting of None is not set at all.
        wanted = {"DATABASE_URL": ledger, "CELERY_BROKER_URL": broker, "WEBHOOK_SECRET": SECRET,
                  "API_TOKEN": TOKEN, "PORT": self.port, **settings}
        env = plain_env(**{k: v for k, v in wanted.items() if v is not None})
        self.process = Process("api", [API], folder, env)
        wait_for(self._ready, "the API is ready")

    def _ready(self):
        assert self.process.alive(), self.process.log()
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    def request(self, method, path, body=None, headers=None, timeout=30):
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            text = answer.read()
            try:
                parsed = json.loads(text)
            except ValueError:
                parsed = text.decode(errors="replace")
            return answer.status, parsed, dict(answer.getheaders())
        finally:
            connection.close()

    def get(self, path, **query):
        if query:
            path += "?" + urllib.parse.urlencode(query)
        return self.request("GET", path, headers={"Authorization": "Bearer " + TOKEN})

    def webhook(self, body, chain="bep20", secret=SECRET, headers=None):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        signature = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
        return self.request("POST", f"/api/v1/webhooks/{chain}", raw,
                            {"Content-Type": "application/json", "X-Signature": signature,
                             **(headers or {})})

    def register(self):
        status, answer, _ = self.request(
            "POST", "/api/v1/auth/register",
            json.dumps({"telegram_id": uuid.uuid4().int % 2**50 + 1,
                        "username": "u" + uuid.uuid4().hex[:20]}),
            {"Content-Type": "application/json"})
        assert status == 201, answer
        return answer["user_id"]

    def stop(self):
        return self.process.stop()


def deposit_body(user, amount="1.5", confirmations=12, **more):
    return {"tx_hash": "0x" + uuid.uuid4().hex * 2, "amount": amount, "user_id": user,
            "confirmations": confirmations, **more}


class Worker(Process):
    """cricalgo-worker. Options are Celery's, settings environment variables."""

    def __init__(self, folder, ledger, broker, *options, backend=None, **settings):
        self.node = f"c{uuid.uuid4().hex[:6]}@test"
        env = plain_env(DATABASE_URL=ledger, CELERY_BROKER_URL=broker,
                        METRICS_PORT=settings.pop("METRICS_PORT", 0), **settings)
        if backend:
            env["CELERY_RESULT_BACKEND"] = backend
        super().__init__("worker", [WORKER, "worker", "-n", self.node, *options], folder, env)

    def ready(self):
        wait_for(lambda: self.events("worker_ready") or not self.alive(), "the worker is ready")
        assert self.alive(), self.log()
        return self


class ModuleWorker(Process):
    """celeryc worker -A t.so."""

    def __init__(self, folder, broker, backend, *options, node=None, **settings):
        self.node = node or f"m{uuid.uuid4().hex[:6]}@test"
        env = plain_env(METRICS_PORT=settings.pop("METRICS_PORT", 0), **settings)
        super().__init__("celeryc", [CELERYC, "worker", "-A", MODULE, "-b", broker,
                                     "--result-backend", backend, "-n", self.node, *options],
                         folder, env)

    def ready(self):
        wait_for(lambda: self.events("worker_ready") or not self.alive(), "the worker is ready")
        assert self.alive(), self.log()
        return self


def check_ledger(ledger):
    """(exit status, output) of cricalgo-worker --check-ledger."""
    done = subprocess.run([str(WORKER), "--check-ledger"], env=plain_env(DATABASE_URL=ledger),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def states(ledger):
    """Deposits by state, from --check-ledger's lines."""
    status, text = check_ledger(ledger)
    counts = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].isdigit():
            counts[words[0]] = int(words[1])
    counts["balanced"] = status == 0
    return counts

# SPDX-License-Identifier: MIT
"""The part of quickstart.sh that talks HTTP: starts both programs, posts signed
samples, watches each deposit until it is settled, checks the ledger."""

import argparse
import hashlib
import hmac
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid

SETTLE_SECONDS = 60
START_SECONDS = 30
THRESHOLD = 3


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


started = []  # every Program, in the order of their start


class Program:
    """A child whose log goes to a file, as JSON lines."""

    def __init__(self, name, argv, env, folder):
        self.name = name
        self.log_path = os.path.join(folder, name + ".log")
        self.log = open(self.log_path, "wb")
        # A session of its own: Ctrl-C is ours alone, the children get one SIGTERM.
        self.child = subprocess.Popen(argv, env=env, stdout=self.log, stderr=self.log,
                                      start_new_session=True)
        started.append(self)

    def check(self):
        if self.child.poll() is not None:
            with open(self.log_path, errors="replace") as log:
                tail = log.read()[-2000:]
            sys.exit(f"{self.name} ended with status {self.child.returncode}:\n{tail}")

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(40)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.log.close()
        return self.child.returncode


def request(base, method, path, body=None, headers=None):
    """Status and parsed body; errors of HTTP are answers too."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    req = urllib.request.Request(base + path, data=data, method=method)
    if data is not None:
        req.add_header("Content-Type", "application/json")
    for name, value in (headers or {}).items():
        req.add_header(name, value)
    try:
        with urllib.request.urlopen(req, timeout=10) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, {}


class Sample:
    """One webhook to post: what it says and how it must end."""

    def __init__(self, what, body, status=202, state="credited", key=None):
        self.what = what
        self.body = body
        self.status = status  # of the answer
        self.state = state  # at the end; None: nothing is stored
        self.key = key  # signing key; None: the right one
        self.tx_id = None
        self.posted = 0.0
        self.got_state = None
        self.answer_ms = 0.0
        self.row = {}

    def good(self):
        return self.got_state == self.state


def make_samples(count, users):
    def body(user, amount="12.5", **more):
        return {"tx_hash": "0x" + secrets.token_hex(32), "amount": amount,
                "user_id": user, "confirmations": 12, "currency": "USDT", **more}

    odd = [Sample("wrong signature", body(users[0]), 401, None, "not-the-secret")
           for _ in range(3)]
    odd += [Sample("unknown user", body(str(uuid.uuid4())), state="unmatched")
            for _ in range(2)]
    odd += [Sample("too few confirmations", {**body(users[0]), "confirmations": 1},
                   state="awaiting_confirmations") for _ in range(2)]
    odd += [Sample("more decimals than money has", body(users[1], "0." + "1" * 25),
                   state="conflict")]
    plain = [Sample("deposit", body(users[i % len(users)], f"{i + 1}.{i:03d}1"))
             for i in range(count - len(odd) - 5)]
    repeated = [Sample("duplicate", plain[i].body) for i in range(5)]
    return plain + odd + repeated


def post(base, secret, sample):
    raw = json.dumps(sample.body).encode()
    key = (sample.key or secret).encode()
    signature = hmac.new(key, raw, hashlib.sha256).hexdigest()
    sample.posted = time.time()
    status, answer = request(base, "POST", "/api/v1/webhooks/bep20", raw,
                             {"X-Signature": "sha256=" + signature})
    sample.answer_ms = (time.time() - sample.posted) * 1000
    sample.tx_id = answer.get("tx_id")
    if status != sample.status:
        print(f"  {sample.what}: answered {status}, expected {sample.status}: {answer}")
        return False
    return sample.state is None or (answer.get("ok") is True and bool(sample.tx_id))


def show(sample):
    row = sample.row
    if sample.state is None:
        print(f"  {sample.what:<30} refused with {sample.status}")
        return
    stamps = [row.get(name) for name in ("created_at", "started_at", "processed_at")]
    settled = ""
    if all(stamps[:1]) and stamps[2]:
        settled = f", credited {seconds_between(stamps[0], stamps[2]) * 1000:7.1f} ms after it was stored"
    elif stamps[1]:
        settled = f", looked at {seconds_between(stamps[0], stamps[1]) * 1000:7.1f} ms after it was stored"
    print(f"  {sample.what:<30} {sample.tx_id} {row.get('state', '?'):<24} "
          f"answered in {sample.answer_ms:5.1f} ms{settled}")


def seconds_between(first, second):
    from datetime import datetime

    def parse(text):
        if isinstance(text, (int, float)):
            return float(text)
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()

    return parse(second) - parse(first)


def watch(base, token, samples, programs):
    """Asks for each deposit until all have the state they should end in."""
    deadline = time.time() + SETTLE_SECONDS
    waiting = [s for s in samples if s.state is not None]
    while waiting and time.time() < deadline:
        still = []
        for sample in waiting:
            for program in programs:
                program.check()
            _, sample.row = request(base, "GET", f"/api/v1/transactions/{sample.tx_id}",
                                    headers={"Authorization": "Bearer " + token})
            sample.got_state = sample.row.get("state")
            if sample.good() and (sample.state != "awaiting_confirmations"
                                  or sample.row.get("started_at")):
                show(sample)
            else:
                still.append(sample)
        waiting = still
        if waiting:
            time.sleep(0.05)
    for sample in waiting:
        print(f"  NOT SETTLED: {sample.what} {sample.tx_id} is "
              f"{sample.got_state}, expected {sample.state}")
    return not waiting


def clean_environment():
    """Ours without what would outrank the settings below."""
    return {k: v for k, v in os.environ.items()
            if not k.startswith(("CELERY_", "DB_", "DEPOSIT_", "WEBHOOK_", "METRICS_"))
            and k not in ("REDIS_URL", "REDIS_URL_FILE", "DATABASE_URL_FILE", "API_TOKEN_FILE", "PORT")}


def start(options, secret, token):
    env = dict(clean_environment(), DATABASE_URL=options.ledger, CELERY_BROKER_URL=options.broker,
               CELERY_RESULT_BACKEND=options.backend, WEBHOOK_SECRET=secret,
               API_TOKEN=token, CONFIRMATION_THRESHOLD=str(THRESHOLD), HOST="127.0.0.1")
    metrics_port = free_port()
    port = options.port or free_port()
    api = Program("api", [options.api, "--port", str(port)], env, options.logs)
    base = f"http://127.0.0.1:{port}"
    wait_ready(base, [api])
    worker = Program("worker", [options.worker, "worker", "--metrics-port",
                                str(metrics_port), "-n", "quickstart@%h"],
                     env, options.logs)
    wait_ready(f"http://127.0.0.1:{metrics_port}", [api, worker])
    return base, metrics_port, api, worker


def wait_ready(base, programs):
    deadline = time.time() + START_SECONDS
    while time.time() < deadline:
        for program in programs:
            program.check()
        try:
            if request(base, "GET", "/readyz")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit(f"{programs[-1].name} is not ready after {START_SECONDS} s; its log is "
             f"{programs[-1].log_path}")


def register_users(base, count):
    users = []
    for _ in range(count):
        status, answer = request(base, "POST", "/api/v1/auth/register", {
            "telegram_id": secrets.randbelow(2**40) + 1,
            "username": "sample_" + secrets.token_hex(6)})
        if status != 201:
            sys.exit(f"registering a sample user was answered {status}: {answer}")
        users.append(answer["user_id"])
    return users


def check_ledger(options):
    env = dict(os.environ, DATABASE_URL=options.ledger)
    done = subprocess.run([options.worker, "--check-ledger"], env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode == 0, done.stdout.strip()


def run_samples(options, secret, token):
    good = True
    try:
        base, metrics_port, api, worker = start(options, secret, token)
        users = register_users(base, 4)
        samples = make_samples(options.samples, users)
        print(f"Posting {len(samples)} webhooks to {base}/api/v1/webhooks/bep20")
        for sample in samples:
            good = post(base, secret, sample) and good
        for sample in samples:
            if sample.state is None:
                show(sample)
        good = watch(base, token, samples, [api, worker]) and good
        first = {s.body["tx_hash"]: s.tx_id for s in samples if s.what == "deposit"}
        for sample in samples:
            if sample.what == "duplicate" and first[sample.body["tx_hash"]] != sample.tx_id:
                print(f"  duplicate {sample.tx_id} got another id than the first one")
                good = False
        if not options.once:
            serve(base, metrics_port, token, options, [api, worker])
    finally:
        statuses = {program.name: program.stop() for program in reversed(started)}
    for name, status in statuses.items():
        if status != 0:
            print(f"{name} ended with status {status}")
            good = False
    return good


def serve(base, metrics_port, token, options, programs):
    print(f"""
Look at:
  {base}/                          the operations page
  {base}/api/v1/transactions       deposits, newest first
  {base}/metrics                   the API's metrics
  http://127.0.0.1:{metrics_port}/metrics         the worker's metrics
  {options.logs}/api.log and worker.log   one JSON object a line

The routes under /api/v1 want the header  Authorization: Bearer {token}

Serving until Ctrl-C.""", flush=True)
    try:
        while True:
            for program in programs:
                program.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        print()


def main():
    parser = argparse.ArgumentParser()
    for name in ("broker", "ledger", "backend", "logs", "api", "worker"):
        parser.add_argument("--" + name, required=True)
    for name in ("once", "port", "samples"):
        parser.add_argument("--" + name, type=int, required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    good = run_samples(options, secrets.token_hex(16), secrets.token_hex(16))
    balanced, report = check_ledger(options)
    print(report, flush=True)
    sys.exit(0 if good and balanced else 1)


if __name__ == "__main__":
    main()

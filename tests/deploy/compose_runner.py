# SPDX-License-Identifier: MIT
"""Starts the services of a compose file as processes on loopback: their commands,
their environments, their configuration files, in the order that depends_on and
the health checks say. What the runner changes is where they are: container ports
and host names become free ports of the loopback address, images become the
programs of this machine, volumes folders of the test's.

Not run: images that this machine has no program for (NOT_HERE)."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import yaml

import harness
from harness import LOOPBACK, Process, free_port, wait_for

NOT_HERE = {"grafana", "rabbitmq"}
# The port a container listens on, where the file does not publish it.
LISTENS = {"app1": [9809], "app2": [9809], "app3": [9809], "worker": [9808],
           "node-exporter": [9100]}


def interpolated(text, env):
    """${A}, ${A:-default}, ${A:?message} as Compose has them."""

    def value(match):
        name, operator, word = match[1], match[2], match[3]
        found = env.get(name, "")
        if found or operator is None:
            return found
        if operator == ":-":
            return word
        raise KeyError(f"{name}: {word}")

    return re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", value, text)


def read_env_file(path):
    return dict(re.findall(r"(?m)^([A-Z][A-Z0-9_]*)=(.*)$", path.read_text()))


class ComposePostgres(harness.Postgres):
    """The image's part: a role and a database, without a password on loopback."""

    def __init__(self, folder, port, command, environment):
        self.wanted = (port, command)
        super().__init__(folder)
        user, database = environment["POSTGRES_USER"], environment["POSTGRES_DB"]
        if user != "postgres":
            raise NotImplementedError(user)
        self.sql("postgres", "CREATE ROLE postgres SUPERUSER LOGIN")
        self.sql("postgres", f"CREATE DATABASE {database} OWNER postgres")

    def start(self):
        self.port, command = self.wanted
        assert command[0] == "postgres"
        self.process = Process("postgres", [
            *self.as_user, self.bin / "postgres", "-D", self.data, "-p", self.port, "-h", LOOPBACK,
            "-k", "", *command[1:]], self.folder, cwd="/")
        wait_for(lambda: self._psql("postgres", "SELECT 1").returncode == 0, "postgres answers")


class Compose:
    def __init__(self, path, folder, env, profiles=()):
        self.source = pathlib.Path(path)
        self.folder = pathlib.Path(folder)
        self.env_file = read_env_file(self.source.parent / ".env.example") | env
        text = interpolated(self.source.read_text(), self.env_file)
        everything = yaml.safe_load(text)["services"]
        self.services = {
            name: service for name, service in everything.items()
            if name not in NOT_HERE and (not service.get("profiles")
                                         or set(service["profiles"]) & set(profiles))}
        self.ports = {(name, port): free_port() for name, service in self.services.items()
                      for port in self.container_ports(name, service)}
        self.running = {}
        self.postgres = None

    @staticmethod
    def container_ports(name, service):
        published = [int(port.split(":")[-1]) for port in service.get("ports", [])]
        return published + LISTENS.get(name, [])

    def port(self, name, container_port=None):
        if container_port is not None:
            return self.ports[name, container_port]
        return next(port for (service, _), port in self.ports.items() if service == name)

    def url(self, name):
        return f"http://{LOOPBACK}:{self.port(name)}"

    def placed(self, text):
        """host:port of a service becomes the loopback address and its free port."""
        for (name, port), here in self.ports.items():
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}:{port}(?!\d)", f"{LOOPBACK}:{here}", text)
        return text

    def environment(self, name):
        """What the container would see, and nothing of ours but the PATH."""
        service = self.services[name]
        env = dict(self.env_file) if "env_file" in service else {}
        env |= {key: str(value) for key, value in (service.get("environment") or {}).items()}
        env = {key: self.placed(value) for key, value in env.items()}
        for inside in self.mounts(name):
            for key, value in env.items():
                if inside in value and value.startswith("/"):
                    env[key] = value.replace(inside, str(self.volume(name, inside)))
        for key, container_port in (("PORT", 8000), ("METRICS_PORT", 9808),
                                    ("METRICS_PORT", 9809)):
            if (name, container_port) in self.ports:
                env[key] = str(self.ports[name, container_port])
        for key in ("HOST", "METRICS_HOST"):
            if key in env:
                env[key] = LOOPBACK
        env["PATH"] = os.environ["PATH"]
        for key in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            env[key] = harness.plain_env()[key]
        return env

    # --- what a command means here ---------------------------------------------

    def volume(self, name, inside):
        """The host's path of what is mounted at inside."""
        for volume in self.services[name].get("volumes", []):
            host, target = volume.split(":")[:2]
            if target == inside:
                return (self.source.parent / host).resolve()
        raise KeyError(f"{name} mounts nothing at {inside}")

    def own_folder(self, name):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def nginx(self, name):
        folder = self.own_folder(name)
        # Its workers are another user: what they write is theirs to find.
        for parent in [folder, *folder.parents]:
            if parent.stat().st_uid == os.geteuid() and parent != pathlib.Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
        text = self.placed(self.volume(name, "/etc/nginx/nginx.conf").read_text())
        mounted = {inside: self.volume(name, inside) for inside in self.mounts(name)
                   if inside.startswith("/etc/nginx/") and not inside.endswith("nginx.conf")}
        for inside, host in mounted.items():
            here = folder / inside.removeprefix("/etc/nginx/")
            here.parent.mkdir(exist_ok=True)
            if host.is_dir():
                shutil.copytree(host, here, dirs_exist_ok=True)
            else:
                here.write_text(self.nginx_placed(name, host.read_text()))
        text = self.nginx_placed(name, text)
        temporary = "".join(f"    {kind}_temp_path {folder}/{kind};\n"
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        text = text.replace("http {\n", "http {\n" + temporary)
        (folder / "nginx.conf").write_text(text)
        return ["nginx", "-c", folder / "nginx.conf", "-g", "daemon off;"]

    def nginx_placed(self, name, text):
        text = re.sub(r"listen (\d+)", lambda m: f"listen {LOOPBACK}:"
                      f"{self.ports[name, int(m[1])]}", text)
        folder = self.own_folder(name)
        return text.replace("/var/run/", f"{folder}/").replace("/etc/nginx/", f"{folder}/")

    def mounts(self, name):
        return [volume.split(":")[1] for volume in self.services[name].get("volumes", [])]

    def prometheus(self, name):
        folder = self.own_folder(name)
        source = self.volume(name, "/etc/prometheus")
        for part in ("alerts", "rules"):
            shutil.copytree(source / part, folder / part, dirs_exist_ok=True)
        config = yaml.safe_load(self.placed((source / "prometheus.yml").read_text()))
        for job in config["scrape_configs"]:
            # There is no name server for the services' names.
            for group in job.pop("dns_sd_configs", []):
                job["static_configs"] = [{"targets": [
                    self.placed(f"{host}:{group['port']}") for host in group["names"]]}]
        config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s",
                             "evaluation_interval": "1s"}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        words = [word.replace("/etc/prometheus/", f"{folder}/")
                 .replace("=/prometheus", f"={folder}/data")
                 for word in self.services[name]["command"]]
        return ["prometheus", *words, f"--web.listen-address={LOOPBACK}:{self.port(name)}"]

    def command(self, name):
        service = self.services[name]
        words = [self.placed(word) for word in service.get("command", [])]
        image = service.get("image", "").split(":")[0].split("/")[-1]
        if image == "nginx":
            return self.nginx(name)
        if image == "prometheus":
            return self.prometheus(name)
        if image == "alertmanager":
            config = self.volume(name, "/etc/alertmanager/alertmanager.yml")
            words = [word.replace("/etc/alertmanager/alertmanager.yml", str(config))
                     .replace("=/alertmanager", f"={self.own_folder(name)}") for word in words]
            return ["prometheus-alertmanager", *words, "--cluster.listen-address=",
                    f"--web.listen-address={LOOPBACK}:{self.port(name)}"]
        if image == "node-exporter":
            return ["prometheus-node-exporter",
                    f"--web.listen-address={LOOPBACK}:{self.port(name)}"]
        if words[0] == "redis-server":
            return [*words, "--port", self.port(name), "--bind", LOOPBACK, "--dir",
                    self.own_folder(name)]
        if words[0] == "celery":
            words = [word.replace("--port=5555", f"--port={self.ports.get((name, 5555))}")
                     for word in words]
            if "flower" in words:
                words.append(f"--address={LOOPBACK}")
            return [harness.PY57, "-m", *words]
        return [{"cricalgo-api": harness.API, "cricalgo-worker": harness.WORKER}[words[0]],
                *words[1:]]

    # --- life ------------------------------------------------------------------

    def healthy(self, name):
        """The service's own health check, in its environment."""
        check = self.services[name].get("healthcheck")
        if check is None:
            return True
        kind, *words = check["test"]
        assert kind == "CMD", check
        ours = {"cricalgo-api": [harness.API], "cricalgo-worker": [harness.WORKER],
                "pg_isready": ["pg_isready", "-h", LOOPBACK, "-p", self.port(name)],
                "redis-cli": ["redis-cli", "-p", self.port(name)], "curl": ["curl"]}
        words = [*ours[words[0]], *words[1:]]
        words = [str(word).replace("http://127.0.0.1/", self.url(name) + "/") for word in words]
        return subprocess.run(words, env=self.environment(name), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0

    def start(self, name):
        service = self.services[name]
        if service.get("image", "").startswith("postgres:"):
            folder = self.own_folder(name)
            self.postgres = ComposePostgres(folder, self.port(name), service["command"],
                                            self.environment(name))
            self.running[name] = self.postgres.process
            return
        context = (service.get("build") or {}).get("context", "..")
        # The Python worker's folder is its image's; ours need none.
        cwd = self.source.parent / context if context != ".." else self.own_folder(name)
        env = self.environment(name) | {"PYTHONDONTWRITEBYTECODE": "1"}
        self.running[name] = Process(name, self.command(name), self.folder, env, cwd)

    def up(self, *names):
        """Starts the named services (all when none) and what they depend on."""
        for name in names or self.services:
            if name in self.running:
                continue
            self.up(*self.wanted(name)) if self.wanted(name) else None
            self.start(name)
            wait_for(lambda: self.alive_and_healthy(name), f"{name} is healthy", 60, 0.1)

    def wanted(self, name):
        return [other for other in self.services[name].get("depends_on", [])
                if other in self.services]

    def alive_and_healthy(self, name):
        assert self.running[name].alive(), f"{name}:\n{self.running[name].log()[-3000:]}"
        return self.healthy(name)

    def kill(self, name):
        self.running.pop(name).kill()

    def down(self):
        problems = []
        for name, process in self.running.items():
            if name not in ("postgres", "redis") and process.alive():
                process.child.terminate()  # together; the loop waits for each
        for name in reversed(list(self.running)):
            if name == "postgres":
                self.postgres.stop()
            else:
                process = self.running[name]
                process.stop()
                if "Sanitizer" in process.log() or "runtime error:" in process.log():
                    problems.append(process.log()[-4000:])
        self.running.clear()
        assert not problems, problems[0]


def targets(prometheus_url):
    """{job: [health, …]} as Prometheus sees its targets."""
    import stack
    answer = json.loads(stack.http_get(prometheus_url + "/api/v1/targets")[1])
    found = {}
    for target in answer["data"]["activeTargets"]:
        found.setdefault(target["labels"]["job"], []).append(target["health"])
    return found

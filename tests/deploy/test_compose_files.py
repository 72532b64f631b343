# SPDX-License-Identifier: MIT
"""The files of compose/, each looked at by the tool that knows its kind, and by
own tests for what no tool sees. Each check is seen to fail on a bad sample."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

import harness
import stack
from harness import ROOT

COMPOSE = ROOT / "compose"
FILES = {"staging": COMPOSE / "docker-compose.staging.yml",
         "prod": COMPOSE / "docker-compose.prod.yml"}
PROFILES = ["monitoring", "mixed", "rabbitmq"]
CHECK = pathlib.Path(os.environ.get("CRICALGO_TOOLS", ROOT / "build-tools")) / "bin/composecheck"
REQUIRED = {"POSTGRES_PASSWORD": "p", "WEBHOOK_SECRET": "test-secret", "API_TOKEN": "test-token",
            "DATABASE_URL": "postgresql://u@db/c", "CELERY_BROKER_URL": "redis://r/0",
            "CELERY_RESULT_BACKEND": "redis://r/1", "CRICALGO_IMAGE": "cricalgo:1"}


def run(*command, **options):
    return subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)


def load(kind):
    return yaml.safe_load(FILES[kind].read_text())


@pytest.fixture
def tree(tmp_path):
    """A copy of what the compose files name, with an .env and a certificate."""
    shutil.copytree(COMPOSE, tmp_path / "compose")
    shutil.copytree(ROOT / "prometheus", tmp_path / "prometheus")
    shutil.copy(COMPOSE / ".env.example", tmp_path / "compose/.env")
    (tmp_path / "tls").mkdir()
    certificate = stack.make_certificate(tmp_path / "tls")
    certificate.rename(tmp_path / "tls/fullchain.pem")
    certificate.with_suffix(".key").rename(tmp_path / "tls/privkey.pem")
    return tmp_path


def check(tree, kind, *profiles, env=None):
    wanted = {**harness.plain_env(), **REQUIRED, "TLS_FOLDER": str(tree / "tls"), **(env or {})}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    return run(CHECK, tree / "compose" / FILES[kind].name, *profiles, env=wanted)


@pytest.mark.parametrize("kind,profiles", [("staging", []), ("staging", ["monitoring"]),
                                           ("staging", ["mixed"]), ("staging", ["rabbitmq"]),
                                           ("staging", PROFILES), ("prod", [])])
def test_a_compose_file_loads(tree, kind, profiles):
    done = check(tree, kind, *profiles)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("old,new,says", [
    ("restart: unless-stopped", "restrat: always", "restrat"),
    ("redis: {condition: service_healthy}", "redis: {condition: healthy}", "condition"),
    ("postgres: {condition: service_healthy}", "postgers: {condition: service_healthy}",
     "postgers"),
    ("redis_data:/data", "no_such_data:/data", "no_such_data"),
    ("127.0.0.1:8001:8000", "127.0.0.1:8001:port", "port"),
    ("127.0.0.1:8002:8000", "127.0.0.1:8001:8000", "published by"),
    ("./nginx.conf:", "./nginks.conf:", "nginks.conf"),
    ("dockerfile: compose/Dockerfile", "dockerfile: compose/Dokerfile", "Dokerfile"),
    ("interval: 10s", "interval: 10x", "interval"),
    ("${WEBHOOK_SECRET:?set", "${WEBHOOK_SECRET:?set it }${", "interpolation"),
])
def test_a_broken_compose_file_does_not_load(tree, old, new, says):
    path = tree / "compose" / FILES["staging"].name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    done = check(tree, "staging")
    assert done.returncode != 0 and says in done.stdout, done.stdout


@pytest.mark.parametrize("kind", FILES)
def test_a_secret_that_is_not_set_is_asked_for(tree, kind):
    (tree / "compose/.env").write_text("")
    done = check(tree, kind, env={"WEBHOOK_SECRET": None})
    assert done.returncode != 0 and "WEBHOOK_SECRET" in done.stdout, done.stdout


@pytest.mark.parametrize("kind", FILES)
def test_no_image_floats_and_only_nginx_is_open(kind):
    found = []
    for name, service in load(kind)["services"].items():
        image = service.get("image", "local:1")
        if not image.startswith("${") and (":" not in image or image.endswith(":latest")):
            found.append(f"{name}: {image}")
        for port in service.get("ports", []):
            if name != "nginx" and not port.startswith("127.0.0.1:"):
                found.append(f"{name}: {port}")
        if "build" not in service and name not in ("app1",) and "healthcheck" not in service \
                and not service.get("profiles"):
            found.append(f"{name}: no healthcheck")
    assert found == []


def test_the_original_ports_and_settings():
    services = load("staging")["services"]
    published = {name: [port.replace("127.0.0.1:", "") for port in services[name]["ports"]]
                 for name in ("app1", "app2", "app3", "nginx")}
    assert published == {"app1": ["8001:8000"], "app2": ["8002:8000"], "app3": ["8003:8000"],
                         "nginx": ["8000:80"]}
    environment = services["app1"]["environment"]
    assert environment["APP_ENV"] == "staging" and environment["DEBUG"] == "false"
    assert environment["DB_POOL_SIZE"] == "${DB_POOL_SIZE:-20}"
    assert environment["DB_MAX_OVERFLOW"] == "${DB_MAX_OVERFLOW:-30}"
    worker = services["worker"]["environment"]
    assert worker["CELERY_WORKER_CONCURRENCY"] == "${CELERY_WORKER_CONCURRENCY:-8}"
    assert {name for name, service in services.items() if not service.get("profiles")} == {
        "app1", "app2", "app3", "nginx", "postgres", "redis", "worker"}


def test_the_pools_fit_into_the_database():
    services = load("staging")["services"]
    programs = ["app1", "app2", "app3", "worker"]
    limit = int(re.search(r"max_connections=(\d+)", " ".join(services["postgres"]["command"]))[1])
    assert len(programs) * (20 + 30) + 10 <= limit


@pytest.mark.parametrize("kind", FILES)
def test_a_stop_waits_for_running_tasks(kind):
    help_text = run(harness.WORKER, "--help", env=harness.plain_env()).stdout
    soft = int(re.search(r"CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT\n.*\(default (\d+)\)",
                         help_text)[1])
    services = load(kind)["services"]
    assert int(services["worker"]["stop_grace_period"].rstrip("s")) > soft
    assert int(services["app1"]["stop_grace_period"].rstrip("s")) > 15


# --- .env.example ------------------------------------------------------------


def variables_of(program):
    """Every environment variable in a program's --help, secrets' files too."""
    text = run(program, "--help", env=harness.plain_env()).stdout
    found = set()
    for line in text.splitlines():
        if re.match(r"  \S", line):
            found |= set(re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b|\b(?:HOST|PORT|DEBUG|CURRENCY)\b",
                                    line))
    return found


def env_example(text=None):
    text = text or (COMPOSE / ".env.example").read_text()
    return set(re.findall(r"(?m)^#?([A-Z][A-Z0-9_]*)=", text))


def test_env_example_has_every_variable():
    programs = variables_of(harness.API) | variables_of(harness.WORKER)
    assert {"WEBHOOK_SECRET_FILE", "DB_POOL_SIZE", "METRICS_PORT", "HOST"} <= programs
    compose = {name for path in FILES.values()
               for name in re.findall(r"\$\{([A-Z0-9_]+)", path.read_text())}
    aliases = {"REDIS_URL", "CONFIRMATIONS_REQUIRED", "COMPOSE_PROJECT_NAME"}
    assert env_example() == programs | compose | aliases
    # A variable that somebody adds is missed.
    assert env_example("#NO_SUCH=1\n" + (COMPOSE / ".env.example").read_text()) - programs \
        - compose - aliases == {"NO_SUCH"}


def test_env_example_shows_the_defaults():
    """Uncommented as it is, it changes nothing: both programs take it."""
    text = (COMPOSE / ".env.example").read_text()
    settings = dict(re.findall(r"(?m)^#([A-Z][A-Z0-9_]*)=(.+)$", text))
    for name in ("COMPOSE_PROJECT_NAME", "TLS_FOLDER"):
        del settings[name]
    for program in (harness.API, harness.WORKER):
        done = run(program, "--check-config",
                   env=harness.plain_env(**settings, WEBHOOK_SECRET="test-secret", API_TOKEN="test-token"))
        assert done.returncode == 0, done.stdout
        for line in done.stdout.splitlines():
            name, _, value = line.partition("=")
            # Programs whose defaults differ are told of in the comment.
            if name in settings and "api:" not in comment(text, name):
                assert value in (settings[name], "") or float(value) == float(settings[name]), line


def comment(text, name):
    return re.search(rf"(?m)^# (.*)\n#{name}=", text)[1]


# --- Dockerfile --------------------------------------------------------------


def hadolint(path):
    return run("hadolint", "--failure-threshold", "warning", path)


@pytest.mark.parametrize("path", [COMPOSE / "Dockerfile", COMPOSE / "mixed/Dockerfile"],
                         ids=lambda p: p.parent.name)
def test_a_dockerfile_is_sound(path):
    done = hadolint(path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("old,new", [("FROM debian:12-slim AS build", "FROM debian AS build"),
                                     ("--from=build", "--from=biuld"),
                                     ("USER 10001:10001", "USER root"),
                                     ("install -y", "install")])
def test_a_bad_dockerfile_is_noticed(tmp_path, old, new):
    text = (COMPOSE / "Dockerfile").read_text()
    assert old in text
    (tmp_path / "Dockerfile").write_text(text.replace(old, new))
    assert hadolint(tmp_path / "Dockerfile").returncode != 0


def docker_packages():
    """(build stage's, image's) packages."""
    text = re.sub(r"\\\n", " ", (COMPOSE / "Dockerfile").read_text())
    return [set(re.search(r"--no-install-recommends (.*?) &&", run_line)[1].split())
            for run_line in re.findall(r"(?m)^RUN apt-get.*$", text)]


def test_the_build_stage_installs_what_a_build_needs():
    text = (ROOT / "scripts/lib/packages.sh").read_text()
    needed = set(re.search(r"BUILD_PACKAGES=\((.*?)\)", text, re.DOTALL)[1].split())
    assert docker_packages()[0] == needed


def needed_packages(programs):
    """Packages of the libraries that the programs name."""
    libraries = {}
    for program in programs:
        named = set(re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", program).stdout))
        paths = dict(re.findall(r"(\S+) => (\S+)", run("ldd", program).stdout))
        libraries |= {name: paths[name] for name in named if name in paths
                      and not re.match(r"lib(asan|ubsan|gcc_s|c|m)\.so", name)}
    # Debian 12 has /lib in /usr; dpkg knows a file under one of the two names.
    forms = {form for path in libraries.values()
             for form in (path, os.path.realpath(path), path.removeprefix("/usr"))}
    owners = dict((path, package) for package, path in re.findall(
        r"(?m)^([^:\s]+)(?::\w+)?: (\S+)$", run("dpkg", "-S", *forms).stdout))
    return {next(owners[form] for form in (path, os.path.realpath(path),
                                           path.removeprefix("/usr")) if form in owners)
            for path in libraries.values()}


def test_the_image_has_every_library():
    programs = [harness.API, harness.WORKER, harness.CELERYC]
    needed = needed_packages(programs)
    assert needed >= {"libhiredis0.14", "libpq5", "libssl3", "libcivetweb1"}
    assert needed - docker_packages()[1] == set()


def test_what_the_dockerfile_copies_is_there():
    ignored = (COMPOSE / "Dockerfile.dockerignore").read_text().split("\n")
    for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", (COMPOSE / "Dockerfile").read_text()):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored, f"{source} is not sent to the builder"
    assert (COMPOSE / "mixed/tasks.py").exists()


# --- nginx -------------------------------------------------------------------


def nginx_test(folder, text, tls=False):
    """nginx -t, with the names of the apps resolvable in a mount namespace of its
    own and its folders where the configuration wants them."""
    conf = folder / "nginx.conf"
    text = text.replace("/etc/nginx/", f"{folder}/etc/").replace("/var/run/", f"{folder}/")
    conf.write_text(text)
    for name in ("server.d", "trusted-proxies.d", "tls"):
        (folder / "etc" / name).mkdir(parents=True, exist_ok=True)
    if tls:
        tls_text = (COMPOSE / "nginx/tls.conf").read_text()
        (folder / "etc/server.d/tls.conf").write_text(
            tls_text.replace("/etc/nginx/", f"{folder}/etc/"))
    script = ("h=$(mktemp); cp /etc/hosts $h;"
              "for n in app1 app2 app3; do echo 127.0.0.1 $n >>$h; done;"
              f"mount --bind $h /etc/hosts && exec nginx -t -q -c {conf}")
    return run("unshare", "-m" if os.geteuid() == 0 else "-rm", "--propagation", "private",
               "sh", "-c", script)


def test_nginx_takes_its_configuration(tmp_path):
    done = nginx_test(tmp_path, (COMPOSE / "nginx.conf").read_text())
    assert done.returncode == 0, done.stdout


def test_nginx_takes_it_with_tls(tmp_path):
    (tmp_path / "etc/tls").mkdir(parents=True)
    done = nginx_test(tmp_path, (COMPOSE / "nginx.conf").read_text(), tls=True)
    assert done.returncode != 0 and "fullchain.pem" in done.stdout
    certificate = stack.make_certificate(tmp_path)
    shutil.copy(certificate, tmp_path / "etc/tls/fullchain.pem")
    shutil.copy(certificate.with_suffix(".key"), tmp_path / "etc/tls/privkey.pem")
    done = nginx_test(tmp_path, (COMPOSE / "nginx.conf").read_text(), tls=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("old,new", [("server_tokens off", "server_token off"),
                                     ("$remote_addr;", "$remote_adr;"),
                                     ("server app3:8000", "server app4:8000")])
def test_a_broken_nginx_configuration_is_refused(tmp_path, old, new):
    text = (COMPOSE / "nginx.conf").read_text()
    assert old in text
    assert nginx_test(tmp_path, text.replace(old, new)).returncode != 0


def test_nginx_configuration_is_safe(tmp_path):
    done = run("gixy", COMPOSE / "nginx.conf")
    assert done.returncode == 0, done.stdout
    text = (COMPOSE / "nginx.conf").read_text()
    (tmp_path / "bad.conf").write_text(text.replace("Host $host", "Host $http_host"))
    assert run("gixy", tmp_path / "bad.conf").returncode != 0


def test_nginx_limits_fit_the_api():
    nginx = (COMPOSE / "nginx.conf").read_text()
    body = (ROOT / "api/webhook/body.h").read_text()
    limit = re.search(r"WEBHOOK_BODY_MAX = (\d+) \* 1024", body)
    assert f"client_max_body_size {limit[1]}k;" in nginx
    # Only webhooks, which the ledger deduplicates, are sent again after a failure.
    locations = re.findall(r"location ([^{]*)\{(.*?)\n        \}", nginx, re.DOTALL)
    replayed = [where.strip() for where, text in locations if "non_idempotent" in text]
    assert replayed == ["~ ^/api/v1/webhooks?/"]
    assert "non_idempotent" not in re.sub(r"(?s)location.*?\n        \}", "", nginx)


def test_every_target_of_prometheus_is_a_service():
    services = load("staging")["services"]
    config = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())
    groups = [group for job in config["scrape_configs"] for group in job.get("static_configs", [])]
    groups += [group for manager in config["alerting"]["alertmanagers"]
               for group in manager["static_configs"]]
    names = {target.split(":")[0] for group in groups for target in group["targets"]}
    names |= {name for job in config["scrape_configs"] for group in job.get("dns_sd_configs", [])
              for name in group["names"]}
    assert names == {"app1", "app2", "app3", "worker", "node-exporter", "alertmanager"}
    assert names <= set(services)
    assert services["worker"]["environment"]["METRICS_PORT"] == "9808"


# --- YAML --------------------------------------------------------------------


def yaml_faults(*paths):
    done = run("yamllint", "-d", "{rules: {key-duplicates: enable, trailing-spaces: enable}}",
               *paths)
    return done.stdout if done.returncode else ""


def test_no_key_is_given_twice(tmp_path):
    """YAML's last one wins, in silence."""
    paths = [*COMPOSE.glob("*.yml"), *(ROOT / "prometheus").rglob("*.y*ml")]
    assert len(paths) > 10 and yaml_faults(*paths) == ""
    (tmp_path / "twice.yml").write_text("a: 1\na: 2\n")
    assert "duplication" in yaml_faults(tmp_path / "twice.yml")

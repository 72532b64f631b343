#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The include rule of docs/architecture.md: who may include whom. Prints what breaks
it; --self-test shows that it can."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA_ROOMS = ("backend/", "ledger/")
# Files that start so must not include headers that start so.
FORBIDDEN = [
    ("proto/", ("base/", "broker/", "backend/", "client/", "conf/", "deposits/", "http/", "ledger/",
                "log/", "metrics/", "net/", "redis/", "amqp/", "pool/", "remote/", "runtime/", "task/")),
    ("common/", ("pool/", "remote/", "runtime/", "task/", "cli/", "webhook/", "ingest/",
                 "handlers/")),
    ("common/broker/", DATA_ROOMS),
    ("common/backend/", ("broker/", "ledger/")),
    ("common/ledger/", ("broker/", "backend/", "client/", "redis/", "amqp/", "deposits/")),
    ("common/base/", ("broker/", "backend/", "client/", "conf/", "http/", "ledger/", "log/",
                      "metrics/", "net/", "redis/", "amqp/")),
    # Transports below the broker and the backend do not know them, nor each other.
    ("common/amqp/", ("broker/", "backend/", "client/", "redis/")),
    ("common/redis/", ("broker/", "backend/", "client/", "amqp/")),
    ("worker/runtime/", ("deposits/", "ledger/")),
    ("worker/remote/", ("deposits/", "ledger/")),
    ("worker/pool/", ("deposits/", "ledger/")),
    ("worker/task/", ("deposits/", "ledger/", "runtime/")),
    ("worker/deposits/", ("broker/", "runtime/", "pool/", "remote/")),
    ("worker/", ("webhook/", "ingest/", "handlers/")),
    ("api/", ("runtime/", "pool/", "remote/", "task/", "broker/", "celery/worker.h",
              "celery/task.h")),
]


def broken(path, text):
    """What of a file's includes breaks the rule."""
    found = []
    for header in re.findall(r'^#include [<"]([^">]+)[">]', text, re.M):
        if header.startswith("../"):
            found.append(f"{path}: {header}")
        for start, headers in FORBIDDEN:
            if path.startswith(start) and header.startswith(headers):
                found.append(f"{path}: {header}")
    return found


def main():
    if "--self-test" in sys.argv:
        assert broken("proto/a.c", '#include "log/log.h"\n')
        assert broken("worker/runtime/a.c", '#include "ledger/ledger.h"\n')
        assert broken("common/broker/a.c", '#include "../x.h"\n')
        assert not broken("worker/deposits/a.c", '#include "ledger/ledger.h"\n')
        return 0
    files = subprocess.run(["git", "ls-files", "*.c", "*.h"], cwd=ROOT, check=True, text=True,
                           stdout=subprocess.PIPE).stdout.split()
    found = [line for path in files for line in broken(path, (ROOT / path).read_text())]
    print("\n".join(found))
    return 1 if found or not files else 0


sys.exit(main())

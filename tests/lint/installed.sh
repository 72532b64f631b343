#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# installed.sh BUILD_DIR: what `meson install` puts down is enough to write a
# worker: headers, celery.pc and the library, which exports celery_ names alone.
set -euo pipefail
build=$1
source=$(cd "$(dirname "$0")/../.." && pwd)
dest=$(mktemp -d)
trap 'rm -rf "$dest"' EXIT
meson install -C "$build" --destdir "$dest" --quiet --no-rebuild >/dev/null

pc=$(find "$dest" -name celery.pc)
[ -n "$pc" ] || { echo "celery.pc is not installed"; exit 1; }
export PKG_CONFIG_SYSROOT_DIR=$dest PKG_CONFIG_PATH=${pc%/*}
read -ra flags <<<"$(pkg-config --cflags --libs celery)"

cat >"$dest/main.c" <<'C'
#include <celery/producer.h>
#include <celery/worker.h>

static void add(struct celery_request *req, void *data)
{
    int64_t x = 0;
    int64_t y = 0;
    (void)data;
    if (celery_arg_int(req, 0, "x", &x) && celery_arg_int(req, 1, "y", &y))
        celery_return_int(req, x + y);
}

int main(int argc, char **argv)
{
    const struct celery_task task = {.name = "t.add", .run = add};
    struct celery_error err = {0};
    struct celery_app *app = celery_app_new("own-worker");
    int status = 1;
    if (celery_app_register(app, &task, &err) == CELERY_OK)
        status = celery_worker_main(app, argc, argv);
    celery_app_free(app);
    return status;
}
C
gcc -std=c11 -Wall -Wextra -Wpedantic -Werror "$dest/main.c" "${flags[@]}" -o "$dest/own-worker"
lib=$(find "$dest" -name 'libcelery.so.*' | head -n 1)
LD_LIBRARY_PATH=${lib%/*} "$dest/own-worker" --version | grep -q '^own-worker [0-9]'

# A module needs the headers alone.
gcc -std=c11 -Wall -Wextra -Wpedantic -Werror -shared -fPIC \
  "$source/tests/interop/t.c" $(pkg-config --cflags celery) -o "$dest/t.so"

others=$(nm -D --defined-only "$lib" | awk '{print $3}' | grep -v '^celery_' || true)
[ -z "$others" ] || { echo "exported beside celery_: $others"; exit 1; }
if readelf -d "$lib" | grep -qE 'libpq|sqlite'; then
  echo "libcelery needs a database library"
  exit 1
fi

# SPDX-License-Identifier: MIT
# Which Debian packages the project needs, and how they get installed.
# Sourced, not run.

BUILD_PACKAGES=(
  build-essential meson ninja-build pkg-config python3
  libhiredis-dev librabbitmq-dev libpq-dev libcjson-dev libcivetweb-dev libsqlite3-dev
  libssl-dev zlib1g-dev libbz2-dev liblzma-dev libzstd-dev libbrotli-dev
  libmsgpack-dev
)
TEST_PACKAGES=(
  check clang clang-format clang-tidy libclang-rt-14-dev
  redis-server rabbitmq-server postgresql postgresql-client spin python3-venv
  procps curl nginx-light haproxy
)

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null 2>&1; then
    sudo "$@"
  else
    die "These packages are missing and need root or sudo to install: ${*: -1}"
  fi
}

# Installs what is missing of the packages given; says what it installs.
ensure_packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null |
      grep -qx installed || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  say "Installing with apt: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Configures build directory $1 (once) with the meson options that follow, and
# builds the targets in BUILD_TARGETS (all when empty).
build_into() {
  local dir=$1
  shift
  if [ ! -f "$dir/build.ninja" ]; then
    meson setup "$dir" "$@" >"$dir.setup.log" 2>&1 || {
      cat "$dir.setup.log" >&2
      die "meson setup failed"
    }
  fi
  # shellcheck disable=SC2086
  ninja -C "$dir" ${BUILD_TARGETS:-} >"$dir.build.log" 2>&1 || {
    tail -n 40 "$dir.build.log" >&2
    die "the build failed; the whole log is $dir.build.log"
  }
}

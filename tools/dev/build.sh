# ./dev build, test, fmt.

cmd_build() {
  local config=()
  if [ "${1:-}" = --release ]; then
    config=(--config=release)
    shift
  fi
  setup_build
  if [ $# = 0 ]; then set -- //...; fi
  run_bazel build "${config[@]}" "$@"
  prune_cache
}

cmd_test() {
  setup_build
  if [ $# = 0 ]; then set -- //...; fi
  run_tests "$@"
}

# run_tests [bazel options and targets]: builds, runs, and closes with a line
# `N passed, N failed` over test cases. Fails if one failed or did not build.
run_tests() {
  local events status=0
  events=$(mktemp)
  run_bazel test --keep_going --build_event_json_file="$events" "$@" || status=$?
  prune_cache
  "$PYTHON" tools/dev/count_tests.py --bazel-status="$status" "$events" ||
    status=$?
  rm -f "$events"
  return "$status"
}

cmd_fmt() {
  setup_lint
  cpp_files | xargs -r clang-format-14 -i
  build_files | xargs -r "$BUILDIFIER" -mode=fix -lint=off
}

cpp_files() { git ls-files --cached --others --exclude-standard '*.h' '*.cc'; }

build_files() {
  git ls-files --cached --others --exclude-standard \
    WORKSPACE '*.bazel' '*.bzl'
}

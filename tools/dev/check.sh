# ./dev check: everything that must hold before a change lands. Goes on after a
# failed step, so that one run shows all that is wrong.

CHECK_STEPS=(format rules protos tidy test clang asan tsan)

declare -A CHECK_MEANS=(
  [format]="clang-format and buildifier would change nothing"
  [rules]="tools/lint/rules.py: layers, sleeps in tests, links, pages of formats"
  [protos]="buf lint, and buf breaking against the last release"
  [tidy]="clang-tidy of the libraries and the services' decisions"
  [test]="all tests under g++"
  [clang]="all builds under clang with thread safety and layering as errors"
  [asan]="all tests under address and undefined behaviour sanitizers"
  [tsan]="all tests under the thread sanitizer"
)

cmd_check() {
  local steps=("$@") step
  [ ${#steps[@]} -gt 0 ] || steps=("${CHECK_STEPS[@]}")
  if [ "${steps[0]}" = list ]; then
    for step in "${CHECK_STEPS[@]}"; do
      printf '  %-8s %s\n' "$step" "${CHECK_MEANS[$step]}"
    done
    return 0
  fi
  for step in "${steps[@]}"; do
    [ -n "${CHECK_MEANS[$step]:-}" ] ||
      fail "no step '$step'; there are: ${CHECK_STEPS[*]}"
  done
  setup_lint

  local summary=() failed=0 began outcome
  for step in "${steps[@]}"; do
    say "== $step: ${CHECK_MEANS[$step]}"
    began=$SECONDS
    # A subshell with errexit of its own: `if check_…` would switch it off.
    set +e
    (
      set -e
      "check_$step"
    )
    outcome=$?
    set -e
    if [ "$outcome" = 0 ]; then
      summary+=("${GREEN}ok$PLAIN      $(printf '%-8s %5ss' "$step" $((SECONDS - began)))")
    else
      summary+=("${RED}FAILED$PLAIN  $(printf '%-8s %5ss' "$step" $((SECONDS - began)))  ./dev check $step")
      failed=1
    fi
  done
  say "== summary"
  printf '%s\n' "${summary[@]}"
  return "$failed"
}

check_format() {
  cpp_files | xargs -r clang-format-14 --dry-run -Werror
  build_files | xargs -r "$BUILDIFIER" -mode=check -lint=warn -warnings=-native-sh-test
}

check_rules() { "$PYTHON" tools/lint/rules.py; }

check_protos() {
  "$BUF" lint
  local release
  release=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
  if [ -z "$release" ]; then
    echo "no release is tagged yet: nothing to be compatible with"
    return 0
  fi
  "$BUF" breaking --against ".git#tag=$release"
}

# Generated headers must be there, so the libraries are built first. A file that
# includes gRPC takes clang-tidy most of a minute, so those are left out.
check_tidy() {
  run_bazel build --keep_going //proto/... //lib/...
  git ls-files 'lib/*.cc' 'services/*/core/*.cc' 'services/storage/store/*.cc' \
    'services/tracker/state/*.cc' 'clients/cli/*.cc' |
    grep -v -e '^lib/rpc/' -e '_test\.cc$' -e '_bench\.cc$' |
    xargs -r -n 4 -P "$(nproc)" bash -c '
      clang-tidy-14 --quiet "$@" -- -std=c++20 -I. -Ibazel-bin \
        -Ibazel-bin/proto -Ibazel-bin/third_party/googleapis \
        -Ithird_party/googleapis 2> >(grep -v "warnings generated" >&2)' tidy
}

check_test() { run_tests //...; }
check_clang() { run_bazel build --keep_going --config=clang //...; }
check_asan() { run_tests --config=asan //...; }
check_tsan() { run_tests --config=tsan //...; }

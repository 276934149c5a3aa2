# ./dev soak: tests that draw numbers, run for long with seeds that nobody chose.
#
# Crash tests are those named *_crash_test; a test of another kind has the tag
# soak-<kind>. All of them use SeedRun (lib/testing/seed_run.h), so --seed=N and
# --minutes=M mean the same everywhere, and a failure names the seed that
# repeats it.

cmd_soak() {
  local kind=${1:-} minutes=10 seed=$((RANDOM * 32768 + RANDOM))
  [ $# -gt 0 ] && shift
  while [ $# -gt 0 ]; do
    case $1 in
      --minutes) minutes=$2 && shift 2 ;;
      --seed) seed=$2 && shift 2 ;;
      --minutes=*) minutes=${1#*=} && shift ;;
      --seed=*) seed=${1#*=} && shift ;;
      *) fail "soak takes --minutes N and --seed S, not '$1'" ;;
    esac
  done
  [[ $minutes =~ ^[0-9]+$ && $seed =~ ^[0-9]+$ ]] ||
    fail "--minutes and --seed are whole numbers"
  case $kind in
    fuzz) soak_fuzz "$minutes" "$seed" ;;
    chaos | crash | large | simulation) soak_seeds "$kind" "$minutes" "$seed" ;;
    *) fail "soak takes chaos, crash, fuzz, large or simulation, not '$kind'" ;;
  esac
}

# Runs the tests of a kind in turn, a minute each, until time is up.
soak_seeds() {
  local kind=$1 minutes=$2 seed=$3 targets=() target rounds=0
  setup_build
  mapfile -t targets < <(run_bazel query --output=label \
    "filter('_${kind}_test\$', tests(//...)) + attr(tags, '\\bsoak-$kind\\b', tests(//...))" \
    2>/dev/null | sort -u)
  [ ${#targets[@]} -gt 0 ] || fail "this version has no $kind tests"
  say "soak $kind: ${#targets[@]} tests, $minutes minutes, from seed $seed on"
  printf '  %s\n' "${targets[@]}"
  run_bazel build --config=release "${targets[@]}"

  local end=$((SECONDS + minutes * 60)) log args
  log=$(mktemp)
  while :; do
    for target in "${targets[@]}"; do
      args=("--test_arg=--seed=$seed" --test_arg=--minutes=1)
      # Without a minute to spend: one seed each, to see that all is well.
      [ "$minutes" -gt 0 ] || args=("--test_arg=--seed=$seed")
      if ! run_bazel test --config=release "${args[@]}" --test_output=all \
        --nocache_test_results "$target" >"$log" 2>&1; then
        cat "$log"
        rm -f "$log"
        fail "$target failed; the seed is above. Again:
  bazel test --config=release --test_arg=--seed=SEED $target"
      fi
      # What a seed has done, of the tests that say so.
      grep -E '^[a-z]+: seed [0-9]+, ' "$log" || true
      if [ "$rounds" -gt 0 ] && [ "$SECONDS" -ge "$end" ]; then break 2; fi
    done
    rounds=$((rounds + 1))
    printf 'round %d, from seed %d on: nothing found\n' "$rounds" "$seed"
    # Far enough that the next round meets none of these again.
    seed=$((seed + 1000000))
    if [ "$SECONDS" -ge "$end" ]; then break; fi
  done
  rm -f "$log"
  say "soak $kind: nothing found"
}

# libFuzzer on every fuzz target, an equal share of the time for each. What it
# learns stays in the cache; what it breaks on is left in .cairn/fuzz.
soak_fuzz() {
  local minutes=$1 seed=$2 targets=() target name share failed=0
  setup_lint
  mapfile -t targets < <(run_bazel query --output=label \
    "attr(tags, '\\bfuzzer\\b', //...)" 2>/dev/null | sort)
  [ ${#targets[@]} -gt 0 ] || fail "there are no fuzz targets"
  share=$((minutes * 60 / ${#targets[@]}))
  [ "$share" -gt 5 ] || share=5
  say "soak fuzz: ${#targets[@]} targets, $share s each, seed $seed"
  run_bazel build --config=fuzz "${targets[@]}"
  mkdir -p .cairn/fuzz
  for target in "${targets[@]}"; do
    name=${target#//}
    local package=${name%%:*} corpus=$CACHE/fuzz/${name//[\/:]/_}
    mkdir -p "$corpus"
    local known=()
    if [ -d "$package/testdata" ]; then known=("$package/testdata"); fi
    say "-- $target"
    if ! "$(built_binary "$target")" -seed="$seed" -max_total_time="$share" \
      -print_final_stats=1 -artifact_prefix=".cairn/fuzz/${name//[\/:]/_}-" \
      "$corpus" "${known[@]}" >.cairn/fuzz/log 2>&1 </dev/null; then
      tail -n 60 .cairn/fuzz/log
      failed=1
    else
      grep -E 'stat::(number_of_executed_units|new_units_added)' .cairn/fuzz/log || true
    fi
  done
  if [ "$failed" != 0 ]; then
    fail "the inputs that broke something are in .cairn/fuzz; put them into testdata"
  fi
  say "soak fuzz: nothing found"
}

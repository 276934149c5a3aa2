# ./dev demo and ./dev bench: release builds, driven by Python programs.

cmd_demo() {
  setup_build
  say "Building cairn (the first time takes some minutes)"
  run_bazel build --config=release --noshow_progress --ui_event_filters=-info \
    //services/standalone:cairn-standalone //clients/cli:cairn
  prune_cache
  "$PYTHON" tools/demo/demo.py \
    --standalone="$(built_binary //services/standalone:cairn-standalone)" \
    --cairn="$(built_binary //clients/cli:cairn)" "$@"
}

cmd_bench() {
  setup_build
  run_bazel build --config=bench --ui_event_filters=-info \
    //services/standalone:cairn-standalone //services/tracker:cairn-tracker \
    //services/storage:cairn-storage //clients/cli:cairn //clients/probe:cairn-probe
  prune_cache
  "$PYTHON" tools/bench/bench.py \
    --standalone="$(built_binary //services/standalone:cairn-standalone)" \
    --tracker="$(built_binary //services/tracker:cairn-tracker)" \
    --storage="$(built_binary //services/storage:cairn-storage)" \
    --cairn="$(built_binary //clients/cli:cairn)" \
    --probe="$(built_binary //clients/probe:cairn-probe)" "$@"
}

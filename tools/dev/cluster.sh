# ./dev cluster: a cluster of real processes on this machine, for people and for
# tests by hand.
#
#   DIR/cluster_id, DIR/secret        what makes its processes members
#   DIR/tracker0/{config,log,ready,pid,program,data/}
#   DIR/storage-group1-0/{config,log,ready,pid,program,path0/,…}   member 0 of
#   group1
#
# A `pid` file holds the process and the time at which it started (in the
# kernel's ticks), so that a number that another process has by now is never
# taken for ours.

CLUSTER_READY_SECONDS=60
CLUSTER_STOP_SECONDS=60

cmd_cluster() {
  local action=${1:-} dir=$ROOT/.cairn/cluster groups=1 members=1 trackers=1 paths=1 names=()
  [ $# -gt 0 ] && shift
  while [ $# -gt 0 ]; do
    case $1 in
      --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
      [!-]*) names+=("$1") && shift ;;
      --dir) dir=$(realpath -m "$2") && shift 2 ;;
      --groups) groups=$2 && shift 2 ;;
      --members) members=$2 && shift 2 ;;
      --trackers) trackers=$2 && shift 2 ;;
      --paths) paths=$2 && shift 2 ;;
      *) fail "cluster takes --dir, --groups, --members, --trackers and --paths, not '$1'" ;;
    esac
  done
  local number
  for number in "$groups" "$members" "$trackers" "$paths"; do
    [[ $number =~ ^[1-9][0-9]?$ ]] || fail "'$number' is not a number from 1 to 99"
  done
  local name
  for name in "${names[@]}"; do
    [[ $action =~ ^(start|stop|kill)$ ]] || fail "cluster $action takes no '$name'"
    [ -s "$dir/$name/config" ] || fail "$dir has no process '$name'; ./dev cluster status lists them"
  done
  case $action in
    start)
      if [ ${#names[@]} -gt 0 ]; then
        cluster_start_again "$dir" "${names[@]}"
      else
        cluster_start "$dir" "$groups" "$members" "$trackers" "$paths"
      fi
      ;;
    add) cluster_add "$dir" "$groups" "$paths" ;;
    stop) cluster_stop "$dir" "${names[@]}" ;;
    kill)
      [ ${#names[@]} -gt 0 ] || fail "cluster kill takes the names of processes"
      cluster_kill "$dir" "${names[@]}"
      ;;
    status) cluster_status "$dir" ;;
    *) fail "cluster takes start, add, stop, kill or status, not '$action'" ;;
  esac
}

cluster_start() {
  local dir=$1 groups=$2 members=$3 trackers=$4 paths=$5 i group member
  mkdir -p "$dir"
  local daemon
  for daemon in "$dir"/*/; do
    if cluster_alive "$daemon"; then
      fail "a cluster runs in $dir; ./dev cluster stop --dir $dir"
    fi
  done
  setup_build
  run_bazel build --config=release --ui_event_filters=-info \
    //services/tracker:cairn-tracker //services/storage:cairn-storage \
    //clients/cli:cairn
  local tracker_program storage_program
  # The real files: bazel-bin points elsewhere after the next build.
  tracker_program=$(realpath "$(built_binary //services/tracker:cairn-tracker)")
  storage_program=$(realpath "$(built_binary //services/storage:cairn-storage)")
  realpath "$(built_binary //clients/cli:cairn)" >"$dir/cairn_program"

  # What is there is kept, so that a cluster can be started again with its data.
  [ -s "$dir/cluster_id" ] || cat /proc/sys/kernel/random/uuid >"$dir/cluster_id"
  if [ ! -s "$dir/secret" ]; then
    (umask 077 && head -c 32 /dev/urandom | base64 >"$dir/secret")
  fi

  local addresses=() name
  for ((i = 0; i < trackers; i++)); do
    addresses+=("$(cluster_address "$dir/tracker$i")")
  done
  for ((i = 0; i < trackers; i++)); do
    name=tracker$i
    mkdir -p "$dir/$name"
    {
      cluster_common_config "$dir" "$name" "${addresses[$i]}"
      echo "data_dir: \"$dir/$name/data\""
      local other
      for other in "${addresses[@]}"; do
        [ "$other" = "${addresses[$i]}" ] || echo "trackers: \"$other\""
      done
    } >"$dir/$name/config"
    cluster_launch "$dir/$name" "$tracker_program"
  done
  printf '%s\n' "${addresses[@]}" >"$dir/trackers"
  echo "$storage_program" >"$dir/storage_program"
  for ((group = 1; group <= groups; group++)); do
    for ((member = 0; member < members; member++)); do
      cluster_member "$dir" "$group" "$member" "$paths"
    done
  done
  for daemon in "$dir"/*/; do
    cluster_await_ready "$daemon"
  done

  local list
  list=$(IFS=, && echo "${addresses[*]}")
  say "The cluster runs in $dir"
  cluster_status "$dir"
  cat <<TEXT

  export CAIRN_TRACKERS=$list
  $(cat "$dir/cairn_program") put README.md
  ./dev cluster stop$([ "$dir" = "$ROOT/.cairn/cluster" ] || echo " --dir $dir")
TEXT
}

# A member that is configured and launched.
cluster_member() {
  local dir=$1 group=$2 member=$3 paths=$4 path
  local name=storage-group$group-$member
  mkdir -p "$dir/$name"
  {
    cluster_common_config "$dir" "$name" "$(cluster_address "$dir/$name")"
    echo "group: \"group$group\""
    sed 's/.*/trackers: "&"/' "$dir/trackers"
    for ((path = 0; path < paths; path++)); do
      echo "store_paths { directory: \"$dir/$name/path$path\" }"
    done
  } >"$dir/$name/config"
  cluster_launch "$dir/$name" "$(cat "$dir/storage_program")"
}

# One more member of a group, which may be a new one.
cluster_add() {
  local dir=$1 group=$2 paths=$3 member=0
  [ -s "$dir/storage_program" ] || fail "there is no cluster in $dir; ./dev cluster start"
  while [ -e "$dir/storage-group$group-$member/config" ]; do member=$((member + 1)); done
  cluster_member "$dir" "$group" "$member" "$paths"
  cluster_await_ready "$dir/storage-group$group-$member"
  say "storage-group$group-$member runs"
}

cluster_start_again() {
  local dir=$1 name
  shift
  for name in "$@"; do
    if cluster_alive "$dir/$name"; then fail "$name runs already"; fi
    cluster_launch "$dir/$name" "$(cat "$dir/$name/program")"
  done
  for name in "$@"; do cluster_await_ready "$dir/$name"; done
  say "started: $*"
}

cluster_kill() {
  local dir=$1 name pid began
  shift
  for name in "$@"; do
    cluster_alive "$dir/$name" || fail "$name does not run"
    read -r pid began <"$dir/$name/pid"
    kill -KILL "$pid"
    while cluster_alive "$dir/$name"; do sleep 0.02; done
    rm -f "$dir/$name/pid" "$dir/$name/ready"
  done
  say "killed: $*"
}

cluster_common_config() {
  local dir=$1 name=$2 address=$3
  cat <<TEXT
name: "$name"
cluster_id: "$(cat "$dir/cluster_id")"
cluster_secret_file: "$dir/secret"
listen: "$address"
TEXT
}

# The address that a daemon had before, or one with a port that is free.
cluster_address() {
  local folder=$1
  mkdir -p "$folder"
  if [ ! -s "$folder/address" ]; then
    "$PYTHON" -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print("127.0.0.1:%d" % s.getsockname()[1])' >"$folder/address"
  fi
  cat "$folder/address"
}

cluster_launch() {
  local folder=$1 program=$2 pid
  rm -f "$folder/ready"
  echo "$program" >"$folder/program"
  # A session of its own: it goes on when this terminal closes.
  setsid "$program" --config="$folder/config" --ready_file="$folder/ready" \
    >>"$folder/log" 2>&1 </dev/null &
  pid=$!
  echo "$pid $(cluster_start_time "$pid")" >"$folder/pid"
}

# When a process started; empty if there is none.
cluster_start_time() {
  # Behind the name, which may hold blanks: the 20th field.
  sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
}

cluster_alive() {
  local pid began
  [ -s "$1/pid" ] || return 1
  read -r pid began <"$1/pid"
  [ -n "$began" ] && [ "$(cluster_start_time "$pid")" = "$began" ] &&
    [ "$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -c 1)" != Z ]
}

cluster_await_ready() {
  local folder=${1%/} end=$((SECONDS + CLUSTER_READY_SECONDS))
  while [ ! -s "$folder/ready" ]; do
    if ! cluster_alive "$folder" || [ "$SECONDS" -ge "$end" ]; then
      tail -n 20 "$folder/log" >&2
      fail "$(basename "$folder") did not get ready; its log is $folder/log"
    fi
    sleep 0.05
  done
}

# All of them, or those that are named.
cluster_stop() {
  local dir=$1 daemon pid began stopped=0 end daemons
  shift
  daemons=("$dir"/*/)
  if [ $# -gt 0 ]; then daemons=("${@/#/$dir/}"); fi
  for daemon in "${daemons[@]}"; do
    cluster_alive "$daemon" || continue
    read -r pid began <"$daemon/pid"
    kill -TERM "$pid"
    stopped=$((stopped + 1))
  done
  end=$((SECONDS + CLUSTER_STOP_SECONDS))
  for daemon in "${daemons[@]}"; do
    while cluster_alive "$daemon"; do
      if [ "$SECONDS" -ge "$end" ]; then
        read -r pid began <"$daemon/pid"
        echo "$(basename "$daemon") does not stop by itself; killing it" >&2
        kill -KILL "$pid"
        end=$((SECONDS + CLUSTER_STOP_SECONDS))
      fi
      sleep 0.05
    done
    rm -f "$daemon/pid" "$daemon/ready"
  done
  say "$stopped processes stopped; their data stays in $dir"
}

cluster_status() {
  local dir=$1 daemon pid began known=0 running=0
  for daemon in "$dir"/*/; do
    [ -s "$daemon/address" ] || continue
    known=$((known + 1))
    if cluster_alive "$daemon"; then
      read -r pid began <"$daemon/pid"
      running=$((running + 1))
      printf '  %-20s %-22s %s\n' "$(basename "$daemon")" "$(cat "$daemon/address")" \
        "$([ -s "$daemon/ready" ] && echo "ready" || echo "starting"), process $pid"
    else
      printf '  %-20s %-22s %s\n' "$(basename "$daemon")" "$(cat "$daemon/address")" "not running"
    fi
  done
  [ "$known" -gt 0 ] || fail "there is no cluster in $dir; ./dev cluster start"
  [ "$running" = "$known" ]
}

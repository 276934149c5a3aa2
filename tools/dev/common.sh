# What every verb uses. Sourced by ./dev with $ROOT set.

CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/cairn
BAZEL_CACHE=$CACHE/bazel-disk

# Debian's python3, which setup installs, before whatever else PATH offers.
PYTHON=/usr/bin/python3
[ -x "$PYTHON" ] || PYTHON=python3

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' DIM=$'\e[2m' PLAIN=$'\e[0m'
else
  BOLD='' RED='' GREEN='' DIM='' PLAIN=''
fi

say() { printf '%s\n' "$BOLD$*$PLAIN"; }
fail() {
  printf '%s\n' "${RED}dev: $*$PLAIN" >&2
  exit 1
}

# GiB that are free where builds and caches are.
free_gib() {
  local kib
  kib=$(df --output=avail -k "$CACHE" | tail -1)
  printf '%d\n' $((kib >> 20))
}

# What building everything once takes, and as much again for the cache from which
# other checkouts, and this one when it is made anew, are built.
BUILD_GIB=4

# Options of every `bazel build` and `bazel test`.
bazel_options() {
  if [ "$(free_gib)" -ge $((2 * BUILD_GIB)) ]; then
    printf '%s\n' "--disk_cache=$BAZEL_CACHE"
  fi
  # On a terminal a person waits and wants to see something move. (What this
  # prints is read by the caller, so stdout says nothing.)
  if [ -t 2 ] && [ -z "${CI:-}" ]; then printf '%s\n' --show_progress; fi
}

run_bazel() {
  local command=$1
  shift
  mkdir -p "$BAZEL_CACHE"
  mapfile -t options < <(bazel_options)
  if [[ ${options[*]} != *--disk_cache* ]]; then
    say "$(free_gib) GiB of disk are free: building without the compiled cache" >&2
  fi
  bazel "$command" "${options[@]}" "$@" </dev/null
}

# Keeps the compiled cache within 30 days and 20 GiB, oldest out first. Bazel
# copes with entries that are gone. At most once a day, since it reads the folder.
prune_cache() {
  local stamp=$CACHE/pruned bytes_max=$((20 << 30))
  [ -d "$BAZEL_CACHE" ] || return 0
  if [ -n "$(find "$stamp" -mtime -1 2>/dev/null)" ]; then return 0; fi
  touch "$stamp"
  find "$BAZEL_CACHE" -type f -mtime +30 -atime +30 -delete 2>/dev/null || true
  # Newest first; whatever starts beyond the limit goes.
  find "$BAZEL_CACHE" -type f -printf '%A@ %s %p\n' 2>/dev/null | sort -rn |
    awk -v max="$bytes_max" '{ used += $2; if (used > max) print $3 }' |
    xargs -r rm -f
}

# The path of a built binary: built_binary //services/standalone:cairn-standalone
built_binary() {
  local label=${1#//}
  printf '%s\n' "$ROOT/bazel-bin/${label/:/\/}"
}

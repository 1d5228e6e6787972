# What every part of benches/servers uses: time, medians, the report. Sourced.

# What lies there may be the tests' build, which is optimised less.
[[ -n "${BANYAN:-}" ]] || cargo build --release --locked --bin banyan
BANYAN="$(realpath "${BANYAN:-target/release/banyan}")"
[[ -x "$BANYAN" ]] || { say "no program at $BANYAN: cargo build --release, or set BANYAN"; exit 2; }
export LC_ALL=C

dir="$(mktemp -d "${TMPDIR:-/tmp}/banyan-servers.XXXXXX")"
chmod 755 "$dir"
mkdir "$dir/figures" "$dir/logs"
report=()
failures=()

now() { echo "$EPOCHREALTIME"; }
# since BEGUN: seconds with three digits.
since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.3f", b - a }'; }

# A wrong result: the report ends with it, and the exit code is 1.
fail() {
  say "FAILED: $*"
  failures+=("$*")
}

# note NAME FIGURE: one run's figure.
note() {
  [[ -n "$2" ]] || return 0
  say "  $1: $2"
  echo "$2" >>"$dir/figures/$1"
}

median() { [[ -s "$dir/figures/$1" ]] && sort -g "$dir/figures/$1" | awk '{ a[NR] = $1 } END { if (NR) print (NR % 2) ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }' || echo 0; }
mebibytes() { awk -v k="$(median "$1")" 'BEGIN { printf "%.0f MiB", k / 1024 }'; }

# figure NAME [FORMAT]: median and spread.
figure() {
  [[ -s "$dir/figures/$1" ]] || { echo "none"; return; }
  local low high
  low="$(sort -g "$dir/figures/$1" | head -n 1)"
  high="$(sort -g "$dir/figures/$1" | tail -n 1)"
  printf "${2:-%.2f} s (${2:-%.2f}–${2:-%.2f})" "$(median "$1")" "$low" "$high"
}

# ratio NAME PEER: how many times the peer's time.
ratio() {
  [[ -s "$dir/figures/$1" && -s "$dir/figures/$2" ]] || { echo ""; return; }
  awk -v a="$(median "$1")" -v b="$(median "$2")" 'BEGIN { printf "%.2f times", a / b }'
}

# rate NAME ROWS: rows a second at the median.
rate() {
  [[ -s "$dir/figures/$1" ]] || { echo "none"; return; }
  awk -v s="$(median "$1")" -v n="$2" 'BEGIN { printf "%.0f rows/s", n / s }'
}

# row WHAT MEASURED PEER RATIO
row() { report+=("| $1 | $2 | $3 | $4 |"); }

# ordered RUN NAME …: the names, in turned order in every second run.
ordered() {
  local run="$1" i
  shift
  if ((run % 2)); then
    printf '%s\n' "$@"
  else
    for ((i = $#; i > 0; i--)); do printf '%s\n' "${!i}"; done
  fi
}

# banyan NAME ARGUMENT …: runs it in folder NAME, where its banyan.toml lies; output into a log.
# Leaves its seconds in $took and its peak memory in $peak_kb, both empty when it failed.
banyan() {
  local name="$1" code=0
  shift
  (cd "$dir/$name" && /usr/bin/time -q -o "$dir/time" -f '%e %M' timeout "${BANYAN_SECONDS_MAX:-3600}" "$BANYAN" -q "$@") \
    >"$dir/output" 2>&1 || code=$?
  read -r took peak_kb <"$dir/time"
  { echo "\$ banyan $*"; cat "$dir/output"; echo "→ $code, $took s"; } >>"$dir/logs/$name.log"
  if [[ $code -ne 0 ]]; then
    took=""
    peak_kb=""
    fail "banyan $* ($name) ended with $code: $(tail -n 8 "$dir/output")"
  fi
}

# Starts it in the background; its process is in $following.
banyan_follow() {
  local name="$1" command="${2:-sync}"
  echo "\$ banyan $command m &" >>"$dir/logs/$name.log"
  (cd "$dir/$name" && exec "$BANYAN" -q "$command" m) >>"$dir/logs/$name.log" 2>&1 &
  following=$!
}

banyan_stop() {
  local name="$1" code=0
  kill -TERM "$following" 2>/dev/null || true
  wait "$following" || code=$?
  if [[ $code -ne 0 ]]; then
    fail "banyan sync ($name) ended with $code; the end of its output:"$'\n'"$(tail -n 12 "$dir/logs/$name.log")"
  fi
}

# configure NAME SOURCE-URL TARGET-URL MODE [FURTHER TOML]: table "items" moves, or FURTHER says which.
configure() {
  rm -rf "${dir:?}/$1"
  mkdir -p "$dir/$1"
  local strategy='on_conflict = "last-write-wins"' tables="${5:-}"
  [[ -n "$tables" ]] || tables=$'[[migrations.m.tables]]\nsource = "items"'
  [[ "$4" == two-way ]] || strategy=""
  cat >"$dir/$1/banyan.toml" <<TOML
[stores.monolith]
url = "$2"
[stores.service]
url = "$3"
[migrations.m]
source = "monolith"
target = "service"
mode = "$4"
$strategy
$tables
TOML
}

print_report() {
  local model memory_gb line
  model="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)"
  memory_gb="$(awk '/^MemTotal/ { printf "%d", $2 / 1048576 }' /proc/meminfo 2>/dev/null)"
  echo
  echo "$(nproc) cores, ${model:-unknown processor}, ${memory_gb:-?} GiB of memory; commit $(git describe --always --dirty 2>/dev/null || echo unknown), $("$BANYAN" --version), $runs runs, fsync = ${FSYNC:-on}."
  echo "PostgreSQL $("$pg_bin/postgres" --version | cut -d ' ' -f 3), MariaDB $(mariadbd --version 2>/dev/null | sed 's/.*Ver \([0-9.]*\).*/\1/'). Medians (lowest–highest). Load average at the end: $(cut -d ' ' -f 1-3 /proc/loadavg)."
  echo
  echo "| what | measured | peer in the same run | ratio of times |"
  echo "|---|---|---|---|"
  printf '%s\n' "${report[@]}"
  for line in "${failures[@]}"; do
    printf '\nFAILED: %s\n' "$line"
  done
}

# no_conflicts NAME: an ordinary update is none.
no_conflicts() {
  local found
  (cd "$dir/$1" && "$BANYAN" -q --format json conflict list m --limit 3) >"$dir/output" 2>&1 || true
  cat "$dir/output" >>"$dir/logs/$1.log"
  found="$(grep -c '"table"' "$dir/output" || true)"
  [[ "$found" == 0 ]] || fail "$1: conflicts where no row was written on both sides: $(head -c 1500 "$dir/output")"
}

# Private servers: started when a part first asks for them, stopped when the script ends. Sourced.

# The newest that is installed.
pg_bin="$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)"
PATH="$pg_bin:$PATH"
declare -A port=() mariadb_pid=()
pg_started=0
mariadb_started=0

# The servers refuse to run as root.
as() {
  local user="$1"
  shift
  if [[ "$(id -u)" -eq 0 ]]; then runuser -u "$user" -- "$@"; else "$@"; fi
}
give() {
  [[ "$(id -u)" -ne 0 ]] || chown "$1" "$2"
}

# Below the ports that outgoing connections are given.
free_port() {
  local candidate
  while :; do
    candidate=$((10000 + RANDOM % 20000))
    (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null || { echo "$candidate"; return; }
  done
}

stop_servers() {
  local side pid
  trap - EXIT
  for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
  for side in source target; do
    if [[ -f "$dir/pg-$side/data/postmaster.pid" ]]; then
      as postgres "$pg_bin/pg_ctl" -D "$dir/pg-$side/data" -m immediate stop >/dev/null 2>&1 || true
    fi
    pid="${mariadb_pid[$side]:-}"
    if [[ -n "$pid" ]]; then kill "$pid" 2>/dev/null || true; fi
  done
  wait 2>/dev/null || true
  if [[ "${KEEP:-0}" == 1 ]]; then say "kept: $dir"; else rm -rf "$dir"; fi
}
trap stop_servers EXIT
trap 'exit 130' INT TERM

need_postgres() {
  [[ "$pg_started" -eq 0 ]] || return 0
  local side home
  for side in source target; do
    home="$dir/pg-$side"
    mkdir "$home"
    give postgres "$home"
    port[$side]="$(free_port)"
    as postgres "$pg_bin/initdb" -D "$home/data" -A trust -U postgres -E UTF8 --locale=C.UTF-8 >"$dir/logs/initdb-$side" 2>&1
    cat >>"$home/data/postgresql.conf" <<CONF
port = ${port[$side]}
listen_addresses = '127.0.0.1'
unix_socket_directories = '$home'
wal_level = logical
fsync = ${FSYNC:-on}
track_commit_timestamp = on
shared_buffers = 1GB
max_wal_size = 8GB
checkpoint_timeout = 30min
wal_retrieve_retry_interval = 200ms
max_connections = 200
CONF
    as postgres "$pg_bin/pg_ctl" -D "$home/data" -l "$home/log" -w start >/dev/null
  done
  pg_started=1
}

need_mariadb() {
  [[ "$mariadb_started" -eq 0 ]] || return 0
  local side home try
  for side in source target; do
    home="$dir/mariadb-$side"
    mkdir "$home" "$home/tmp"
    give mysql "$home"
    give mysql "$home/tmp"
    port[mariadb-$side]="$(free_port)"
    mariadb-install-db --no-defaults --user="$( [[ "$(id -u)" -eq 0 ]] && echo mysql || id -un)" --datadir="$home/data" \
      --auth-root-authentication-method=normal --skip-test-db >"$dir/logs/mariadb-install-$side" 2>&1
    mariadbd --no-defaults --user="$( [[ "$(id -u)" -eq 0 ]] && echo mysql || id -un)" --datadir="$home/data" \
      --port="${port[mariadb-$side]}" --bind-address=127.0.0.1 --tmpdir="$home/tmp" --socket="$home/s.sock" --pid-file="$home/pid" \
      --log-bin="$home/data/binlog" --binlog-format=ROW --binlog-row-image=FULL --binlog-row-metadata=FULL \
      --server-id=$((100 + ${#mariadb_pid[@]})) --innodb-buffer-pool-size=1G --innodb-log-file-size=512M \
      --character-set-server=utf8mb4 >"$home/log" 2>&1 &
    mariadb_pid[$side]=$!
    for ((try = 0; try < 150; try++)); do
      mariadb --no-defaults -S "$home/s.sock" -uroot -e "SELECT 1" >/dev/null 2>&1 && break
      sleep 0.2
    done
    mariadb --no-defaults -S "$home/s.sock" -uroot -e "CREATE USER app@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT ALL ON *.* TO app@'127.0.0.1'; CREATE USER app@localhost IDENTIFIED BY 'pw'; GRANT ALL ON *.* TO app@localhost"
  done
  mariadb_started=1
}

# pg SIDE [psql's arguments]: in database bench unless -d says otherwise.
pg() {
  local side="$1"
  shift
  PGOPTIONS="-c client_min_messages=warning" psql -XqAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "${port[$side]}" -U postgres -d bench "$@"
}
pg_url() { echo "postgres://postgres@127.0.0.1:${port[$1]}/bench"; }

# An empty database bench on both sides; slots, origins and subscriptions of an earlier run go first.
fresh_postgres() {
  local side
  for side in source target; do
    pg "$side" -d postgres <<'SQL' >/dev/null
SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL;
SELECT pg_sleep(0.2) FROM pg_replication_slots WHERE active LIMIT 1;
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots;
DROP DATABASE IF EXISTS bench WITH (FORCE);
SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin;
CREATE DATABASE bench;
SQL
  done
}

# my SIDE [mariadb's arguments]
my() {
  local side="$1"
  shift
  mariadb --no-defaults -h 127.0.0.1 -P "${port[mariadb-$side]}" -uapp -ppw -N "$@"
}
my_url() { echo "mysql://app:pw@127.0.0.1:${port[mariadb-$1]}/bench"; }
fresh_mariadb() {
  local side
  for side in source target; do
    my "$side" -e "DROP DATABASE IF EXISTS bench; CREATE DATABASE bench CHARACTER SET utf8mb4; RESET MASTER"
  done
}

items_table="CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL, note text NOT NULL, at timestamptz NOT NULL)"
# fill_items SIDE ROWS
fill_items() {
  pg "$1" -c "INSERT INTO items SELECT i, i % 1000, repeat(md5(i::text), 3), '2026-01-01 00:00:00Z'::timestamptz + i * interval '1 second' FROM generate_series(1, $2) i"
  pg "$1" -c "VACUUM ANALYZE items"
}
items_digest() { pg "$1" -c "SET TimeZone = 'UTC'; SELECT count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM items t"; }
same_items() {
  local a b
  a="$(items_digest source)"
  b="$(items_digest target)"
  [[ "$a" == "$b" ]] || fail "$1: the sides differ: source $a, target $b"
}
checkpoint() {
  local side
  for side in source target; do pg "$side" -c CHECKPOINT; done
}

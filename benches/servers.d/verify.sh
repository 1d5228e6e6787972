# Comparing two PostgreSQL tables: `banyan verify` beside reladiff; joins beyond memory; files beside
# DuckDB; the catalogue of differences as reladiff sees it. Sourced.

# Python packages, in an environment of their own.
need_python_peers() {
  [[ -z "${peers:-}" ]] || return 0
  peers="$dir/peers"
  python3 -m venv "$peers" >"$dir/logs/venv" 2>&1 ||
    { fail "python3 -m venv: $(tail -n 3 "$dir/logs/venv")"; return 1; }
  "$peers/bin/pip" -q install 'reladiff[postgresql]' psycopg2-binary duckdb >>"$dir/logs/venv" 2>&1 ||
    { fail "pip install reladiff duckdb: $(tail -n 3 "$dir/logs/venv")"; return 1; }
}

# As the peers spell it.
peer_url() { echo "postgresql${1:+://postgres@127.0.0.1:${port[$1]}/bench}"; }

# Ten columns; KEY is what the primary key is made of.
orders_table() { # SIDE NAME KEY-TYPE KEY ROWS
  pg "$1" >/dev/null <<SQL
CREATE TABLE $2 (id $3 PRIMARY KEY, n int, s varchar(40), amount numeric(12,2), ratio double precision,
  at timestamptz, made timestamp, done bool, note text, ref uuid);
INSERT INTO $2 SELECT $4, (i * 7919::bigint) % 1000003, 'name ' || i, (i % 100000) / 100.0, i / 3.0,
  '2024-01-01'::timestamptz + i * interval '1 second', '2023-01-01'::timestamp + i * interval '7 seconds',
  i % 3 = 0, CASE WHEN i % 5 = 0 THEN NULL ELSE md5(i::text) END, md5('u' || i)::uuid
  FROM generate_series(1, $5) i;
SQL
  pg "$1" -c "VACUUM ANALYZE $2" -c "CHECKPOINT"
}

# compare NAME TABLE DIFFERENCES: both peers once; what they find must be right.
compare() {
  local name="$1" table="$2" expected="$3" peer begun found
  for peer in $(ordered "$run" banyan reladiff); do
    case "$peer" in
      banyan)
        configure verify "$(pg_url source)" "$(pg_url target)" one-way $'[[migrations.m.tables]]\nsource = "'"$table"'"'
        begun="$(now)"
        (cd "$dir/verify" && /usr/bin/time -q -o "$dir/time" -f '%e %M' "$BANYAN" -q verify m --format json) \
          >"$dir/output" 2>"$dir/logs/verify" || true
        note "$name-banyan" "$(since "$begun")"
        note "$name-banyan-kb" "$(cut -d ' ' -f 2 "$dir/time")"
        found="$(sed -n 's/.*"differences_total": \([0-9]*\).*/\1/p' "$dir/output")"
        ;;
      reladiff)
        begun="$(now)"
        "$peers/bin/reladiff" "$(peer_url source)" "$table" "$(peer_url target)" "$table" -k id -c % --threads 4 \
          >"$dir/output" 2>"$dir/logs/reladiff" || true
        note "$name-reladiff" "$(since "$begun")"
        found="$(grep -c '^- ' "$dir/output" || true)"
        ;;
    esac
    [[ "$found" == "$expected" ]] || fail "$name: $peer found ${found:-nothing} of $expected differences"
  done
}

part_verify() {
  local rows="${VERIFY_ROWS:-1000000}" run side sparse dense
  need_postgres
  need_python_peers || return 0
  fresh_postgres
  for side in source target; do
    orders_table "$side" orders bigint i "$rows"
    orders_table "$side" by_uuid uuid "md5(i::text)::uuid" "$rows"
  done
  sparse=$((rows / 10000))
  dense=$((rows / 100))
  for ((run = 1; run <= runs; run++)); do compare none orders 0; done
  for table in orders by_uuid; do
    pg target -c "UPDATE $table SET amount = amount + 1 WHERE n IN (SELECT n FROM orders WHERE id % 10000 = 0)" -c "VACUUM ANALYZE $table"
  done
  sparse="$(pg target -c "SELECT count(*) FROM orders WHERE n IN (SELECT n FROM orders WHERE id % 10000 = 0)")"
  for ((run = 1; run <= runs; run++)); do compare sparse orders "$sparse"; done
  for table in orders by_uuid; do
    pg target -c "UPDATE $table SET amount = amount + 1 WHERE n IN (SELECT n FROM orders WHERE id % 100 = 0)" -c "VACUUM ANALYZE $table"
  done
  dense="$(pg target -c "SELECT count(*) FROM orders WHERE n IN (SELECT n FROM orders WHERE id % 100 = 0)")"
  for ((run = 1; run <= runs; run++)); do
    compare dense orders "$dense"
    compare uuid by_uuid "$dense"
  done
  local what
  for what in "none:equal" "sparse:$sparse rows differ" "dense:$dense rows differ" "uuid:$dense rows differ, key a UUID"; do
    local name="${what%%:*}"
    row "verify FULL, $rows rows of 10 columns, ${what#*:}" \
      "$(figure "$name-banyan"), peak $(mebibytes "$name-banyan-kb")" \
      "reladiff $(figure "$name-reladiff")" "$(ratio "$name-reladiff" "$name-banyan") as fast"
  done
}

# The same table ten times as long, and a join of two long tables in little memory.
part_scale() {
  local rows="${SCALE_ROWS:-10000000}" join="${JOIN_ROWS:-20000000}" side run begun peak
  need_postgres
  fresh_postgres
  for side in source target; do orders_table "$side" orders bigint i "$rows"; done
  configure verify "$(pg_url source)" "$(pg_url target)" one-way $'[[migrations.m.tables]]\nsource = "orders"'
  for ((run = 1; run <= runs; run++)); do
    banyan verify verify m
    note scale-banyan "$took"
    note scale-banyan-kb "$peak_kb"
  done
  row "verify FULL, $rows rows of 10 columns, equal" "$(figure scale-banyan), peak $(mebibytes scale-banyan-kb)" "" ""
  for side in source target; do
    pg "$side" -c "DROP TABLE orders" -c "CREATE TABLE big (id bigint PRIMARY KEY, n bigint, s text)" \
      -c "INSERT INTO big SELECT i, (i * 7919) % 1000003, 'name ' || i FROM generate_series(1, $join::bigint) i" \
      -c "VACUUM ANALYZE big"
  done
  pg target -c "UPDATE big SET n = n + 1 WHERE id % 1000000 = 0"
  for ((run = 1; run <= runs; run++)); do
    banyan verify query --memory-mb 512 "SELECT count(*) AS n FROM diff('monolith.big', 'service.big', 'id')"
    grep -qx " *$((join / 1000000))" "$dir/output" || fail "diff of big tables: $(tail -n 1 "$dir/output")"
    note join-banyan "$took"
    note join-banyan-kb "$peak_kb"
  done
  row "\`diff\` of two tables of $join rows in two databases, 512 MiB for the query" \
    "$(figure join-banyan), peak $(mebibytes join-banyan-kb)" "" ""
}

# Two Parquet files, compared by SQL, beside DuckDB's FULL JOIN.
part_files() {
  local rows="${FILES_ROWS:-10000000}" run peer begun found
  need_python_peers || return 0
  configure files "sqlite:a.db" "sqlite:b.db" one-way
  "$peers/bin/python" - "$dir/files" "$rows" <<'PY'
import sys, duckdb
folder, rows = sys.argv[1], int(sys.argv[2])
for name, extra in (("a", 0), ("b", 1)):
    duckdb.sql(f"""COPY (SELECT i AS id, CAST(i * 7919 % 1000003 AS INTEGER) AS n, 'name ' || i AS s,
        CAST(i % 100000 / 100.0 AS DECIMAL(12, 2)) AS amount, i / 3.0 AS ratio,
        TIMESTAMP '2024-01-01' + to_seconds(i) AS at, i % 3 = 0 AS done,
        CASE WHEN i % 5 = 0 THEN NULL ELSE md5(i::VARCHAR) END AS note,
        CASE WHEN i % 10000 = 0 THEN {extra} ELSE 0 END AS changed, i % 7 AS kind
        FROM range(1, {rows} + 1) t(i)) TO '{folder}/{name}.parquet' (FORMAT parquet)""")
PY
  for ((run = 1; run <= runs; run++)); do
    for peer in $(ordered "$run" banyan duckdb); do
      case "$peer" in
        banyan)
          banyan files query --memory-mb 2048 "SELECT count(*) AS n FROM diff('''a.parquet''', '''b.parquet''', 'id')"
          found="$(tail -n 1 "$dir/output" | tr -d ' ')"
          note files-banyan "$took"
          note files-banyan-kb "$peak_kb"
          ;;
        duckdb)
          begun="$(now)"
          found="$("$peers/bin/python" - "$dir/files" <<'PY'
import sys, duckdb
folder = sys.argv[1]
duckdb.sql("SET threads = 2")
print(duckdb.sql(f"""SELECT count(*) FROM '{folder}/a.parquet' a FULL JOIN '{folder}/b.parquet' b ON a.id = b.id
    WHERE a IS DISTINCT FROM b""").fetchall()[0][0])
PY
)"
          note files-duckdb "$(since "$begun")"
          ;;
      esac
      [[ "$found" == "$((rows / 10000))" ]] || fail "files: $peer found $found of $((rows / 10000)) differences"
    done
  done
  row "\`diff\` of two Parquet files of $rows rows, $((rows / 10000)) differ" \
    "$(figure files-banyan), peak $(mebibytes files-banyan-kb)" "DuckDB, FULL JOIN, 2 threads $(figure files-duckdb)" \
    "$(ratio files-duckdb files-banyan) as fast"
}

# The classes of tests/verify/catalogue.toml between two PostgreSQL databases, as reladiff sees them.
part_catalogue() {
  need_postgres
  need_python_peers || return 0
  fresh_postgres
  "$peers/bin/python" benches/servers.d/catalogue.py tests/verify/catalogue.toml "$(peer_url source)" "$(peer_url target)" \
    "$peers/bin/reladiff" >"$dir/catalogue.md" || fail "the catalogue cannot be run"
  cp "$dir/catalogue.md" "${CATALOGUE_OUT:-/dev/null}" 2>/dev/null || true
  row "classes of difference found, PostgreSQL to PostgreSQL" "all (tests/verify/catalogue.rs)" \
    "reladiff: $(head -n 1 "$dir/catalogue.md")" ""
}

# Values of every type, copied by Banyan and compared by it: what is equal by the published rules
# (src/database/TYPES.md) must never be a difference. From each engine to each. Sourced.
#
# The values are spread over the whole range of each type by hashes of the row's number; every
# thousandth row holds NULLs or an end of the range (of what SQLite holds of it: more is refused by name).

part_values() {
  local rows="${VALUES_ROWS:-10000000}" from to columns
  need_postgres
  need_mariadb
  fresh_postgres
  fresh_mariadb
  for from in postgres mariadb sqlite; do
    say "  $rows rows in $from"
    "values_in_$from" "$rows"
    columns="$(values_columns "$from")"
    for to in postgres mariadb sqlite; do
      values_pair "$from" "$to" "$rows" "$columns"
    done
    values_gone "$from"
  done
}

values_url() {
  case "$1" in
    postgres) pg_url "$2" ;;
    mariadb) my_url "$2" ;;
    sqlite) echo "sqlite:$dir/values-$2.db" ;;
  esac
}

values_pair() {
  local from="$1" to="$2" rows="$3" columns="$4" level found
  configure values "$(values_url "$from" source)" "$(values_url "$to" target)" one-way \
    $'[[migrations.m.tables]]\nsource = "v"'
  case "$to" in
    postgres) pg target -c "DROP TABLE IF EXISTS v" ;;
    mariadb) my target bench -e "DROP TABLE IF EXISTS v" ;;
    sqlite) rm -f "$dir"/values-target.db*; sqlite3 "$dir/values-target.db" "PRAGMA journal_mode = WAL" >/dev/null ;;
  esac
  banyan values copy m --create-tables
  [[ -n "$took" ]] || return 0
  for level in full hash; do
    banyan values --format json verify m --level "$level"
    note "values-$from-$to-$level" "$took"
    found="$(grep -o '"rows_compared": *[0-9]*' "$dir/output" | grep -o '[0-9]*' | head -n 1)"
    [[ "$found" == "$rows" ]] || fail "values $from to $to: $found of $rows rows compared"
  done
  row "$rows rows of $columns types, $from → $to, equal" \
    "0 differences by FULL in $(median "values-$from-$to-full") s, by HASH in $(median "values-$from-$to-hash") s" "" ""
  banyan values migration abort m
}

values_gone() {
  case "$1" in
    postgres) pg source -c "DROP TABLE v" ;;
    mariadb) my source bench -e "DROP TABLE v" ;;
    sqlite) rm -f "$dir"/values-source.db* ;;
  esac
}

values_columns() {
  case "$1" in
    postgres) pg source -c "SELECT count(*) FROM information_schema.columns WHERE table_name = 'v'" ;;
    mariadb) my source bench -e "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'bench' AND table_name = 'v'" ;;
    sqlite) sqlite3 "$dir/values-source.db" "SELECT count(*) FROM pragma_table_info('v')" ;;
  esac
}

values_in_postgres() {
  pg source <<SQL
CREATE TABLE v (id bigint PRIMARY KEY, small smallint, whole int, big bigint, exact numeric(38, 12),
  free numeric, wide double precision, narrow real, words text, short varchar(40), bytes bytea, yes boolean,
  day date, clock time, naive timestamp, at timestamptz, ref uuid, doc jsonb);
-- Three independent hashes of the number; exp and the casts keep doubles over their whole range.
INSERT INTO v SELECT i,
  CASE WHEN edge = 1 THEN -32768 WHEN edge = 2 THEN 32767 WHEN edge <> 0 THEN (a % 32768)::smallint END,
  CASE WHEN edge = 1 THEN -2147483648 WHEN edge = 2 THEN 2147483647 WHEN edge <> 0 THEN (a % 2147483648)::int END,
  CASE WHEN edge = 1 THEN -9223372036854775808 WHEN edge = 2 THEN 9223372036854775807 WHEN edge <> 0 THEN a END,
  CASE WHEN edge <> 0 THEN (a::numeric * 1000 + b % 1000) / (10::numeric ^ (abs(c) % 13)) / 1000 END,
  CASE WHEN edge <> 0 THEN round(a::numeric / 1000, (abs(c) % 4)::int) END,
  CASE WHEN edge = 1 THEN 1.7976931348623157e308 WHEN edge = 2 THEN 5e-324 WHEN edge <> 0 THEN a::double precision * exp((b % 600)::double precision) END,
  CASE WHEN edge = 1 THEN 3.4028235e38::real WHEN edge = 2 THEN 1e-45::real WHEN edge <> 0 THEN (a::double precision / 1e18 * exp((b % 80)::double precision))::real END,
  CASE WHEN edge = 1 THEN '' WHEN edge <> 0 THEN md5(a::text) || chr(32 + (abs(b) % 50000)::int) || repeat(' ', (abs(c) % 3)::int) END,
  CASE WHEN edge = 1 THEN '' WHEN edge <> 0 THEN substr(md5(b::text), 1, (abs(c) % 32)::int) END,
  CASE WHEN edge = 1 THEN '' WHEN edge <> 0 THEN int8send(a) || substr(int8send(b), 1, (abs(c) % 8)::int) END,
  CASE WHEN edge <> 0 THEN a % 2 = 0 END,
  CASE WHEN edge = 1 THEN date '1000-01-01' WHEN edge = 2 THEN date '9999-12-31' WHEN edge <> 0 THEN date '1000-01-01' + (abs(a) % 3287181)::int END,
  CASE WHEN edge = 1 THEN time '00:00' WHEN edge <> 0 THEN time '00:00' + (abs(b) % 86400000000) * interval '1 microsecond' END,
  CASE WHEN edge <> 0 THEN timestamp '1000-01-01' + (abs(a) % 284000000000) * interval '1 second' + (abs(b) % 1000000) * interval '1 microsecond' END,
  CASE WHEN edge <> 0 THEN timestamptz '1970-01-02 00:00Z' + (abs(c) % 2147000000) * interval '1 second' + (abs(a) % 1000000) * interval '1 microsecond' END,
  CASE WHEN edge <> 0 THEN md5(c::text)::uuid END,
  CASE WHEN edge = 1 THEN '{}'::jsonb WHEN edge <> 0 THEN jsonb_build_object('a', a % 1000000, 'b', md5(b::text), 'c', jsonb_build_array(c % 2 = 0, NULL, (b % 1000) / 8.0)) END
FROM (SELECT i, i % 1000 AS edge, hashint8extended(i, 1) AS a, hashint8extended(i, 2) AS b, hashint8extended(i, 3) AS c
  FROM generate_series(1, $1) i) numbers WHERE hashint8extended(i, 1) > -9223372036854775808;
VACUUM ANALYZE v
SQL
}

values_in_mariadb() {
  my source bench <<SQL
SET SESSION sql_log_bin = 0;
SET time_zone = '+00:00';
CREATE TABLE v (id bigint PRIMARY KEY, tiny tinyint, small smallint, whole int, big bigint, plus bigint unsigned,
  exact decimal(38, 12), wide double, narrow float, words text, short varchar(40), bytes varbinary(40), lump blob,
  bits bit(20), day date, clock time(6), naive datetime(6), at timestamp(6) NULL, born year, doc json,
  kind enum('a', 'B', 'ç'), some set('x', 'y', 'z')) CHARACTER SET utf8mb4;
INSERT INTO v SELECT seq,
  IF(edge = 0, NULL, CASE edge WHEN 1 THEN -128 WHEN 2 THEN 127 ELSE a % 128 END),
  IF(edge = 0, NULL, CASE edge WHEN 1 THEN -32768 WHEN 2 THEN 32767 ELSE b % 32768 END),
  IF(edge = 0, NULL, CASE edge WHEN 1 THEN -2147483648 WHEN 2 THEN 2147483647 ELSE c % 2147483648 END),
  IF(edge = 0, NULL, CASE edge WHEN 1 THEN -9223372036854775808 WHEN 2 THEN 9223372036854775807 ELSE CAST(a AS signed) - 4611686018427387904 END),
  IF(edge = 0, NULL, CASE edge WHEN 1 THEN 0 WHEN 2 THEN 9223372036854775807 ELSE a * 2 + 1 END),
  IF(edge = 0, NULL, (CAST(a AS decimal(38, 0)) * 1000 + b % 1000) / POW(10, 3 + c % 13)),
  IF(edge = 0, NULL, CASE edge WHEN 1 THEN 1.7976931348623157e308 WHEN 2 THEN 2.2250738585072014e-308 ELSE a * EXP(CAST(b % 1200 AS signed) - 600) END),
  IF(edge = 0, NULL, a / 1e18 * EXP(CAST(b % 160 AS signed) - 80)),
  IF(edge = 0, NULL, IF(edge = 1, '', CONCAT(MD5(a), CHAR(0xc3a0 + b % 32 USING utf8mb4), REPEAT(' ', c % 3)))),
  IF(edge = 0, NULL, LEFT(MD5(b), c % 32)),
  IF(edge = 0, NULL, LEFT(UNHEX(MD5(c)), a % 17)),
  IF(edge = 0, NULL, LEFT(UNHEX(SHA1(a)), b % 21)),
  IF(edge = 0, NULL, a % 1048576),
  IF(edge = 0, NULL, CASE edge WHEN 1 THEN '1000-01-01' WHEN 2 THEN '9999-12-31' ELSE '1000-01-01' + INTERVAL a % 3287181 DAY END),
  IF(edge = 0, NULL, SEC_TO_TIME((b % 86400000000) / 1000000)),
  IF(edge = 0, NULL, '1000-01-01' + INTERVAL a % 284000000000 SECOND + INTERVAL b % 1000000 MICROSECOND),
  IF(edge = 0, NULL, '1970-01-02' + INTERVAL c % 2147000000 SECOND + INTERVAL a % 1000000 MICROSECOND),
  IF(edge = 0, NULL, 1901 + c % 255),
  IF(edge = 0, NULL, JSON_OBJECT('a', a % 1000000, 'b', MD5(b), 'c', JSON_ARRAY(true, NULL, (b % 1000) / 8))),
  IF(edge = 0, NULL, ELT(1 + a % 3, 'a', 'B', 'ç')),
  IF(edge = 0, NULL, b % 8)
FROM (SELECT seq, seq % 1000 AS edge, CAST(CONV(LEFT(MD5(CONCAT(seq, 'a')), 15), 16, 10) AS unsigned) AS a,
  CAST(CONV(LEFT(MD5(CONCAT(seq, 'b')), 15), 16, 10) AS unsigned) AS b, CAST(CONV(LEFT(MD5(CONCAT(seq, 'c')), 15), 16, 10) AS unsigned) AS c
  FROM seq_1_to_$1) numbers;
SQL
}

# Text and whole numbers of any size, doubles over their whole range, bytes.
values_in_sqlite() {
  sqlite3 "$dir/values-source.db" >/dev/null <<SQL
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
CREATE TABLE v (id INTEGER PRIMARY KEY, whole INTEGER, wide REAL, words TEXT, bytes BLOB) STRICT;
INSERT INTO v SELECT value,
  CASE value % 1000 WHEN 0 THEN NULL WHEN 1 THEN -9223372036854775807 - 1 WHEN 2 THEN 9223372036854775807 ELSE random() END,
  CASE value % 1000 WHEN 0 THEN NULL WHEN 1 THEN 1.7976931348623157e308 WHEN 2 THEN 2.2250738585072014e-308 ELSE random() * exp(random() % 600) END,
  CASE value % 1000 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE hex(randomblob(abs(random()) % 20)) || char(32 + abs(random()) % 50000) || substr('  ', 1, abs(random()) % 3) END,
  CASE value % 1000 WHEN 0 THEN NULL WHEN 1 THEN x'' ELSE randomblob(abs(random()) % 40) END
FROM generate_series(1, $1);
SQL
}

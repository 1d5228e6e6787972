# pgbench's TPC-B at full speed while Banyan follows: afterwards the sums must agree. Sourced.

part_tpcb() {
  local seconds="${TPCB_SECONDS:-60}" scale="${TPCB_SCALE:-10}"
  need_postgres
  tpcb_one postgres "$seconds" "$scale"
  need_mariadb
  tpcb_one mariadb "$seconds" "$scale"
  tpcb_both "$seconds" "$scale"
}

tpcb_tables='
[[migrations.m.tables]]
source = "pgbench_accounts"
[[migrations.m.tables]]
source = "pgbench_tellers"
[[migrations.m.tables]]
source = "pgbench_branches"
[[migrations.m.tables]]
source = "pgbench_history"
'
# Every one of the three balances counts what both sides added to it.
tpcb_deltas="$(sed 's/^source = "pgbench_\(accounts\|tellers\|branches\)"$/&\non_conflict = "add-deltas"/' <<<"$tpcb_tables")"

# The tables, empty, in a fresh database. pgbench_history has no key: it gets one, odd numbers at the
# source and even ones at the target, so that inserts never collide.
tpcb_prepare() {
  local target="$1" side
  fresh_postgres
  for side in source target; do
    pgbench -i -I tp -q -h 127.0.0.1 -p "${port[$side]}" -U postgres bench >"$dir/logs/pgbench-init" 2>&1
    pg "$side" -c "CREATE SEQUENCE history_id START $([[ $side == source ]] && echo 1 || echo 2) INCREMENT 2" \
      -c "ALTER TABLE pgbench_history ADD COLUMN id bigint PRIMARY KEY DEFAULT nextval('history_id')"
  done
  if [[ "$target" == mariadb ]]; then
    fresh_mariadb
    my target bench <<'SQL'
CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler varchar(84));
CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler varchar(84));
CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler varchar(88));
CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime datetime(6), filler varchar(22), id bigint PRIMARY KEY);
SQL
  fi
  pgbench -i -I gv -q -s "$2" -h 127.0.0.1 -p "${port[source]}" -U postgres bench >"$dir/logs/pgbench-init" 2>&1
}

# TPC-B as pgbench has it, but for the deltas. Two increments of the same size, made on both sides
# between two looks, count as one (a limit that the README names), so here they are never the same,
# however many are added up: the source's are multiples of 10007, the target's one more than that.
tpcb_script() {
  cat >"$dir/tpcb-$1.sql" <<SQL
\\set aid random(1, 100000 * :scale)
\\set bid random(1, 1 * :scale)
\\set tid random(1, 10 * :scale)
\\set delta 10007 * random(-5, 5) + $([[ $1 == source ]] && echo 0 || echo 1)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
END;
SQL
}

# tpcb_run SIDE SECONDS NAME SCALE
tpcb_run() {
  tpcb_script "$1"
  pgbench -n -h 127.0.0.1 -p "${port[$1]}" -U postgres -M prepared -c 4 -j 1 -T "$2" -D "scale=$4" -f "$dir/tpcb-$1.sql" bench \
    >"$dir/logs/$3-pgbench-$1" 2>&1
}
tpcb_done() { awk '/actually processed/ { split($NF, n, "/"); print n[1] }' "$dir/logs/$2-pgbench-$1"; }

tpcb_sums_query="SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(bbalance) FROM pgbench_branches), (SELECT coalesce(sum(delta), 0) FROM pgbench_history), (SELECT count(*) FROM pgbench_history)"

# tpcb_check NAME TARGET TRANSACTIONS: the four sums are one number, on both sides, and no transaction
# is missing.
tpcb_check() {
  local wanted="$3" side found sums
  for side in source target; do
    if [[ "$side" == target && "$2" == mariadb ]]; then
      found="$(my target bench -e "$tpcb_sums_query" | tr '\t' ' ')"
    else
      found="$(pg "$side" -F ' ' -c "$tpcb_sums_query")"
    fi
    say "  $1, $side: accounts, tellers, branches, history, transactions: $found"
    read -r -a sums <<<"$found"
    if [[ "${sums[0]}" != "${sums[3]}" || "${sums[1]}" != "${sums[3]}" || "${sums[2]}" != "${sums[3]}" || "${sums[4]}" != "$wanted" ]]; then
      fail "$1, $side: sums of accounts, tellers, branches and history, and transactions: $found; pgbench says $wanted transactions"
    fi
  done
  banyan "$1" verify m --level full
}

# The monolith alone is written; it is copied meanwhile.
tpcb_one() {
  local target="$1" seconds="$2" scale="$3" name="tpcb-$1" writer url done
  tpcb_prepare "$target" "$scale"
  url="$([[ "$target" == mariadb ]] && my_url target || pg_url target)"
  configure "$name" "$(pg_url source)" "$url" two-way "$tpcb_tables"
  tpcb_run source "$seconds" "$name" "$scale" &
  writer=$!
  banyan_follow "$name"
  wait "$writer" || fail "$name: pgbench failed: $(tail -n 3 "$dir/logs/$name-pgbench-source")"
  banyan_stop "$name"
  banyan "$name" sync m --until-idle
  note "$name-behind" "$took"
  done="$(tpcb_done source "$name")"
  note "$name-tps" "$((done / seconds))"
  tpcb_check "$name" "$target" "$done"
  no_conflicts "$name"
  row "TPC-B for $seconds s (scale $scale) on PostgreSQL, copied and followed to $target meanwhile" \
    "$done transactions, $((done / seconds)) a second; the rest carried over in $(figure "$name-behind")" "" ""
  banyan "$name" migration abort m
}

# Both sides are written: every branch, most tellers and some accounts on both.
tpcb_both() {
  local seconds="$1" scale="$2" name=tpcb-both side writers=() writer done=0
  tpcb_prepare postgres "$scale"
  configure "$name" "$(pg_url source)" "$(pg_url target)" two-way "$tpcb_deltas"
  banyan "$name" sync m --until-idle
  banyan_follow "$name"
  for side in source target; do
    tpcb_run "$side" "$seconds" "$name" "$scale" &
    writers+=($!)
  done
  for writer in "${writers[@]}"; do wait "$writer" || fail "$name: pgbench failed: $(tail -n 3 "$dir/logs/$name-pgbench-"*)"; done
  banyan_stop "$name"
  banyan "$name" sync m --until-idle
  note "$name-behind" "$took"
  for side in source target; do done=$((done + $(tpcb_done "$side" "$name"))); done
  tpcb_check "$name" postgres "$done"
  row "TPC-B for $seconds s (scale $scale) on both sides at once, PostgreSQL, \`add-deltas\`" \
    "$done transactions, $((done / seconds)) a second; the rest carried over in $(figure "$name-behind")" "" ""
  banyan "$name" migration abort m
}

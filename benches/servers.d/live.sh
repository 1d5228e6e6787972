# Tables that are written on both sides at full rate while they are compared again and again, and the sync
# is stopped for up to LAG_MAX seconds, cut off, and killed: no alarm may be false. In the end what was
# damaged behind everybody's back must be found. With LIVE_HOST=serve the sync is that of `banyan serve`,
# which compares everything every minute and all that changes in between, and alerts. Sourced.

part_live() {
  local seconds="${LIVE_SECONDS:-3600}" rate="${LIVE_RATE:-1000}" lag="${LAG_MAX:-30}" side end
  local alarms=0 verified=0 late=0 flight=0 chaos writers=() found mark host="${LIVE_HOST:-sync}" told="" proofs
  need_postgres
  fresh_postgres
  for side in source target; do
    pg "$side" -c "CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL, flag int NOT NULL, note text)"
    # Two statements a transaction, half of them come back to what they were; some rows are both sides'.
    cat >"$dir/live-$side.sql" <<SQL
\\set id 2 * random(0, 49000) + $([[ $side == source ]] && echo 0 || echo 1)
\\set both random(1, 400)
BEGIN;
UPDATE accounts SET flag = 1 - flag WHERE id = :id;
UPDATE accounts SET balance = balance + 1 WHERE id = CASE WHEN :both = 1 THEN :both ELSE :id END;
COMMIT;
SQL
  done
  pg source -c "INSERT INTO accounts SELECT i, 0, 0, md5(i::text) FROM generate_series(0, 100000) i"
  configure live "$(pg_url source)" "$(pg_url target)" two-way $'[[migrations.m.tables]]\nsource = "accounts"\n[migrations.m.verification]\ninterval_s = 60\nalert_command = "tee -a alerts; echo >>alerts"'
  banyan live sync m --until-idle
  banyan_follow live "$host"
  for side in source target; do
    pgbench -n -f "$dir/live-$side.sql" -c 4 -R "$rate" -T "$seconds" -h 127.0.0.1 -p "${port[$side]}" -U postgres bench \
      >"$dir/logs/live-$side" 2>&1 &
    writers+=($!)
  done
  end=$((SECONDS + seconds - 10))
  live_chaos "$end" "$lag" "$host" &
  chaos=$!
  while ((SECONDS < end)); do
    local level
    for level in full hash count; do
      (cd "$dir/live" && "$BANYAN" -q verify m --level "$level" --patience-s 120 --format json) >"$dir/output" 2>>"$dir/logs/live" || true
      verified=$((verified + 1))
      # One that lost its own connection says nothing about the rows.
      ! grep -q '"consistent": false' "$dir/output" ||
        { alarms=$((alarms + 1)); cp "$dir/output" "$dir/logs/alarm-$alarms"; }
      ! grep -q '"late"' "$dir/output" || late=$((late + 1))
      found="$(sed -n 's/^  "in_flight": \([0-9]*\).*/\1/p' "$dir/output" | head -n 1)"
      flight=$((flight + ${found:-0}))
    done
  done
  wait "$chaos" || true
  wait "${writers[@]}" || fail "pgbench: $(tail -n 3 "$dir"/logs/live-*)"
  [[ ! -s "$dir/live/alerts" ]] ||
    { alarms=$((alarms + $(grep -c '"migration"' "$dir/live/alerts"))); cp "$dir/live/alerts" "$dir/logs/alarm-1"; }
  if [[ "$host" == serve ]]; then
    proofs="$(grep -c 'm: no row differs that changed' "$dir/logs/live.log" || true)"
    told=", the host compared everything $(grep -c 'proven equal' "$dir/logs/live.log" || true) times and told $proofs times that no row differs that changed"
  fi
  # Behind the sync's back: what is marked as Banyan's own is passed over.
  mark="$(pg target -c "SELECT '_banyan_m.' || substring(slot_name from '[^_]*$') FROM pg_replication_slots WHERE database = 'bench'")"
  pg target -c "BEGIN; SELECT pg_logical_emit_message(true, '$mark', ''); UPDATE accounts SET note = note || ' ' WHERE id % 1000 = 501; COMMIT" >/dev/null
  (cd "$dir/live" && "$BANYAN" -q verify m --format json) >"$dir/output" 2>>"$dir/logs/live" || true
  found="$(sed -n 's/.*"differences_total": \([0-9]*\).*/\1/p' "$dir/output")"
  # A damaged row that an application touches is a conflict at once.
  local touched=0 begun
  begun="$(now)"
  pg source -c "UPDATE accounts SET flag = 1 - flag WHERE id % 10000 = 501" >/dev/null
  while ((touched < 10 && SECONDS < end + 120)); do
    (cd "$dir/live" && "$BANYAN" -q conflict list m --format json) >"$dir/output" 2>>"$dir/logs/live" || true
    touched="$(grep -c '"id": [0-9]*501$' "$dir/output" || true)"
  done
  local touched_s
  touched_s="$(since "$begun")"
  kill -TERM "$(cat "$dir/live.pid")" 2>/dev/null || true
  [[ "$touched" -ge 10 ]] || fail "live: $touched of 10 damaged rows that were touched are conflicts"
  [[ "$found" == 100 ]] || fail "live: $found of 100 damaged rows found"
  [[ "$alarms" -eq 0 ]] || fail "live: $alarms false alarms: $(head -c 600 "$dir/logs/alarm-1")"
  local tps
  tps="$(awk '/^tps/ { sum += $3 } END { printf "%.0f", sum }' "$dir/logs/live-source" "$dir/logs/live-target")"
  row "$verified verifications of 100,001 rows, written on both sides for $seconds s ($tps transactions a second in all); sync stopped for up to $lag s, killed, cut off" \
    "$alarms false alarms, $flight rows in flight, $late times too late; $found of 100 damaged rows found$told; 10 that were touched are conflicts after $touched_s s" "" ""
}

# The sync lags, loses its connections, and is killed and started anew. Its process is in live.pid.
live_chaos() {
  local end="$1" lag="$2" host="$3" pid="$following"
  echo "$pid" >"$dir/live.pid"
  while ((SECONDS < end)); do
    sleep "$((RANDOM % 8))"
    case $((RANDOM % 3)) in
      0)
        # One that has only just begun works on the migration when it has the lease itself; one that was
        # killed may have it for a moment longer.
        until grep -q "FLOCK .* $pid " /proc/locks || ! kill -0 "$pid" 2>/dev/null; do
          sleep 0.05
        done
        kill -STOP "$pid" 2>/dev/null || true
        sleep "$((RANDOM % (lag + 1)))"
        kill -CONT "$pid" 2>/dev/null || true
        ;;
      1)
        kill -KILL "$pid" 2>/dev/null || true
        (cd "$dir/live" && exec "$BANYAN" -q "$host" m) >>"$dir/logs/live.log" 2>&1 &
        pid=$!
        echo "$pid" >"$dir/live.pid"
        ;;
      2)
        pg source -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'banyan%' AND random() < 0.5" >/dev/null || true
        ;;
    esac
  done
}

# Both sides are written at a fixed rate while Banyan follows: from commit to visible. Sourced.

part_steady() {
  local rows=200000 seconds="${STEADY_SECONDS:-30}" rate="${STEADY_RATE:-5000}" per="${STEADY_PER:-10}" run begun
  need_postgres
  for ((run = 1; run <= runs; run++)); do
    steady_prepare "$rows" "$per"
    banyan_follow steady
    # Whatever its start costs is no part of a steady rate.
    sleep 3
    steady_write "$seconds" "$rate" "$per"
    begun="$(now)"
    if steady_equal; then
      note steady-behind "$(since "$begun")"
    else
      fail "steady: 60 s after the last write the sides still differ"
    fi
    banyan_stop steady
    banyan steady sync m --until-idle
    same_items "steady"
    steady_conflicts
    banyan steady migration abort m
  done
  local way
  for way in source-target target-source; do
    row "commit to visible, $way (${way%%-*} is written), PostgreSQL both sides, $rate changes a second on each side wanted, $per rows a transaction, $seconds s" \
      "p50 $(median "steady-$way-p50") ms, p95 $(median "steady-$way-p95") ms, p99 $(median "steady-$way-p99") ms, highest $(median "steady-$way-max") ms of $(median "steady-$way-samples") samples; written there: $(median "steady-rate-${way%%-*}") changes a second" "" ""
  done
  row "steady rate: both sides equal after the last write" "$(figure steady-behind)" "" ""
}

# The source's writers have the lower half of the keys, the target's the upper one. Probes are rows of
# their own: one every 20 ms, whether the earlier ones have arrived or not.
steady_prepare() {
  local side
  fresh_postgres
  for side in source target; do
    pg "$side" -c "$items_table"
    pg "$side" <<'SQL'
CREATE PROCEDURE probe(first bigint, seconds int) LANGUAGE plpgsql AS $$
DECLARE i bigint := first; due timestamptz := clock_timestamp(); stop timestamptz := clock_timestamp() + seconds * interval '1 second';
BEGIN
  WHILE due < stop LOOP
    PERFORM pg_sleep(greatest(0, extract(epoch FROM due - clock_timestamp())));
    COMMIT;
    INSERT INTO items VALUES (i, 0, 'probe', clock_timestamp());
    COMMIT;
    i := i + 1;
    due := due + interval '20 milliseconds';
  END LOOP;
END $$;
CREATE PROCEDURE watch(first bigint, seconds int, INOUT seen double precision[]) LANGUAGE plpgsql AS $$
DECLARE next bigint := first; r record; stop timestamptz := clock_timestamp() + seconds * interval '1 second';
BEGIN
  WHILE clock_timestamp() < stop LOOP
    FOR r IN SELECT id, at FROM items WHERE id >= next AND id < first + 100000000 ORDER BY id LOOP
      seen := seen || (extract(epoch FROM clock_timestamp() - r.at) * 1000)::double precision;
      next := r.id + 1;
    END LOOP;
    COMMIT;
    PERFORM pg_sleep(0.001);
    COMMIT;
  END LOOP;
END $$;
SQL
  done
  fill_items source "$1"
  configure steady "$(pg_url source)" "$(pg_url target)" two-way
  banyan steady sync m --until-idle
  pg target -c "VACUUM ANALYZE items"
  for side in source target; do
    cat >"$dir/steady-$side.sql" <<SQL
\\set first $([[ $side == source ]] && echo 0 || echo $(($1 / 2))) + $2 * random(0, $(($1 / 2 / $2 - 1)))
UPDATE items SET n = n + 1, at = clock_timestamp() WHERE id > :first AND id <= :first + $2;
SQL
  done
}

steady_write() {
  local seconds="$1" rate="$2" per="$3" side other pids=() pid
  for side in source target; do
    other="$([[ $side == source ]] && echo target || echo source)"
    pgbench -n -h 127.0.0.1 -p "${port[$side]}" -U postgres -M prepared -c 2 -T "$seconds" -R $((rate / per)) \
      -f "$dir/steady-$side.sql" bench >"$dir/logs/steady-pgbench-$side" 2>&1 &
    pids+=($!)
    pg "$side" -c "CALL probe($([[ $side == source ]] && echo 1000000000 || echo 2000000000), $seconds)" &
    pids+=($!)
    pg "$other" -c "CALL watch($([[ $side == source ]] && echo 1000000000 || echo 2000000000), $((seconds + 5)), '{}')" >"$dir/seen-$side-$other" &
    pids+=($!)
  done
  # The watchers go on for five seconds.
  for pid in "${pids[@]}"; do wait "$pid" || fail "steady: a writer or watcher failed: $(tail -n 3 "$dir"/logs/steady-pgbench-*)"; done
  for side in source target; do
    other="$([[ $side == source ]] && echo target || echo source)"
    note "steady-rate-$side" "$(awk -v per="$per" -v s="$seconds" '/actually processed/ { split($NF, n, "/"); printf "%.0f", n[1] * per / s }' "$dir/logs/steady-pgbench-$side")"
    tr -d '{}' <"$dir/seen-$side-$other" | tr ',' '\n' | grep . | sort -g >"$dir/sorted" || true
    note "steady-$side-$other-samples" "$(wc -l <"$dir/sorted")"
    local percent
    for percent in 50 95 99; do
      note "steady-$side-$other-p$percent" "$(awk -v p="$percent" '{ a[NR] = $1 } END { i = int(NR * p / 100 + 0.999999); if (NR) printf "%.1f", a[i < 1 ? 1 : i] }' "$dir/sorted")"
    done
    note "steady-$side-$other-max" "$(tail -n 1 "$dir/sorted" | awk '{ printf "%.0f", $1 }')"
  done
}

# Waits until both sides have the same rows.
steady_equal() {
  local try
  for ((try = 0; try < 60; try++)); do
    [[ "$(items_digest source)" != "$(items_digest target)" ]] || return 0
    sleep 0.5
  done
  return 1
}

# The writers never touch the same row.
steady_conflicts() { no_conflicts steady; }

# One comparison on one worker, on two, and on three of which one is killed. Sourced.

part_cluster() {
  local rows="${VERIFY_ROWS:-1000000}" run workers alone digest
  need_postgres
  fresh_postgres
  orders_table source orders bigint i "$rows"
  orders_table target orders bigint i "$rows"
  pg target -c "UPDATE orders SET n = n + 1 WHERE id % ($rows / 10) = 7" >/dev/null
  configure cluster "$(pg_url source)" "$(pg_url target)" one-way $'[[migrations.m.tables]]\nsource = "orders"'
  for ((run = 1; run <= runs; run++)); do
    cluster_verify alone
    alone="$digest"
    for workers in 1 2 3; do
      cluster_start "$workers"
      if [[ "$workers" -eq 3 ]]; then
        # A tenth of a second into its work.
        (sleep 0.6; kill -KILL "${cluster_pids[1]}") &
      fi
      cluster_verify "$workers" --workers "$(IFS=,; echo "${cluster_at[*]}")"
      [[ "$digest" == "$alone" ]] || fail "cluster: $workers workers find $digest, one process $alone"
      kill -KILL "${cluster_pids[@]}" 2>/dev/null || true
      wait "${cluster_pids[@]}" 2>/dev/null || true
    done
  done
  row "verify FULL, $rows rows of 10 columns, 10 differ; the same digest each time" \
    "one process $(figure cluster-alone); 1 worker $(figure cluster-1), 2 workers $(figure cluster-2), 3 of which one is killed $(figure cluster-3)" "" ""
}

cluster_start() { # HOW-MANY
  local n
  cluster_pids=() cluster_at=()
  for ((n = 0; n < $1; n++)); do
    rm -f "$dir/worker-$n"
    (cd "$dir/cluster" && exec "$BANYAN" -q worker --listen 127.0.0.1:0) >"$dir/worker-$n" 2>>"$dir/logs/cluster" &
    cluster_pids+=($!)
    until grep -qs listening "$dir/worker-$n"; do sleep 0.05; done
    cluster_at+=("$(sed 's/^listening on //' "$dir/worker-$n")")
  done
}

# cluster_verify NAME ARGUMENTS: notes the time; what is found is in digest.
cluster_verify() {
  local name="$1" begun
  shift
  begun="$(now)"
  (cd "$dir/cluster" && "$BANYAN" -q verify m --format json "$@") >"$dir/output" 2>>"$dir/logs/cluster" || true
  note "cluster-$name" "$(since "$begun")"
  digest="$(sed -n 's/.*"digest": "\([0-9a-f]*\)".*/\1/p; s/.*"differences_total": \([0-9]*\).*/\1/p' "$dir/output" | tr '\n' ' ')"
}

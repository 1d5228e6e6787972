# A backlog of changes, applied by Banyan and by native logical replication. Sourced.

part_drain() {
  local rows="${DRAIN_ROWS:-300000}" run peer per
  need_postgres
  for per in 1 1000; do
    for ((run = 1; run <= runs; run++)); do
      for peer in $(ordered "$run" two-way native one-way); do
        drain_prepare "$peer" "$rows"
        drain_write "$rows" "$per"
        checkpoint
        "drain_$([[ "$peer" == native ]] && echo native || echo banyan)" "$peer" "$per" "$rows"
        same_items "drain $peer, $per rows a transaction"
        drain_end "$peer"
      done
    done
    local what="backlog of $rows updated rows, $per a transaction, PostgreSQL → PostgreSQL"
    local native="native logical replication $(figure "drain-native-$per"), $(rate "drain-native-$per" "$rows")"
    for peer in two-way one-way; do
      row "$what; Banyan $peer, its start included" \
        "$(figure "drain-$peer-$per"), $(rate "drain-$peer-$per" "$rows"), peak $(mebibytes "drain-$peer-$per-kb")" \
        "$native" "$(ratio "drain-$peer-$per" "drain-native-$per")"
    done
  done
}

# Both sides hold the rows, the peer is in step and stopped.
drain_prepare() {
  fresh_postgres
  pg source -c "$items_table"
  pg target -c "$items_table"
  fill_items source "$2"
  if [[ "$1" == native ]]; then
    pg source -c "CREATE PUBLICATION bench FOR TABLE items"
    pg target -c "CREATE SUBSCRIPTION bench CONNECTION 'host=127.0.0.1 port=${port[source]} user=postgres dbname=bench' PUBLICATION bench"
    until [[ "$(pg target -c "SELECT count(*) FROM pg_subscription_rel WHERE srsubstate = 'r'")" == 1 ]]; do sleep 0.2; done
    pg target -c "ALTER SUBSCRIPTION bench DISABLE"
  else
    configure drain "$(pg_url source)" "$(pg_url target)" "$1"
    banyan drain sync m --until-idle
  fi
  pg target -c "VACUUM ANALYZE items"
  same_items "copy before the drain ($1)"
}

# Every row once, in an order that is not that of the keys; the last one is the sentinel.
drain_write() {
  pg source <<SQL
SET synchronous_commit = off;
CREATE PROCEDURE backlog(total bigint, per bigint) LANGUAGE plpgsql AS \$\$
BEGIN
  FOR i IN 0 .. total / per - 1 LOOP
    UPDATE items SET n = n + 1, note = repeat(md5(note), 3), at = clock_timestamp()
      WHERE id = ANY (ARRAY(SELECT ((i * per + j) * 7919) % total + 1 FROM generate_series(0, per - 1) j));
    COMMIT;
  END LOOP;
END \$\$;
CALL backlog($1, $2);
SQL
}

drain_native() {
  local begun last rows="$3" value
  last=$((((rows - 1) * 7919) % rows + 1))
  value="$(pg source -c "SELECT n FROM items WHERE id = $last")"
  begun="$(now)"
  pg target >/dev/null <<SQL
ALTER SUBSCRIPTION bench ENABLE;
DO \$\$ BEGIN
  WHILE NOT EXISTS (SELECT FROM items WHERE id = $last AND n = $value) LOOP
    COMMIT;
    PERFORM pg_sleep(0.005);
  END LOOP;
END \$\$;
SQL
  note "drain-native-$2" "$(since "$begun")"
}

drain_banyan() {
  banyan drain sync m --until-idle
  note "drain-$1-$2" "$took"
  note "drain-$1-$2-kb" "$peak_kb"
}

drain_end() {
  if [[ "$1" == native ]]; then
    pg target -c "DROP SUBSCRIPTION bench"
  else
    banyan drain migration abort m
  fi
}

# One large table, copied by Banyan, by psql to psql, and by pgcopydb. Sourced.

part_copy() {
  local rows="${COPY_ROWS:-5000000}" run peer begun
  local columns="id, n, note, at"
  need_postgres
  for ((run = 1; run <= runs; run++)); do
    for peer in $(ordered "$run" banyan psql pgcopydb); do
      copy_prepare "$rows"
      case "$peer" in
        banyan)
          pg target -c "$items_table"
          configure copy "$(pg_url source)" "$(pg_url target)" one-way
          checkpoint
          banyan copy copy m
          note copy-banyan "$took"
          note copy-banyan-kb "$peak_kb"
          ;;
        psql)
          pg target -c "$items_table"
          checkpoint
          begun="$(now)"
          pg source -c "COPY items ($columns) TO STDOUT (FORMAT binary)" |
            pg target -c "COPY items ($columns) FROM STDIN (FORMAT binary)"
          note copy-psql "$(since "$begun")"
          ;;
        pgcopydb)
          checkpoint
          rm -rf "$dir/pgcopydb"
          begun="$(now)"
          pgcopydb clone --dir "$dir/pgcopydb" --source "$(pg_url source)" --target "$(pg_url target)" \
            --table-jobs 1 --index-jobs 1 --no-owner --no-acl >"$dir/logs/pgcopydb" 2>&1 ||
            fail "pgcopydb clone: $(tail -n 3 "$dir/logs/pgcopydb")"
          note copy-pgcopydb "$(since "$begun")"
          ;;
      esac
      same_items "copy by $peer"
      [[ "$peer" != banyan ]] || banyan copy migration abort m
    done
  done
  local measured
  measured="$(figure copy-banyan), $(rate copy-banyan "$rows"), peak $(mebibytes copy-banyan-kb)"
  for peer in psql pgcopydb; do
    row "copy of $rows rows, PostgreSQL → PostgreSQL" "$measured" \
      "$([[ $peer == psql ]] && echo '`psql COPY (binary) \| psql COPY`' || echo '`pgcopydb clone`') $(figure "copy-$peer"), $(rate "copy-$peer" "$rows")" \
      "$(ratio copy-banyan "copy-$peer")"
  done
}

# The source is made once; only what earlier peers left goes.
copy_prepare() {
  if [[ -e "$dir/copy-made" ]]; then
    pg target -d postgres -c "DROP DATABASE bench WITH (FORCE)" -c "CREATE DATABASE bench"
    return
  fi
  fresh_postgres
  pg source -c "$items_table"
  fill_items source "$1"
  # Nobody shall pay for writing that down, or for the target's first log files.
  pg target -c "$items_table"
  pg source -c "COPY items TO STDOUT (FORMAT binary)" | pg target -c "COPY items FROM STDIN (FORMAT binary)"
  checkpoint
  sync
  pg target -d postgres -c "DROP DATABASE bench WITH (FORCE)" -c "CREATE DATABASE bench"
  touch "$dir/copy-made"
}

# The same table, copied between MariaDB servers by Banyan and by mariadb-dump. Sourced.

part_mariadb() {
  local rows="${MARIADB_ROWS:-1000000}" run peer begun side
  local table="CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL, note text NOT NULL, at datetime(6) NOT NULL)"
  need_mariadb
  fresh_mariadb
  my source bench -e "$table; INSERT INTO items SELECT seq, seq % 1000, repeat(md5(seq), 3), '2026-01-01' + INTERVAL seq SECOND FROM seq_1_to_$rows"
  for ((run = 1; run <= runs; run++)); do
    for peer in $(ordered "$run" banyan dump); do
      my target -e "DROP DATABASE bench; CREATE DATABASE bench CHARACTER SET utf8mb4"
      case "$peer" in
        banyan)
          my target bench -e "$table"
          configure mariadb "$(my_url source)" "$(my_url target)" one-way
          banyan mariadb copy m
          note mariadb-banyan "$took"
          note mariadb-banyan-kb "$peak_kb"
          ;;
        dump)
          begun="$(now)"
          mariadb-dump --no-defaults -h 127.0.0.1 -P "${port[mariadb-source]}" -uapp -ppw --single-transaction --quick bench items |
            my target bench
          note mariadb-dump "$(since "$begun")"
          ;;
      esac
      for side in source target; do
        my "$side" bench -e "SELECT count(*), sum(crc32(concat_ws('|', id, n, note, at))) FROM items" >"$dir/digest-$side"
      done
      cmp -s "$dir/digest-source" "$dir/digest-target" ||
        fail "mariadb copy by $peer: the sides differ: $(cat "$dir/digest-source" "$dir/digest-target")"
      [[ "$peer" != banyan ]] || banyan mariadb migration abort m
    done
  done
  row "copy of $rows rows, MariaDB → MariaDB" \
    "$(figure mariadb-banyan), $(rate mariadb-banyan "$rows"), peak $(mebibytes mariadb-banyan-kb)" \
    "\`mariadb-dump \\| mariadb\` $(figure mariadb-dump), $(rate mariadb-dump "$rows")" "$(ratio mariadb-banyan mariadb-dump)"
}

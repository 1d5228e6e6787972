#!/bin/sh
# The processes behind the tests' servers.
#
#   servers.sh sweep FOLDER PID START
#       Makes FOLDER and waits for the test run to end, however it ends: for process PID, started at
#       START. Then ends the servers that were launched in FOLDER, and removes it.
#   servers.sh launch FOLDER SIGNAL COMMAND…
#       Becomes COMMAND, after it has written FOLDER/pid: its process, its start, and the signal that
#       ends it at once.
#
# A start is field 22 of /proc/PID/stat, so that a number which is used again is not taken for the
# same process; 0 where there is no /proc.

# Sets $state and $start of process $1. Fails when there is none.
look_at() {
  state=R start=0
  if [ ! -r /proc/self/stat ]; then
    kill -0 "$1" 2>/dev/null
    return
  fi
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  # The process's name is in parentheses and may hold anything.
  # shellcheck disable=SC2086
  set -- ${line##*) }
  state=$1 start=${20}
}

# Whether process $1 is there, the one that was started at $2.
runs() { look_at "$1" && [ "$state" != Z ] && [ "$start" = "$2" ]; }

# Sends signal $1, or each server's own without one. Fails when no server is left.
end_servers() {
  left=1
  for file in "$folder"/*/pid; do
    { read -r pid born signal <"$file"; } 2>/dev/null || continue
    if runs "$pid" "$born"; then
      kill "-${1:-$signal}" "$pid" 2>/dev/null
      left=0
    fi
  done
  return "$left"
}

verb=$1 folder=$2
case "$verb" in
  sweep)
    mkdir -m 755 "$folder" 2>/dev/null || exit 0
    while runs "$3" "$4"; do sleep 0.2; done
    tries=0
    while end_servers && [ "$tries" -lt 30 ]; do
      tries=$((tries + 1))
      sleep 0.1
    done
    # A server that is being launched right now finds no folder, and ends by itself.
    while [ -e "$folder" ] && [ "$tries" -lt 100 ]; do
      end_servers KILL && sleep 0.1
      rm -rf "$folder" 2>/dev/null || sleep 0.1
      tries=$((tries + 1))
    done
    ;;
  launch)
    look_at "$$"
    echo "$$ $start $3" >"$folder/pid.new" && mv "$folder/pid.new" "$folder/pid" || exit 1
    shift 3
    exec "$@"
    ;;
esac

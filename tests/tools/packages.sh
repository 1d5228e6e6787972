# Debian packages that are missing, installed together. Sourced by tests/run and benches/run.
# Needs say().

missing_packages=()

# command:package …
need_commands() {
  local pair
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing_packages+=("${pair#*:}")
  done
}

# path (may hold *):package …
need_files() {
  local pair
  for pair in "$@"; do
    compgen -G "${pair%%:*}" >/dev/null || missing_packages+=("${pair#*:}")
  done
}

# command package path (may hold *): either will do.
need_program() {
  command -v "$1" >/dev/null 2>&1 || compgen -G "$3" >/dev/null || missing_packages+=("$2")
}

# Installs what was found missing. Without the right to, says what is missing and goes on: the
# tests that need it say so themselves.
install_packages() {
  [[ ${#missing_packages[@]} -eq 0 ]] && return 0
  if [[ "$(id -u)" -ne 0 ]] || ! command -v apt-get >/dev/null 2>&1; then
    say "missing: ${missing_packages[*]} (Debian packages; as root this script installs them)"
    return 0
  fi
  say "installing ${missing_packages[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends "${missing_packages[@]}" >&2
  missing_packages=()
}

# Line coverage of src/ from the test binary and from every `banyan` process that tests start.
# Sourced by tests/run. Needs say(), $target, $results and packages.sh.

# Sets $profdata and $cov to LLVM's tools of the version that rustc was built with.
coverage_tools() {
  local major sysroot folder
  major="$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')"
  sysroot="$(rustc --print sysroot)"
  for folder in "$sysroot"/lib/rustlib/*/bin /usr/lib/llvm-"$major"/bin /usr/lib/rustlib/*/bin; do
    if [[ -x "$folder/llvm-profdata" && -x "$folder/llvm-cov" ]] &&
      "$folder/llvm-cov" --version | grep -q "LLVM version $major\."; then
      profdata="$folder/llvm-profdata"
      cov="$folder/llvm-cov"
      return 0
    fi
  done
  return 1
}

coverage_begin() {
  if ! coverage_tools; then
    if command -v rustup >/dev/null 2>&1; then
      rustup component add llvm-tools >&2 || true
    fi
    if ! coverage_tools; then
      missing_packages=("llvm-$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')")
      install_packages || true
    fi
    coverage_tools || {
      say "coverage needs llvm-profdata and llvm-cov of rustc's LLVM version"
      exit 2
    }
  fi
  profiles="$target/coverage"
  rm -rf "$profiles"
  mkdir -p "$profiles"
  export RUSTC_WORKSPACE_WRAPPER="$PWD/tests/tools/instrument"
  export LLVM_PROFILE_FILE="$profiles/%p-%m.profraw"
}

# coverage_end MIN: prints the coverage, file by file into a file; fails below MIN percent.
coverage_end() {
  local min="$1" merged="$profiles/merged.profdata" objects=() binary percent
  # Processes that tests kill leave torn files; those are left out.
  find "$profiles" -name '*.profraw' >"$profiles/list"
  "$profdata" merge -sparse -failure-mode=all -f "$profiles/list" -o "$merged" 2>"$profiles/torn"
  while read -r binary; do
    objects+=(-object "$binary")
  done < <(cargo test --release --no-run --message-format json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | sort -u)
  "$cov" report "${objects[@]:1}" -instr-profile="$merged" -show-region-summary=false \
    -show-branch-summary=false -show-functions=false \
    -ignore-filename-regex='(/\.cargo/|/rustc/|/tests?/|/tests\.rs$|/benches/|/plugins/|/usr/)' \
    >"$results/coverage.txt"
  cat "$results/coverage.txt" >&2
  percent="$(awk '$1 == "TOTAL" { sub(/%/, "", $NF); print $NF }' "$results/coverage.txt")"
  echo "line coverage of src/: $percent % (${results#"$PWD"/}/coverage.txt)"
  if ! awk -v percent="$percent" -v min="$min" 'BEGIN { exit !(percent + 0 >= min) }'; then
    say "line coverage is under $min %"
    return 1
  fi
}

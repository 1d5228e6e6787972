# Turns what `cargo test -- --color never` prints into JUnit XML. One testsuite a test binary.

function escape(text) {
  gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/>/, "\\&gt;", text)
  gsub(/"/, "\\&quot;", text)
  # XML has no place for control characters, not even escaped.
  gsub(/[\001-\010\013\014\016-\037]/, "?", text)
  return text
}

function end_details() { detail = "" }

# The binary that the next tests belong to.
/^ +Running / || /^ +Doc-tests / {
  suite = $0
  sub(/^ +(Running|Doc-tests) /, "", suite); sub(/ \(.*\)$/, "", suite)
  if (!(suite in seen)) { seen[suite] = 1; suites[++suite_count] = suite }
  end_details()
  next
}

/^test .* \.\.\. (ok|FAILED|ignored.*)$/ {
  name = $0
  sub(/^test /, "", name)
  result = name
  sub(/ \.\.\. [^.]*$/, "", name); sub(/ - should panic$/, "", name)
  sub(/^.* \.\.\. /, "", result)
  tests[suite]++
  key = suite SUBSEP tests[suite]
  names[key] = name
  results[key] = result
  if (result == "FAILED") failures[suite]++
  end_details()
  next
}

# What a failed test printed.
/^---- .* stdout ----$/ {
  detail = $0
  sub(/^---- /, "", detail); sub(/ stdout ----$/, "", detail); sub(/ - should panic$/, "", detail)
  next
}
/^failures:$/ || /^test result: / { end_details(); next }
detail != "" { printed[suite, detail] = printed[suite, detail] escape($0) "\n" }

END {
  for (s = 1; s <= suite_count; s++) {
    all += tests[suites[s]]; bad += failures[suites[s]]
  }
  print "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
  printf "<testsuites name=\"banyan\" tests=\"%d\" failures=\"%d\" errors=\"0\">\n", all, bad
  for (s = 1; s <= suite_count; s++) {
    suite = suites[s]
    if (tests[suite] == 0) continue
    printf "  <testsuite name=\"%s\" tests=\"%d\" failures=\"%d\" errors=\"0\">\n", \
      escape(suite), tests[suite], failures[suite]
    for (t = 1; t <= tests[suite]; t++) {
      key = suite SUBSEP t
      name = names[key]
      printf "    <testcase classname=\"%s\" name=\"%s\"", escape(suite), escape(name)
      if (results[key] == "ok") { print "/>"; continue }
      if (results[key] == "FAILED") {
        printf "><failure message=\"failed\">%s</failure></testcase>\n", printed[suite, name]
      } else {
        print "><skipped/></testcase>"
      }
    }
    print "  </testsuite>"
  }
  print "</testsuites>"
}

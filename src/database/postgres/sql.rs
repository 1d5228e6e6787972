//! Statements on Banyan's own tables: `?` as placeholders, and values of a few types.

/// `?` outside quotes and comments becomes `$1`, `$2`, …
pub(super) fn placeholders(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() + 8);
    let mut rest = sql;
    let mut count = 0;
    while let Some(c) = rest.chars().next() {
        let until = |end: &str, from: usize| {
            rest.get(from..)
                .and_then(|r| r.find(end))
                .map_or(rest.len(), |i| from + i + end.len())
        };
        let len = match c {
            '?' => {
                count += 1;
                out.push_str(&format!("${count}"));
                rest = &rest[1..];
                continue;
            }
            // A doubled quote ends one text and begins the next: it makes no difference here.
            '\'' | '"' => until(&c.to_string(), 1),
            '-' if rest.starts_with("--") => until("\n", 2),
            '/' if rest.starts_with("/*") => until("*/", 2),
            _ => c.len_utf8(),
        };
        out.push_str(&rest[..len]);
        rest = &rest[len..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::placeholders;

    #[test]
    fn placeholders_are_numbered_outside_quotes() {
        assert_eq!(
            placeholders("SELECT '?', \"a?\" -- ?\n /* ? */ FROM t WHERE a = ? AND b IN (?, ?)"),
            "SELECT '?', \"a?\" -- ?\n /* ? */ FROM t WHERE a = $1 AND b IN ($2, $3)"
        );
        assert_eq!(
            placeholders("x = ? AND 'it''s?' = 'ä'"),
            "x = $1 AND 'it''s?' = 'ä'"
        );
    }
}

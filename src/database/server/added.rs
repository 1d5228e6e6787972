//! What is said of columns that a captured table gets, and whether it is all that is said.

/// By a log: it holds every change of the row all the same.
const LOGGED: &str = "was added";
/// By triggers: a change of nothing but the new column was not written down.
const UNSEEN: &str = "was added, and what was written to it is not captured";
/// Between several things that are said.
pub(super) const BETWEEN: &str = "; ";

/// A log's words for a column that is new.
pub(in crate::database) fn logged(column: &str) -> String {
    format!("column {column} {LOGGED}")
}

/// Triggers' words for a column that is new.
pub(in crate::database) fn unseen(column: &str) -> String {
    format!("column {column} {UNSEEN}")
}

/// Of a gap that is nothing but new columns: whether changes were missed all the same. `None` for any
/// other.
pub(in crate::database) fn missed(gap: &str) -> Option<bool> {
    let mut missed = false;
    for part in gap.split(BETWEEN) {
        let unseen = part.ends_with(UNSEEN);
        if !part.starts_with("column ") || !unseen && !part.ends_with(LOGGED) {
            return None;
        }
        missed |= unseen;
    }
    Some(missed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_additions_are_told_apart() {
        assert_eq!(missed(&logged("a")), Some(false));
        assert_eq!(
            missed(&format!("{}; {}", logged("a"), logged("b"))),
            Some(false)
        );
        assert_eq!(
            missed(&format!("{}; {}", logged("a"), unseen("b"))),
            Some(true)
        );
        assert_eq!(
            missed("column a was int and is text; column b was added"),
            None
        );
        assert_eq!(missed("was truncated"), None);
        assert_eq!(missed(""), None);
    }
}

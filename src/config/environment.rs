//! `${NAME}` in string values.

use std::collections::BTreeMap;

/// Where `${NAME}` is looked up.
pub trait Environment {
    /// The value of a variable; `None` when it is not set or not UTF-8.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Environment for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        Self::get(self, name).cloned()
    }
}

/// A piece of a template.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text as it is.
    Text(&'a str),
    /// The name of a variable.
    Variable(&'a str),
}

/// Cuts a template at its variables. `$${` stands for `${`; a `$` before anything else is itself.
pub(super) fn pieces(template: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut out = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            out.push(Piece::Text(before));
            out.push(Piece::Text("${"));
            rest = after.strip_prefix("${").unwrap_or(after);
            continue;
        }
        out.push(Piece::Text(before));
        let body = after.strip_prefix("${").unwrap_or(after);
        let Some((name, tail)) = body.split_once('}') else {
            return Err("has ${ without }; write $${ for the two characters themselves".to_owned());
        };
        let good = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.chars().next().is_some_and(|c| !c.is_ascii_digit());
        if !good {
            return Err(format!(
                "has ${{{name}}}, which is no name of a variable (letters, digits and _); write \
                 $${{ for the two characters themselves"
            ));
        }
        out.push(Piece::Variable(name));
        rest = tail;
    }
    out.push(Piece::Text(rest));
    out.retain(|piece| *piece != Piece::Text(""));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_and_dollars_escaped() {
        assert_eq!(
            pieces("a${B}c").unwrap(),
            [Piece::Text("a"), Piece::Variable("B"), Piece::Text("c")]
        );
        assert_eq!(
            pieces("$${B} $5 $").unwrap(),
            [Piece::Text("${"), Piece::Text("B} $5 $")]
        );
        assert_eq!(pieces("").unwrap(), []);
    }

    #[test]
    fn an_open_or_empty_name_is_refused() {
        assert!(pieces("${A").unwrap_err().contains("without }"));
        assert!(pieces("${}").is_err());
        assert!(pieces("${1A}").is_err());
        assert!(pieces("${A-B}").is_err());
    }
}

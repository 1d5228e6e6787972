//! Errors on stderr, and their exit codes.

use std::io::{self, Write};

use serde_json::json;

use crate::error::{Error, ErrorKind};

/// Shows an error and answers the exit code. Text: `error: …`, its causes, and after a blank line
/// one `hint: …` each. JSON: one object.
pub(super) fn error(error: &Error, json: bool, errors: &mut dyn Write) -> u8 {
    if is_broken_pipe(error) {
        // The reader has seen enough; there is nobody to tell.
        return 0;
    }
    let code = error.kind().exit_code();
    let causes = causes(error);
    let text = if json {
        let object = json!({
            "error": {
                "kind": kind_name(error.kind()),
                "message": error.message(),
                "causes": causes,
                "hints": error.hints(),
                "exit_code": code,
            }
        });
        format!("{object}\n")
    } else {
        let mut text = format!("error: {}\n", error.message());
        for cause in causes {
            text.push_str(&format!("  caused by: {cause}\n"));
        }
        if !error.hints().is_empty() {
            text.push('\n');
        }
        for hint in error.hints() {
            text.push_str(&format!("hint: {hint}\n"));
        }
        text
    };
    // When stderr is gone the exit code is all that is left.
    drop(errors.write_all(text.as_bytes()));
    code
}

/// Shows what clap answers instead of arguments: help and version on stdout, mistakes on stderr.
pub(super) fn usage(
    error: &clap::Error,
    json: bool,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> u8 {
    let text = error.render().to_string();
    if !error.use_stderr() {
        drop(out.write_all(text.as_bytes()));
        return 0;
    }
    if json {
        let text = text.trim_end();
        let message = text.strip_prefix("error: ").unwrap_or(text);
        return self::error(&Error::new(ErrorKind::Usage, message), true, errors);
    }
    drop(errors.write_all(text.as_bytes()));
    ErrorKind::Usage.exit_code()
}

/// The messages of the causes that the message does not hold already.
fn causes(error: &Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        // A cause of ours shows its own causes; they follow here one by one.
        let text = cause
            .downcast_ref::<Error>()
            .map_or_else(|| cause.to_string(), |cause| cause.message().to_owned());
        if !error.message().contains(&text) {
            causes.push(text);
        }
        source = cause.source();
    }
    causes
}

fn is_broken_pipe(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return cause.kind() == io::ErrorKind::BrokenPipe;
        }
        source = cause.source();
    }
    false
}

/// `LogGap` → `log-gap`.
fn kind_name(kind: ErrorKind) -> String {
    let mut name = String::new();
    for c in format!("{kind:?}").chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Error {
        let disk = io::Error::other("disk on fire");
        let inner = Error::new(ErrorKind::Io, "page 7 cannot be read").caused_by(disk);
        Error::new(ErrorKind::Store, "store monolith: read failed")
            .caused_by(inner)
            .hint("put the fire out")
            .hint("try again")
    }

    fn shown(error: &Error, json: bool) -> (u8, String) {
        let mut text = Vec::new();
        let code = super::error(error, json, &mut text);
        (code, String::from_utf8(text).unwrap())
    }

    #[test]
    fn text_has_causes_and_hints() {
        let (code, text) = shown(&sample(), false);
        assert_eq!(code, 3);
        insta::assert_snapshot!(text, @r"
error: store monolith: read failed
  caused by: page 7 cannot be read
  caused by: disk on fire

hint: put the fire out
hint: try again
");
    }

    #[test]
    fn json_is_one_object() {
        let (code, text) = shown(&sample(), true);
        assert_eq!(code, 3);
        insta::assert_snapshot!(text, @r#"{"error":{"kind":"store","message":"store monolith: read failed","causes":["page 7 cannot be read","disk on fire"],"hints":["put the fire out","try again"],"exit_code":3}}"#);
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let gone = io::Error::from(io::ErrorKind::BrokenPipe);
        let error = Error::new(ErrorKind::Io, "the output cannot be written").caused_by(gone);
        assert_eq!(shown(&error, false), (0, String::new()));
    }

    #[test]
    fn kinds_are_named_in_kebab_case() {
        assert_eq!(kind_name(ErrorKind::LogGap), "log-gap");
        assert_eq!(kind_name(ErrorKind::Io), "io");
    }
}

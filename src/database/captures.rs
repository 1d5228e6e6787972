//! How a server's changes are captured: by its log, or by triggers, and why.

use crate::config::Capture;
use crate::error::{Error, ErrorKind, Result};

/// What was decided for a store and a migration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Captures {
    /// By triggers.
    pub(super) triggers: bool,
    /// Why not by the log, each with what would let it be read.
    pub(super) reasons: Vec<(String, String)>,
    /// Not decided.
    is_open: bool,
}

impl Captures {
    /// What the configuration says, and what is there already (`true`: triggers). It may be left
    /// open, see [`Self::is_open`].
    pub(super) fn of(wanted: Capture, installed: Option<bool>) -> Result<Self> {
        let triggers = match (wanted, installed) {
            (Capture::Log, Some(true)) => return Err(otherwise("triggers", "log")),
            (Capture::Trigger, Some(false)) => return Err(otherwise("the log", "trigger")),
            (_, Some(triggers)) => triggers,
            (Capture::Log, None) => false,
            (Capture::Trigger, None) => true,
            (Capture::Auto, None) => {
                return Ok(Self {
                    is_open: true,
                    ..Self::default()
                });
            }
        };
        Ok(Self {
            triggers,
            ..Self::default()
        })
    }

    /// Whether it depends on whether the log can be read.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// What one should know: why the log is not read.
    pub(super) fn notes(&self) -> Vec<(String, String)> {
        let reasons = self.reasons.iter();
        reasons
            .map(|(reason, cure)| {
                let what = format!("changes are captured by triggers: {reason}");
                (what, cure.clone())
            })
            .collect()
    }

    /// By the log when nothing is in its way.
    pub(super) fn by_log_unless(reasons: Vec<(String, String)>) -> Self {
        Self {
            triggers: !reasons.is_empty(),
            reasons,
            ..Self::default()
        }
    }
}

fn otherwise(is: &str, wanted: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!(
            "this migration captures changes by {is}; the configuration says capture = \"{wanted}\""
        ),
    )
    .hint("write capture as it was, or abort the migration and start it anew")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays() {
        let of =
            |wanted, installed| Captures::of(wanted, installed).map(|c| (c.triggers, c.is_open));
        assert_eq!(of(Capture::Auto, Some(true)).unwrap(), (true, false));
        assert_eq!(of(Capture::Auto, Some(false)).unwrap(), (false, false));
        assert_eq!(of(Capture::Trigger, None).unwrap(), (true, false));
        assert_eq!(of(Capture::Log, None).unwrap(), (false, false));
        assert!(of(Capture::Auto, None).unwrap().1);
        assert!(of(Capture::Log, Some(true)).is_err());
        assert!(of(Capture::Trigger, Some(false)).is_err());
    }

    #[test]
    fn the_log_is_taken_when_it_can_be_read() {
        assert!(!Captures::by_log_unless(Vec::new()).triggers);
        let reasons = vec![("no log".to_owned(), "make one".to_owned())];
        assert!(Captures::by_log_unless(reasons).triggers);
    }
}

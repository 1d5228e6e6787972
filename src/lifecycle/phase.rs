//! The phase of a migration.

use std::fmt;
use std::str::FromStr;

use super::{Refusal, Stage, TableState};

/// Where a migration is. Stored by name ([`Phase::as_str`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Phase {
    /// Named in the configuration; nothing has been done. Also where nothing is stored.
    Planned,
    /// At least one table is not copied. Set by starting, and by the coordinator when a table has
    /// to be copied anew.
    Copying,
    /// Every table is copied, at least one has not caught up with the changes made meanwhile. Set
    /// by the coordinator.
    CatchingUp,
    /// Every table follows its feed. Set by the coordinator.
    Following,
    /// Like following, while a verification runs that was asked for as a step of the migration.
    Verifying,
    /// Done: everything that Banyan added to the stores has been removed. Set by `complete`; final.
    Completed,
    /// Given up: everything that Banyan added has been removed; rows that were copied stay. Set by
    /// `abort`.
    Aborted,
    /// Stopped by an error that does not pass by itself. Set by the coordinator.
    Failed,
}

/// What happens to a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseEvent {
    /// Somebody starts it, or starts it again after a failure or an abort; the tables are there.
    Start(Progress),
    /// The tables have come so far.
    Tables(Progress),
    /// Somebody asks for a verification as a step of the migration.
    Verify,
    /// That verification ended, whatever it found.
    Verified,
    /// Somebody ends it: the service owns the tables now.
    Complete,
    /// Somebody gives it up.
    Abort,
    /// An error that does not pass by itself.
    Fail,
}

/// How far the tables of a migration are: as far as the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Progress {
    /// At least one is not copied.
    Copying,
    /// All are copied, at least one has not caught up.
    CatchingUp,
    /// All follow.
    Ready,
}

impl Progress {
    /// Of these tables. A halted table counts by how far it came. No tables: ready.
    #[must_use]
    pub fn of<'a>(tables: impl IntoIterator<Item = &'a TableState>) -> Self {
        tables
            .into_iter()
            .map(|table| match table.stage {
                Stage::Init | Stage::Copying => Self::Copying,
                Stage::CopyDone | Stage::CatchingUp => Self::CatchingUp,
                Stage::Ready => Self::Ready,
            })
            .min()
            .unwrap_or(Self::Ready)
    }

    fn phase(self) -> Phase {
        match self {
            Self::Copying => Phase::Copying,
            Self::CatchingUp => Phase::CatchingUp,
            Self::Ready => Phase::Following,
        }
    }
}

impl PhaseEvent {
    /// As a verb.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Tables(_) => "go on",
            Self::Verify => "verify",
            Self::Verified => "end a verification",
            Self::Complete => "complete",
            Self::Abort => "abort",
            Self::Fail => "fail",
        }
    }
}

impl Phase {
    /// Every phase, in the order of a migration's life.
    pub const ALL: [Self; 8] = [
        Self::Planned,
        Self::Copying,
        Self::CatchingUp,
        Self::Following,
        Self::Verifying,
        Self::Completed,
        Self::Aborted,
        Self::Failed,
    ];

    /// `planned`, `catching-up`, …
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Copying => "copying",
            Self::CatchingUp => "catching-up",
            Self::Following => "following",
            Self::Verifying => "verifying",
            Self::Completed => "completed",
            Self::Aborted => "aborted",
            Self::Failed => "failed",
        }
    }

    /// Whether an engine works on it, or would after a restart.
    #[must_use]
    pub fn is_running(self) -> bool {
        match self {
            Self::Copying | Self::CatchingUp | Self::Following | Self::Verifying => true,
            Self::Planned | Self::Completed | Self::Aborted | Self::Failed => false,
        }
    }

    /// Whether something of Banyan's may be left in the stores.
    #[must_use]
    pub fn is_installed(self) -> bool {
        self.is_running() || self == Self::Failed
    }

    /// The phase after an event.
    ///
    /// # Errors
    /// A [`Refusal`] when the event does not fit; the phase stays as it is.
    pub fn on(self, event: PhaseEvent) -> Result<Self, Refusal> {
        use PhaseEvent as E;
        let refuse = |reason| {
            Err(Refusal {
                state: self.as_str(),
                event: event.as_str(),
                reason,
            })
        };
        match (self, event) {
            (Self::Planned | Self::Aborted | Self::Failed, E::Start(progress)) => {
                Ok(progress.phase())
            }
            // Starting what runs is a restart of the process.
            (
                Self::Copying | Self::CatchingUp | Self::Following | Self::Verifying,
                E::Start(progress),
            ) => Ok(progress.phase()),
            (Self::Copying | Self::CatchingUp | Self::Following, E::Tables(progress)) => {
                Ok(progress.phase())
            }
            (Self::Verifying, E::Tables(Progress::Ready)) => Ok(Self::Verifying),
            (Self::Verifying, E::Tables(progress)) => Ok(progress.phase()),
            (Self::Following | Self::Verifying, E::Verify) => Ok(Self::Verifying),
            (Self::Verifying, E::Verified) => Ok(Self::Following),
            // The tables fell back while the verification ran: its end changes nothing.
            (Self::Copying | Self::CatchingUp | Self::Following, E::Verified) => Ok(self),
            (Self::Following | Self::Completed, E::Complete) => Ok(Self::Completed),
            (Self::Completed, E::Abort) => refuse("it is completed; nothing is left to abort"),
            (_, E::Abort) => Ok(Self::Aborted),
            (
                Self::Copying | Self::CatchingUp | Self::Following | Self::Verifying | Self::Failed,
                E::Fail,
            ) => Ok(Self::Failed),
            (Self::Completed, E::Start(_)) => {
                refuse("it is completed; give a new migration another name")
            }
            (Self::Planned, E::Fail) => Ok(Self::Failed),
            (Self::Completed | Self::Aborted, E::Fail) => refuse("it has ended"),
            (Self::Planned | Self::Completed | Self::Aborted | Self::Failed, E::Tables(_)) => {
                refuse("it is not running; start it")
            }
            (Self::Copying | Self::CatchingUp, E::Verify | E::Complete) => {
                refuse("its tables have not caught up; wait until it follows")
            }
            (Self::Verifying, E::Complete) => refuse("wait until the verification has ended"),
            (
                Self::Planned | Self::Completed | Self::Aborted | Self::Failed,
                E::Verify | E::Verified,
            )
            | (Self::Planned | Self::Aborted | Self::Failed, E::Complete) => {
                refuse("it is not running; start it")
            }
        }
    }

    /// What somebody can do next: `migration` verbs and other commands, most useful first.
    #[must_use]
    pub fn next_steps(self) -> &'static [&'static str] {
        match self {
            Self::Planned => &["check", "migration start"],
            Self::Copying | Self::CatchingUp => {
                &["migration status", "migration pause", "migration abort"]
            }
            Self::Following => &[
                "verify",
                "conflict list",
                "migration complete",
                "migration abort",
            ],
            Self::Verifying => &["migration status", "migration abort"],
            Self::Completed => &[],
            Self::Aborted => &["migration start"],
            Self::Failed => &["check", "migration start", "migration abort"],
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Phase {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|phase| phase.as_str() == name)
            .ok_or_else(|| format!("no phase is called {name:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [PhaseEvent; 11] = [
        PhaseEvent::Start(Progress::Copying),
        PhaseEvent::Start(Progress::CatchingUp),
        PhaseEvent::Start(Progress::Ready),
        PhaseEvent::Tables(Progress::Copying),
        PhaseEvent::Tables(Progress::CatchingUp),
        PhaseEvent::Tables(Progress::Ready),
        PhaseEvent::Verify,
        PhaseEvent::Verified,
        PhaseEvent::Complete,
        PhaseEvent::Abort,
        PhaseEvent::Fail,
    ];

    /// The whole machine, one line a phase, `-` for a refusal.
    #[test]
    fn every_phase_answers_every_event() {
        let mut table = String::new();
        for phase in Phase::ALL {
            table.push_str(&format!("{phase:12}"));
            for event in EVENTS {
                let next = phase.on(event).map_or("-", Phase::as_str);
                table.push_str(&format!(" {next:11}"));
            }
            table.truncate(table.trim_end().len());
            table.push('\n');
        }
        insta::assert_snapshot!(table, @r"
planned      copying     catching-up following   -           -           -           -           -           -           aborted     failed
copying      copying     catching-up following   copying     catching-up following   -           copying     -           aborted     failed
catching-up  copying     catching-up following   copying     catching-up following   -           catching-up -           aborted     failed
following    copying     catching-up following   copying     catching-up following   verifying   following   completed   aborted     failed
verifying    copying     catching-up following   copying     catching-up verifying   verifying   following   -           aborted     failed
completed    -           -           -           -           -           -           -           -           completed   -           -
aborted      copying     catching-up following   -           -           -           -           -           -           aborted     -
failed       copying     catching-up following   -           -           -           -           -           -           aborted     failed
");
    }

    #[test]
    fn a_refusal_names_state_event_and_reason() {
        for phase in Phase::ALL {
            for event in EVENTS {
                if let Err(refusal) = phase.on(event) {
                    assert_eq!(refusal.state, phase.as_str());
                    assert_eq!(refusal.event, event.as_str());
                    assert!(!refusal.reason.is_empty());
                }
            }
        }
        let refusal = Phase::Copying.on(PhaseEvent::Complete).unwrap_err();
        let error = refusal.into_error();
        assert_eq!(error.kind().exit_code(), 1);
        assert_eq!(
            error.message(),
            "cannot complete while copying: its tables have not caught up; wait until it follows"
        );
    }

    #[test]
    fn whatever_runs_can_be_aborted_and_only_completed_is_final() {
        for phase in Phase::ALL {
            assert_eq!(
                phase.on(PhaseEvent::Abort).is_ok(),
                phase != Phase::Completed
            );
            let moves = EVENTS
                .into_iter()
                .any(|event| phase.on(event).is_ok_and(|next| next != phase));
            assert_eq!(moves, phase != Phase::Completed, "{phase}");
            assert_eq!(phase.next_steps().is_empty(), phase == Phase::Completed);
            assert!(phase.is_installed() || !phase.is_running());
        }
    }

    #[test]
    fn names_are_read_back() {
        for phase in Phase::ALL {
            assert_eq!(phase.to_string().parse(), Ok(phase));
        }
        assert!("cutover".parse::<Phase>().unwrap_err().contains("cutover"));
    }

    #[test]
    fn progress_is_that_of_the_last_table() {
        let at = |stages: &[Stage]| {
            let tables: Vec<_> = stages.iter().map(|s| TableState::at(*s)).collect();
            Progress::of(&tables)
        };
        assert_eq!(at(&[]), Progress::Ready);
        assert_eq!(at(&[Stage::Ready, Stage::Ready]), Progress::Ready);
        assert_eq!(at(&[Stage::Ready, Stage::CatchingUp]), Progress::CatchingUp);
        assert_eq!(at(&[Stage::CopyDone]), Progress::CatchingUp);
        assert_eq!(at(&[Stage::CatchingUp, Stage::Copying]), Progress::Copying);
        assert_eq!(at(&[Stage::Init, Stage::Ready]), Progress::Copying);
    }
}

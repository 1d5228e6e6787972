//! The state of a table of a migration.

use std::fmt;
use std::str::FromStr;

use super::Refusal;

/// How far a table is, and whether something holds it there. Stored as stage, kind of halt, reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableState {
    /// How far it came.
    pub stage: Stage,
    /// What holds it there; `None` while it goes on.
    pub halt: Option<Halt>,
}

/// How far a table came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing has been done. The state of a table that is not stored.
    Init,
    /// Its feeds are positioned and its snapshot is being copied. Set by the copier.
    Copying,
    /// Its snapshot is copied. Set by the copier.
    CopyDone,
    /// The changes made since the snapshot are being applied. Set by the pipeline.
    CatchingUp,
    /// It has caught up once and follows its feeds. Set by the pipeline.
    Ready,
}

/// What holds a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Somebody paused it, or its schema no longer fits the mapping: it can go on where it is.
    Paused {
        /// Who or what, and what to do.
        reason: String,
    },
    /// An error that does not pass by itself.
    Errored {
        /// The error.
        reason: String,
    },
}

/// What happens to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableEvent {
    /// Copying begins, or goes on after a restart.
    CopyStarted,
    /// The snapshot is copied.
    CopyFinished,
    /// Changes are being applied.
    CatchUpStarted,
    /// No change is left.
    CaughtUp,
    /// It must stop where it is.
    Pause {
        /// Who or what, and what to do.
        reason: String,
    },
    /// An error that does not pass by itself.
    Fail {
        /// The error.
        reason: String,
    },
    /// It may go on.
    Resume,
    /// It must be copied anew.
    Reset,
}

impl Stage {
    /// Every stage in order.
    pub const ALL: [Self; 5] = [
        Self::Init,
        Self::Copying,
        Self::CopyDone,
        Self::CatchingUp,
        Self::Ready,
    ];

    /// `init`, `copy-done`, …
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Copying => "copying",
            Self::CopyDone => "copy-done",
            Self::CatchingUp => "catching-up",
            Self::Ready => "ready",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.as_str() == name)
            .ok_or_else(|| format!("no stage of a table is called {name:?}"))
    }
}

impl TableEvent {
    /// As a verb.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::CopyStarted => "start copying",
            Self::CopyFinished => "finish copying",
            Self::CatchUpStarted => "start catching up",
            Self::CaughtUp => "finish catching up",
            Self::Pause { .. } => "pause",
            Self::Fail { .. } => "fail",
            Self::Resume => "resume",
            Self::Reset => "reset",
        }
    }
}

impl Default for TableState {
    fn default() -> Self {
        Self::at(Stage::Init)
    }
}

impl TableState {
    /// A table that goes on from this stage.
    #[must_use]
    pub fn at(stage: Stage) -> Self {
        Self { stage, halt: None }
    }

    /// `paused`, `errored`, or the stage's name.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match &self.halt {
            None => self.stage.as_str(),
            Some(Halt::Paused { .. }) => "paused",
            Some(Halt::Errored { .. }) => "errored",
        }
    }

    /// Why it is halted.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match &self.halt {
            None => None,
            Some(Halt::Paused { reason } | Halt::Errored { reason }) => Some(reason),
        }
    }

    /// The state after an event.
    ///
    /// # Errors
    /// A [`Refusal`] when the event does not fit; the state stays as it is.
    pub fn on(&self, event: TableEvent) -> Result<Self, Refusal> {
        use TableEvent as E;
        let refuse = |event: &TableEvent, reason| {
            Err(Refusal {
                state: self.as_str(),
                event: event.as_str(),
                reason,
            })
        };
        let stage = match (&self.halt, self.stage, event) {
            (_, _, E::Reset) => Stage::Init,
            (_, stage, E::Resume) => stage,
            // An error is not hidden by a pause.
            (Some(Halt::Errored { .. }), _, E::Pause { .. }) => return Ok(self.clone()),
            (_, stage, E::Pause { reason }) => {
                return Ok(Self {
                    stage,
                    halt: Some(Halt::Paused { reason }),
                });
            }
            (_, stage, E::Fail { reason }) => {
                return Ok(Self {
                    stage,
                    halt: Some(Halt::Errored { reason }),
                });
            }
            (Some(_), _, event) => return refuse(&event, "it is halted; resume it first"),
            (None, Stage::Init | Stage::Copying, E::CopyStarted) => Stage::Copying,
            (None, Stage::Copying | Stage::CopyDone, E::CopyFinished) => Stage::CopyDone,
            (None, Stage::CopyDone | Stage::CatchingUp, E::CatchUpStarted) => Stage::CatchingUp,
            (None, Stage::CatchingUp | Stage::Ready, E::CaughtUp) => Stage::Ready,
            // After a restart a table that was ready has changes to catch up with, and stays
            // ready: it has been consistent once.
            (None, Stage::Ready, E::CatchUpStarted) => Stage::Ready,
            (None, Stage::CopyDone | Stage::CatchingUp | Stage::Ready, event @ E::CopyStarted) => {
                return refuse(&event, "it is copied; reset it to copy it anew");
            }
            (None, Stage::CatchingUp | Stage::Ready, event @ E::CopyFinished) => {
                return refuse(&event, "it was copied long ago");
            }
            (None, Stage::Init, event @ E::CopyFinished) => {
                return refuse(&event, "copying has not begun");
            }
            (None, Stage::Init | Stage::Copying, event @ (E::CatchUpStarted | E::CaughtUp)) => {
                return refuse(&event, "it is not copied");
            }
            (None, Stage::CopyDone, event @ E::CaughtUp) => {
                return refuse(&event, "catching up has not begun");
            }
        };
        Ok(Self::at(stage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        text.to_owned()
    }

    fn events() -> [TableEvent; 8] {
        [
            TableEvent::CopyStarted,
            TableEvent::CopyFinished,
            TableEvent::CatchUpStarted,
            TableEvent::CaughtUp,
            TableEvent::Pause {
                reason: reason("new"),
            },
            TableEvent::Fail {
                reason: reason("new"),
            },
            TableEvent::Resume,
            TableEvent::Reset,
        ]
    }

    fn states() -> Vec<TableState> {
        let halts = [
            None,
            Some(Halt::Paused {
                reason: reason("old"),
            }),
            Some(Halt::Errored {
                reason: reason("old"),
            }),
        ];
        let mut out = Vec::new();
        for halt in halts {
            for stage in Stage::ALL {
                out.push(TableState {
                    stage,
                    halt: halt.clone(),
                });
            }
        }
        out
    }

    fn show(state: &TableState) -> String {
        match state.reason() {
            None => state.as_str().to_owned(),
            Some(reason) => format!("{}@{}({reason})", state.as_str(), state.stage),
        }
    }

    /// The whole machine, one line a state, `-` for a refusal.
    #[test]
    fn every_state_answers_every_event() {
        let mut table = String::new();
        for state in states() {
            table.push_str(&format!("{:28}", show(&state)));
            for event in events() {
                let next = state.on(event).map_or("-".to_owned(), |next| show(&next));
                table.push_str(&format!(" {next}"));
            }
            table.push('\n');
        }
        insta::assert_snapshot!(table, @r"
init                         copying - - - paused@init(new) errored@init(new) init init
copying                      copying copy-done - - paused@copying(new) errored@copying(new) copying init
copy-done                    - copy-done catching-up - paused@copy-done(new) errored@copy-done(new) copy-done init
catching-up                  - - catching-up ready paused@catching-up(new) errored@catching-up(new) catching-up init
ready                        - - ready ready paused@ready(new) errored@ready(new) ready init
paused@init(old)             - - - - paused@init(new) errored@init(new) init init
paused@copying(old)          - - - - paused@copying(new) errored@copying(new) copying init
paused@copy-done(old)        - - - - paused@copy-done(new) errored@copy-done(new) copy-done init
paused@catching-up(old)      - - - - paused@catching-up(new) errored@catching-up(new) catching-up init
paused@ready(old)            - - - - paused@ready(new) errored@ready(new) ready init
errored@init(old)            - - - - errored@init(old) errored@init(new) init init
errored@copying(old)         - - - - errored@copying(old) errored@copying(new) copying init
errored@copy-done(old)       - - - - errored@copy-done(old) errored@copy-done(new) copy-done init
errored@catching-up(old)     - - - - errored@catching-up(old) errored@catching-up(new) catching-up init
errored@ready(old)           - - - - errored@ready(old) errored@ready(new) ready init
");
    }

    #[test]
    fn stages_never_go_backward_except_by_a_reset() {
        for state in states() {
            for event in events() {
                if let (false, Ok(next)) = (event == TableEvent::Reset, state.on(event.clone())) {
                    assert!(next.stage >= state.stage, "{state:?} on {event:?}");
                }
            }
        }
    }

    #[test]
    fn refusals_say_what_and_why() {
        let refusal = TableState::default().on(TableEvent::CaughtUp).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "cannot finish catching up while init: it is not copied"
        );
        for state in states() {
            for event in events() {
                let verb = event.as_str();
                if let Err(refusal) = state.on(event) {
                    assert_eq!((refusal.state, refusal.event), (state.as_str(), verb));
                }
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        for stage in Stage::ALL {
            assert_eq!(stage.to_string().parse(), Ok(stage));
        }
        assert!("x".parse::<Stage>().is_err());
    }
}

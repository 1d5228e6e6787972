//! The command line: arguments in, text or JSON out, an exit code.
//!
//! stdout carries data only; logs, progress, errors and hints go to stderr. One file a verb, each
//! with its `Args` and a `run` that answers the exit code; the work itself is done on the floors
//! below.

mod args;
mod check;
mod init;
mod printer;
mod progress;
mod report;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::error::Result;
use crate::telemetry::{self, LogOptions};

use args::{Arguments, Command, Format};

pub use printer::Printer;
pub use progress::{Bar, Progress};

/// The whole program: reads the process's arguments and environment.
#[must_use]
pub fn main() -> ExitCode {
    let code = run(
        std::env::args_os(),
        &mut io::stdout().lock(),
        &mut io::stderr(),
    );
    ExitCode::from(code)
}

/// Runs one command line, the program's name included, and answers the exit code: 0 done; 1 a
/// check found a difference, a conflict waits, or a gate refused; 2 wrong usage or configuration;
/// 3 a store, plugin or network failed.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => return report::usage(&error, args::wants_json(&arguments), out, errors),
    };
    let json = parsed.global.format == Format::Json;
    match dispatch(parsed, out, errors) {
        Ok(code) => code,
        Err(error) => report::error(&error, json, errors),
    }
}

fn dispatch(parsed: Arguments, out: &mut dyn Write, errors: &mut dyn Write) -> Result<u8> {
    let global = parsed.global;
    let json = global.format == Format::Json;
    let progress = Progress::on_stderr(global.quiet == 0);
    let logs = LogOptions::new(global.verbosity(), |name| std::env::var(name).ok())?;
    telemetry::init(&logs, BoxMakeWriter::new(progress.log_writer()))?;
    let config = global.config.as_deref();
    let mut printer = Printer::new(out, errors, json);
    match parsed.command {
        Command::Init(args) => init::run(&args, &mut printer, config),
        Command::Check(args) => check::run(&args, &mut printer, config),
    }
}

#[cfg(test)]
mod tests {
    /// clap's own checks of the whole tree of commands.
    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        super::Arguments::command().debug_assert();
    }
}

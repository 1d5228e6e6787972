//! The command line: arguments in, text or JSON out, an exit code.
//!
//! stdout carries data only; logs, progress, errors and hints go to stderr. One file a verb, each
//! with its `Args` and a `run` that answers the exit code; the work itself is done on the floors
//! below.

mod args;
mod audit;
mod check;
mod conflict;
mod context;
mod demo;
mod init;
mod migration;
mod plugin;
mod printer;
mod progress;
mod query;
mod reconcile;
mod report;
mod script;
mod serve;
mod sync;
mod trial;
mod verify;
mod watch;
mod worker;

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
    let mut printer = Printer::new(out, errors, json).quiet(global.quiet > 0);
    match parsed.command {
        Command::Init(args) => init::run(&args, &mut printer, config),
        Command::Check(args) => check::run(&args, &mut printer, config, global.verbose > 0),
        Command::Demo(args) => demo::run(&args, &mut printer),
        Command::Copy(args) => sync::run_copy(&args, &mut printer, &progress, config),
        Command::Sync(args) => sync::run(&args, &mut printer, &progress, config),
        Command::Verify(args) => verify::run(&args, &mut printer, &progress, config),
        Command::Reconcile(args) => reconcile::run(&args, &mut printer, &progress, config),
        Command::Audit(args) => audit::run(&args, &mut printer, config),
        Command::Query(args) => query::run(&args, &mut printer, config),
        Command::Conflict(args) => conflict::run(&args, &mut printer, config),
        Command::Migration(args) => migration::run(&args, &mut printer, config),
        Command::Plugin(args) => plugin::run(&args, &mut printer, config),
        Command::Worker(args) => worker::run(&args, &mut printer, config),
        Command::Serve(args) => serve::run(&args, &mut printer, config),
        Command::Script(args) => script::run(&args, &mut printer, config),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// clap's own checks of the whole tree of commands.
    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    /// A stdout that fails.
    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn init_into(out: &mut dyn Write) -> (u8, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("banyan.toml");
        let arguments = ["banyan", "init", "-q", "--config"].map(OsString::from);
        let arguments = arguments.into_iter().chain([file.into_os_string()]);
        let mut errors = Vec::new();
        let code = run(arguments, out, &mut errors);
        (code, String::from_utf8(errors).unwrap())
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_error() {
        let (code, errors) = init_into(&mut Broken(io::ErrorKind::BrokenPipe));
        assert_eq!((code, errors.as_str()), (0, ""));
    }

    #[test]
    fn output_that_cannot_be_written_is_an_error() {
        let (code, errors) = init_into(&mut Broken(io::ErrorKind::StorageFull));
        assert_eq!(code, 3);
        assert!(errors.starts_with("error: the output cannot be written\n  caused by: "));
    }
}

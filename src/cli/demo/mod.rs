//! `banyan demo`: a whole migration on generated data, in a folder of its own.
//!
//! Nothing is played: `banyan sync` runs as a process of its own on the folder's configuration,
//! applications write to both databases all the while, the process is killed and started again,
//! and `banyan verify` compares every row at the end. The folder is `examples/shop` with databases.

mod application;
mod clashes;
mod folder;
mod generate;
mod latency;
mod process;
mod random;
mod side;
mod sizes;
mod summary;
mod traffic;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::error::{Error, ErrorKind, Result};

use super::Printer;
use clashes::Clashes;
use folder::Folder;
use latency::{Latency, Window, caught_up};
use process::{Process, Program};
use side::Side;
use sizes::Sizes;
use summary::{Applied, Conflicts, Copied, Kill, Latencies, Summary, Writers, applied, grouped};
use traffic::{Traffic, Writer};

/// Show a whole migration on generated data, with live writers, conflicts and a crash
#[derive(clap::Args, Debug)]
pub(super) struct DemoArgs {
    /// The folder that is made; an earlier demo's is replaced
    #[arg(long, value_name = "DIR", default_value = "banyan-demo")]
    dir: PathBuf,

    /// Rows of the monolith, in all tables together
    #[arg(long, value_name = "N", default_value_t = 200_000,
          value_parser = clap::value_parser!(u32).range(2_000..=20_000_000))]
    rows: u32,

    /// How long both sides are written after the copy, half before the crash, half after it
    #[arg(long, value_name = "S", default_value_t = 20,
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,

    /// Changes a second that the applications write, both sides together
    #[arg(long, value_name = "CHANGES_PER_S", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(10..=100_000))]
    rate: u32,

    /// Keep an earlier demo's folder: fail rather than replace it
    #[arg(long)]
    keep: bool,
}

/// Decides what the generated rows hold, and what the applications do.
const SEED: u64 = 2026;
/// A copy that takes longer than this, and a second for so many rows, has met a problem.
const COPY_MAX: Duration = Duration::from_secs(60);
const COPY_ROWS_PER_S_MIN: u32 = 2_000;
/// How long the sync stays dead after the kill.
const DOWN: Duration = Duration::from_millis(500);
/// Between two clashes.
const CLASH_EVERY: Duration = Duration::from_millis(40);
/// The migration of the configuration.
const MIGRATION: &str = "orders";

/// Runs the demo; exit code 1 when the sides differ or something waits at the end.
pub(super) fn run(args: &DemoArgs, printer: &mut Printer<'_>) -> Result<u8> {
    let begun = Instant::now();
    let folder = Folder::make(&args.dir, args.keep)?;
    let sizes = Sizes::of(args.rows);
    generate::generate(&folder.shop, &folder.orders, &sizes, SEED)?;
    tell(
        printer,
        begun,
        format!(
            "made {}: {} rows in 13 tables",
            folder.shop.display(),
            grouped(sizes.total())
        ),
    );
    let program = Program::current(&folder.config, &folder.log)?;
    let traffic = Traffic::new(sizes);
    let demo = Demo {
        begun,
        args,
        folder: &folder,
        program: &program,
        traffic: &traffic,
    };
    let live = std::thread::scope(|scope| {
        let live = demo.live(scope, printer);
        // Whatever happened, the threads must end.
        traffic.stop();
        traffic.probes.stop();
        live
    })?;
    tell(
        printer,
        begun,
        "comparing every row of both sides: banyan verify orders --level full",
    );
    let verify = program.run(&["verify", MIGRATION, "--level", "full"])?;
    let list = program.run(&["conflict", "list", MIGRATION, "--limit", "1000000"])?;
    let mut summary = demo.summary(live, verify, &list);
    summary.seconds = begun.elapsed().as_secs_f64();
    if printer.is_json() {
        printer.json(&summary)?;
    } else {
        summary.print(printer)?;
    }
    next_steps(printer, &program, &folder);
    Ok(u8::from(!summary.ok))
}

/// Commands that work as they stand, from where the demo was started.
fn next_steps(printer: &mut Printer<'_>, program: &Program, folder: &Folder) {
    let config = folder.config.display();
    printer.hint(format!("what was synced, and who decides: open {config}"));
    let banyan = format!("{} --config {config}", program.shown());
    for step in [
        "conflict list --limit 20",
        "query \"SELECT c.full_name, count(*) AS orders FROM orders.clients c JOIN \
         monolith.orders o ON o.customer_id = c.id GROUP BY c.full_name ORDER BY orders DESC \
         LIMIT 5\"",
        "script test payment_state",
        "migration complete orders",
    ] {
        printer.hint(format!("{banyan} {step}"));
    }
}

/// What is going on, with the time since the beginning.
fn tell(printer: &mut Printer<'_>, begun: Instant, text: impl std::fmt::Display) {
    printer.note(format!("{:5.1} s  {text}", begun.elapsed().as_secs_f64()));
}

struct Demo<'a> {
    begun: Instant,
    args: &'a DemoArgs,
    folder: &'a Folder,
    program: &'a Program,
    traffic: &'a Traffic,
}

/// What the live part saw.
struct Live {
    copy: Copied,
    following: Duration,
    clashes: BTreeMap<&'static str, u64>,
    copied: Instant,
    written_at_copy: u64,
    killed: Instant,
    restarted: Instant,
    stopped: Instant,
    reports: [Json; 2],
}

type Running<'scope, T> = ScopedJoinHandle<'scope, Result<T>>;

fn joined<T>(thread: Running<'_, T>) -> Result<T> {
    match thread.join() {
        Ok(result) => result,
        Err(_) => Err(Error::new(
            ErrorKind::Internal,
            "a writer of the demo panicked",
        )),
    }
}

impl<'a> Demo<'a> {
    fn paths(&self) -> [&'a Path; 2] {
        [&self.folder.shop, &self.folder.orders]
    }

    /// Copy, follow, crash, restart, until both sides have nothing left.
    fn live<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        printer: &mut Printer<'_>,
    ) -> Result<Live>
    where
        'a: 'scope,
    {
        let begun = self.begun;
        let traffic = self.traffic;
        let per_side = f64::from(self.args.rate) / 2.0;
        let mut writers: Vec<Running<'scope, ()>> = Vec::new();
        let mut observers: Vec<Running<'scope, ()>> = Vec::new();
        for (side, path) in Side::BOTH.into_iter().zip(self.paths()) {
            let writer = Writer::new(side, path, traffic, SEED)?;
            writers.push(scope.spawn(move || writer.run(per_side)));
            observers.push(scope.spawn(move || traffic.probes.observe(side, path)));
        }
        tell(
            printer,
            begun,
            format!(
                "applications write to both sides, about {} changes/s",
                grouped(self.args.rate)
            ),
        );
        let sync = ["sync", MIGRATION];
        let started = Instant::now();
        let mut process = self.program.start(&sync)?;
        tell(printer, begun, "banyan sync orders: copying");
        let copied = self.wait_for_copy(&mut process, &writers)?;
        let copy = self.copied(copied - started);
        tell(
            printer,
            begun,
            format!(
                "copied {} rows in {:.1} s; following both sides",
                grouped(copy.rows),
                copy.seconds
            ),
        );
        let written_at_copy = self.written();
        let clashes = Clashes::new(self.paths(), traffic, SEED)?;
        let clashes = scope.spawn(move || clashes.run(CLASH_EVERY));
        let half = Duration::from_secs_f64(self.args.seconds as f64 / 2.0);

        self.watch(&mut process, &writers, half)?;
        process.kill()?;
        let killed = Instant::now();
        tell(
            printer,
            begun,
            "killed banyan sync (SIGKILL); the applications go on",
        );
        std::thread::sleep(DOWN);
        let restarted = Instant::now();
        let mut process = self.program.start(&sync)?;
        tell(printer, begun, "started banyan sync again");
        self.watch(&mut process, &writers, half)?;

        traffic.stop();
        let clashes = joined(clashes)?;
        for writer in writers {
            joined(writer)?;
        }
        let stopped = Instant::now();
        tell(
            printer,
            begun,
            "the applications rest; banyan sync orders --until-idle",
        );
        let followed = process.stop()?;
        let rest = self.program.run(&["sync", MIGRATION, "--until-idle"])?;
        traffic.probes.stop();
        for observer in observers {
            joined(observer)?;
        }
        Ok(Live {
            copy,
            following: stopped - copied,
            clashes,
            copied,
            written_at_copy,
            killed,
            restarted,
            stopped,
            reports: [followed, rest],
        })
    }

    /// Reviews come last, and the last of the generated ones is never deleted.
    fn wait_for_copy(&self, process: &mut Process, writers: &[Running<'_, ()>]) -> Result<Instant> {
        let service = application::open(&self.folder.orders)?;
        let deadline = Instant::now()
            + COPY_MAX
            + Duration::from_secs((self.args.rows / COPY_ROWS_PER_S_MIN).into());
        loop {
            let last = service
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM reviews WHERE id = ?1)")
                .and_then(|mut s| s.query_row([self.traffic.sizes.reviews], |row| row.get(0)))
                .map_err(application::store("look for the last copied row"))?;
            if last {
                return Ok(Instant::now());
            }
            if Instant::now() > deadline {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "the copy takes too long: rows must be waiting for something",
                )
                .hint(format!(
                    "{} --config {} conflict list --which open",
                    self.program.shown(),
                    self.folder.config.display()
                ))
                .hint(format!("the log is {}", self.folder.log.display())));
            }
            self.watch(process, writers, Duration::from_millis(20))?;
        }
    }

    /// Lets time pass, and fails as soon as the sync or a writer has failed.
    fn watch(
        &self,
        process: &mut Process,
        writers: &[Running<'_, ()>],
        time: Duration,
    ) -> Result<()> {
        let until = Instant::now() + time;
        loop {
            process.check()?;
            if writers.iter().any(ScopedJoinHandle::is_finished) {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "a writer of the demo stopped",
                ));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// Changes of both sides.
    fn written(&self) -> u64 {
        let written = Side::BOTH.map(|side| self.traffic.written(side).changes);
        written.iter().sum()
    }

    fn copied(&self, time: Duration) -> Copied {
        let sizes = &self.traffic.sizes;
        // Suppliers stay in the monolith.
        let rows = sizes.total() - sizes.suppliers;
        let seconds = time.as_secs_f64();
        Copied {
            tables: 12,
            rows,
            seconds,
            rows_per_s: rows as f64 / seconds,
        }
    }

    fn summary(&self, live: Live, verify: Json, list: &Json) -> Summary {
        let traffic = self.traffic;
        let samples = traffic.probes.samples();
        let windows: Vec<Window> = [(live.copied, live.killed), (live.restarted, live.stopped)]
            .into_iter()
            .filter_map(|(since, end)| {
                let begin = caught_up(&samples, since)?;
                (begin < end).then_some(Window { begin, end })
            })
            .collect();
        let of = |from| Latency::of(&samples, &windows, from);
        let all = of(None);
        let caught_up = caught_up(&samples, live.restarted);
        let [monolith, service] = Side::BOTH.map(|side| traffic.written(side));
        let seconds = live.following.as_secs_f64();
        let conflicts = Conflicts::of(list);
        let consistent = verify.get("consistent").and_then(Json::as_bool) == Some(true);
        let reports: Vec<&Json> = live.reports.iter().collect();
        Summary {
            ok: consistent && conflicts.waiting == 0,
            folder: self.folder.path.display().to_string(),
            copy: live.copy,
            writers: Writers {
                monolith,
                service,
                seconds,
                changes_per_s: (self.written() - live.written_at_copy) as f64 / seconds,
                clashes: live.clashes,
            },
            applied_since_restart: Applied {
                to_service: applied(&reports, Side::Service),
                to_monolith: applied(&reports, Side::Monolith),
            },
            conflicts,
            kill: Kill {
                down_ms: ms(live.restarted - live.killed),
                caught_up_ms: caught_up.map(|at| ms(at - live.restarted)),
            },
            latency: Latencies {
                left_out: samples.len() - all.map_or(0, |l| l.samples),
                all,
                to_service: of(Some(Side::Monolith)),
                to_monolith: of(Some(Side::Service)),
                unseen: traffic.probes.unseen(),
            },
            verify,
            seconds: 0.0,
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

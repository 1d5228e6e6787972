//! All interleavings within small bounds.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use banyan::rule::builtin;
use banyan::sync::EngineOptions;

use super::run::{Chooser, Config, Sim, Writes};

/// What would take longer than a few seconds is cut off.
const SCHEDULES_MAX: u64 = 40_000;

/// Counts through all sequences of choices, depth first.
#[derive(Debug, Default)]
struct Odometer {
    /// What was chosen, and among how many.
    path: Vec<(usize, usize)>,
    at: usize,
}

impl Odometer {
    /// Goes on to the next sequence; `false` after the last.
    fn next(&mut self) -> bool {
        self.at = 0;
        while let Some((chosen, of)) = self.path.pop() {
            if chosen + 1 < of {
                self.path.push((chosen + 1, of));
                return true;
            }
        }
        false
    }
}

impl Chooser for Odometer {
    fn choose(&mut self, n: usize) -> usize {
        if self.at == self.path.len() {
            self.path.push((0, n));
        }
        self.at += 1;
        self.path[self.at - 1].0
    }
}

/// Tries everything; answers how many schedules that were.
fn explore(strategy: &'static str, writes: [usize; 2], faults: usize, zombies: usize) -> u64 {
    let resolver = builtin::strategy(strategy, &serde_json::Value::Null).unwrap();
    let mut odometer = Odometer::default();
    let mut schedules = 0;
    loop {
        let config = Config {
            strategy,
            writes: Writes::Tiny,
            tables: 1,
            keys: 1,
            initial: 1,
            transactions: 0,
            rows_in_transaction_max: 1,
            faults,
            prefilled: false,
            recopies: 0,
            zombies,
            vague_times: false,
            options: EngineOptions {
                batch_rows: 1,
                batches: 1,
                ..EngineOptions::default()
            },
        };
        let path = odometer.path.clone();
        let run = |odometer: &mut Odometer, tell| {
            let sim = Sim::new(config.clone(), &resolver, odometer);
            sim.world.state().tell = tell;
            sim.run_all_places(writes)
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&mut odometer, false))) {
            println!("schedule {schedules} of {strategy}, {writes:?}:");
            let mut again = Odometer { path, at: 0 };
            run(&mut again, true);
            resume_unwind(panic);
        }
        schedules += 1;
        if !odometer.next() || schedules == SCHEDULES_MAX {
            println!("{strategy} {writes:?}, {faults} crashes: {schedules} schedules");
            return schedules;
        }
    }
}

macro_rules! explored {
    ($($name:ident: $strategy:literal, $writes:expr, $faults:expr, $zombies:expr, at least $min:expr;)*) => {
        $(#[test]
        fn $name() {
            assert!(explore($strategy, $writes, $faults, $zombies) >= $min);
        })*
    };
}

explored! {
    two_writes_and_a_crash: "source-wins", [1, 1], 1, 0, at least 100;
    two_writes_and_a_crash_between_the_halves_of_a_decision: "add-deltas", [1, 1], 1, 0, at least 100;
    two_writes_and_an_engine_that_lives_on: "add-deltas", [1, 1], 1, 1, at least 100;
    four_writes: "target-wins", [2, 2], 0, 0, at least 100;
    four_writes_that_add_up: "add-deltas", [2, 2], 0, 0, at least 100;
}

//! Generated schedules: every one converges, whatever the strategy.

use std::panic::{AssertUnwindSafe, catch_unwind};

use banyan::rule::builtin;
use banyan::sync::EngineOptions;

use super::run::{Chooser, Config, Seed, Sim, Tally, Writes};

/// Schedules for each strategy. `SIM_SCHEDULES` asks for more.
const SCHEDULES: u64 = 10_000;

fn schedules() -> u64 {
    std::env::var("SIM_SCHEDULES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(SCHEDULES)
}

fn config(strategy: &'static str, writes: Writes, recopies: bool, seed: &mut Seed) -> Config {
    let keys = 1 + seed.choose(3) as i64;
    Config {
        strategy,
        writes,
        tables: 1 + seed.choose(2),
        keys,
        initial: match writes {
            Writes::Deltas => keys,
            Writes::Fresh => 0,
            Writes::Tiny => seed.choose(4) as i64,
        },
        transactions: 1 + seed.choose(9),
        rows_in_transaction_max: 1 + seed.choose(3),
        faults: seed.choose(5) + if recopies { 2 } else { 0 },
        prefilled: recopies && seed.one_in(2),
        recopies: if recopies { 1 + seed.choose(2) } else { 0 },
        zombies: if recopies { 0 } else { seed.choose(3) },
        vague_times: writes == Writes::Tiny && seed.one_in(2),
        options: EngineOptions {
            batch_rows: 1 + seed.choose(4),
            batches: 1 + seed.choose(3),
            chunk_rows: 1 + seed.choose(3),
            conflict_rows: 1 + seed.choose(3),
        },
    }
}

pub(crate) fn one(
    strategy: &'static str,
    writes: Writes,
    recopies: bool,
    seed: u64,
    tell: bool,
) -> Tally {
    let mut chooser = Seed::new(seed);
    let config = config(strategy, writes, recopies, &mut chooser);
    let resolver = builtin::strategy(strategy, &serde_json::Value::Null).unwrap();
    let sim = Sim::new(config, &resolver, &mut chooser);
    sim.world.state().tell = tell;
    sim.run()
}

fn converge(strategy: &'static str, writes: Writes, recopies: bool) {
    let first = std::env::var("SIM_SEED").ok().and_then(|n| n.parse().ok());
    if let Some(seed) = first {
        one(strategy, writes, recopies, seed, true);
        return;
    }
    let mut tally = Tally::default();
    for seed in 0..schedules() {
        match catch_unwind(AssertUnwindSafe(|| {
            one(strategy, writes, recopies, seed, false)
        })) {
            Ok(t) => tally += t,
            Err(_) => {
                println!("strategy {strategy}, {writes:?}, seed {seed}:");
                one(strategy, writes, recopies, seed, true);
            }
        }
    }
    println!(
        "{strategy} {writes:?}: {} schedules, {tally:?}",
        schedules()
    );
    assert!(tally.decisions > 0, "no schedule made a conflict");
}

macro_rules! strategies {
    ($($name:ident = $strategy:literal;)*) => {
        $(#[test]
        fn $name() {
            converge($strategy, Writes::Tiny, false);
        })*

        #[test]
        fn copied_once_more() {
            $(converge($strategy, Writes::Tiny, true);)*
        }

        #[test]
        fn every_strategy_is_here() {
            assert_eq!(builtin::NAMES, &[$($strategy),*]);
        }
    };
}

strategies! {
    last_write_wins = "last-write-wins";
    first_write_wins = "first-write-wins";
    source_wins = "source-wins";
    target_wins = "target-wins";
    merge_columns = "merge-columns";
    add_deltas = "add-deltas";
    max = "max";
    min = "min";
    keep_both = "keep-both";
    skip = "skip";
    park = "park";
}

#[test]
fn the_last_write_of_all_wins() {
    converge("last-write-wins", Writes::Fresh, false);
    converge("last-write-wins", Writes::Fresh, true);
}

#[test]
fn no_increment_is_lost_or_doubled() {
    converge("add-deltas", Writes::Deltas, false);
    converge("add-deltas", Writes::Deltas, true);
}

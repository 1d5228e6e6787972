//! How earlier forms of the protocol failed, each failure under its name.
//!
//! Every test plays the schedule that broke an earlier form and then lets the oracle look.

use banyan::data::Row;
use banyan::database::OpenState;
use banyan::rule::builtin;
use banyan::sync::EngineOptions;

use super::run::{BACKWARD, COPY, Config, DECIDE, FLUSH, FORWARD, REQUESTS, Seed, Sim, Writes};
use super::store::Fate;

const KEY: (usize, i64) = (0, 1);

fn row(a: i64) -> Option<Row> {
    Some(vec![1.into(), a.into(), 1.into()])
}

/// One row with `a` = 1 on both sides, and an engine that reads one transaction at a time.
fn play(strategy: &'static str, run: impl FnOnce(&mut Sim<'_, Seed>)) {
    let resolver = builtin::strategy(strategy, &serde_json::Value::Null).unwrap();
    let mut seed = Seed::new(1);
    let config = Config {
        strategy,
        writes: Writes::Tiny,
        tables: 1,
        keys: 1,
        initial: 1,
        transactions: 0,
        rows_in_transaction_max: 1,
        faults: 0,
        prefilled: false,
        recopies: 0,
        zombies: 1,
        vague_times: false,
        options: EngineOptions {
            batch_rows: 1,
            batches: 1,
            ..EngineOptions::default()
        },
    };
    let mut sim = Sim::new(config, &resolver, &mut seed);
    sim.world.state().tell = true;
    while sim.step(COPY) {}
    run(&mut sim);
    sim.rest();
    sim.check();
}

impl Sim<'_, Seed> {
    fn put(&mut self, side: usize, after: Option<Row>) {
        self.write(side, vec![(KEY, after)]);
    }

    fn a(&self, side: usize) -> Option<i64> {
        let row = self.world.state().sides[side].row(KEY)?;
        match row[1] {
            banyan::data::Value::Int(a) => Some(a),
            _ => None,
        }
    }

    fn open(&self) -> usize {
        self.world.state().sides.iter().map(|s| s.open.len()).sum()
    }

    fn decisions(&self) -> u64 {
        self.world.state().ghost.by_rule
    }
}

#[test]
fn equal_values_on_both_sides_do_not_diverge() {
    play("source-wins", |sim| {
        // Both sides write the same; then one of them goes on.
        sim.put(0, row(2));
        sim.put(1, row(2));
        sim.step(FORWARD);
        sim.put(0, row(3));
        sim.step(BACKWARD);
        sim.step(FORWARD);
        sim.rest();
        assert_eq!((sim.a(0), sim.a(1), sim.decisions()), (Some(3), Some(3), 0));
    });
}

#[test]
fn equal_values_that_are_coalesced_do_not_diverge() {
    play("source-wins", |sim| {
        sim.put(0, row(2));
        sim.put(1, row(2));
        sim.put(1, row(1));
        sim.step(FORWARD);
        sim.step(BACKWARD);
        sim.step(BACKWARD);
        sim.crash(false);
    });
}

#[test]
fn an_ordinary_update_is_not_taken_for_a_conflict() {
    play("source-wins", |sim| {
        sim.put(0, row(2));
        sim.step(FORWARD);
        // It was made from what has just arrived there.
        sim.put(1, row(3));
        sim.put(0, row(2));
        sim.step(BACKWARD);
        sim.put(0, row(1));
        sim.step(FORWARD);
        assert_eq!((sim.open(), sim.decisions()), (0, 0));
    });
}

#[test]
fn a_stale_change_is_not_applied_again_after_x_y_x() {
    play("source-wins", |sim| {
        sim.put(0, row(2));
        sim.step(FORWARD);
        sim.put(1, row(1));
        sim.step(BACKWARD);
        // Both sides are where they began; the log of the source still holds 1 -> 2.
        assert_eq!((sim.a(0), sim.a(1)), (Some(1), Some(1)));
        sim.crash(false);
        sim.step(FORWARD);
        sim.rest();
        assert_eq!((sim.a(0), sim.a(1)), (Some(1), Some(1)));
    });
}

#[test]
fn a_batch_that_was_read_before_a_decision_does_not_overwrite_it() {
    play("target-wins", |sim| {
        sim.put(0, row(2));
        sim.put(1, row(3));
        sim.step(BACKWARD);
        // The source's change is read, and its engine stands still while another one decides.
        assert!(sim.step_to(FORWARD, "apply"));
        sim.crash(true);
        sim.step(FORWARD);
        sim.step(DECIDE);
        assert_eq!((sim.a(0), sim.a(1)), (Some(3), Some(3)));
        sim.let_the_dead_go_on();
        assert_eq!((sim.a(0), sim.a(1)), (Some(3), Some(3)));
    });
}

#[test]
fn a_dead_engine_s_transaction_does_not_commit_after_the_restart() {
    play("source-wins", |sim| {
        sim.put(0, row(2));
        assert!(sim.step_to(FORWARD, "apply"));
        sim.crash(true);
        sim.ready();
        let written = sim.world.state().sides[1].written;
        sim.let_the_dead_go_on();
        assert_eq!(sim.world.state().sides[1].written, written);
    });
}

#[test]
fn an_engine_that_starts_late_takes_nothing_back() {
    play("source-wins", |sim| {
        sim.crash(false);
        sim.start();
        // Both stores are taken over, one is read; then a newer engine comes.
        for _ in 0..3 {
            sim.poll(Some(Fate::Go));
        }
        sim.crash(true);
        sim.ready();
        sim.put(0, row(2));
        sim.put(1, row(3));
        sim.let_the_dead_go_on();
        sim.step(FORWARD);
        assert_eq!(sim.id, 3, "the newer engine goes on");
    });
}

#[test]
fn an_answer_does_not_overwrite_a_newer_write() {
    play("park", |sim| {
        sim.put(0, row(2));
        sim.put(1, row(3));
        sim.step(FORWARD);
        sim.step(DECIDE);
        let parked = |sim: &Sim<'_, Seed>| {
            let state = sim.world.state();
            state.sides[1]
                .open
                .values()
                .any(|c| c.state == OpenState::Parked)
        };
        assert!(parked(sim));
        // Looks and answers; in between the source writes again.
        sim.person();
        sim.put(0, row(1));
        sim.person();
        sim.step(REQUESTS);
        assert!(parked(sim), "refused: the row is not the one that was seen");
        assert_eq!((sim.a(0), sim.a(1)), (Some(1), Some(3)));
    });
}

#[test]
fn a_restart_knows_its_own_writes() {
    play("source-wins", |sim| {
        // The target's change is pending when the source's, which it was made from, comes back.
        sim.put(1, row(2));
        sim.step(BACKWARD);
        sim.put(0, row(3));
        sim.step(FORWARD);
        sim.put(1, row(2));
        sim.crash(false);
        for step in [BACKWARD, FORWARD, BACKWARD, FLUSH] {
            sim.step(step);
        }
        assert_eq!(sim.decisions(), 0);
    });
}

#[test]
fn a_suspect_is_as_durable_as_the_checkpoint_that_passed_it() {
    play("target-wins", |sim| {
        sim.put(0, row(2));
        sim.put(1, row(3));
        // The batch commits, its reply is lost.
        assert!(sim.step_to(FORWARD, "apply"));
        sim.poll(Some(Fate::LoseReply));
        assert_eq!(sim.open(), 1);
        sim.step(DECIDE);
        assert_eq!((sim.open(), sim.a(0), sim.a(1)), (0, Some(3), Some(3)));
    });
}

#[test]
fn changes_of_an_open_key_are_passed_by_in_both_directions() {
    play("target-wins", |sim| {
        sim.put(0, row(2));
        sim.put(1, row(3));
        sim.step(FORWARD);
        sim.put(1, row(2));
        sim.put(0, row(1));
        for step in [BACKWARD, BACKWARD, FORWARD] {
            sim.step(step);
        }
        assert_eq!((sim.open(), sim.a(0), sim.a(1)), (1, Some(1), Some(2)));
    });
}

/// Both sides wrote, the rule makes a third row, and the engine dies between the two commits.
fn half_a_decision(sim: &mut Sim<'_, Seed>) {
    sim.put(0, row(11));
    sim.put(1, row(101));
    sim.step(FORWARD);
    assert!(sim.step_to(DECIDE, "commit"));
    sim.poll(Some(Fate::Go));
    assert!(sim.to("commit"));
    sim.crash(false);
    assert_eq!((sim.a(0), sim.a(1)), (Some(111), Some(101)));
}

#[test]
fn half_a_decision_is_finished() {
    play("add-deltas", |sim| {
        half_a_decision(sim);
        sim.ready();
        assert_eq!((sim.a(0), sim.a(1)), (Some(111), Some(111)));
    });
}

#[test]
fn half_a_decision_whose_other_side_went_on_still_adds_up() {
    play("add-deltas", |sim| {
        half_a_decision(sim);
        sim.put(1, row(1101));
        sim.put(0, row(10111));
        sim.rest();
        assert_eq!((sim.a(0), sim.a(1)), (Some(11111), Some(11111)));
    });
}

#[test]
fn a_conflict_is_not_closed_before_its_decision_is_written() {
    play("source-wins", |sim| {
        sim.put(0, row(2));
        sim.put(1, row(3));
        // Found on the way back: written down at the source, decided for the target's row.
        sim.step(BACKWARD);
        assert!(sim.step_to(DECIDE, "commit"));
        sim.poll(Some(Fate::Go));
        sim.crash(false);
    });
}

#[test]
fn a_row_of_the_target_s_is_not_lost_while_its_key_is_copied() {
    let resolver = builtin::strategy("source-wins", &serde_json::Value::Null).unwrap();
    let mut seed = Seed::new(1);
    let config = Config {
        strategy: "source-wins",
        writes: Writes::Tiny,
        tables: 1,
        keys: 3,
        initial: 2,
        transactions: 0,
        rows_in_transaction_max: 1,
        faults: 0,
        prefilled: false,
        recopies: 0,
        zombies: 0,
        vague_times: false,
        options: EngineOptions {
            chunk_rows: 1,
            ..EngineOptions::default()
        },
    };
    let mut sim = Sim::new(config, &resolver, &mut seed);
    let nine = || Some(vec![9.into(), 1.into(), 1.into()]);
    sim.write(1, vec![((0, 9), nine())]);
    sim.step(BACKWARD);
    if sim.world.state().sides[0].row((0, 9)).is_some() {
        sim.write(0, vec![((0, 9), None)]);
    }
    sim.rest();
    sim.check();
    assert!(sim.world.state().sides[0].row((0, 9)).is_some());
}

#[test]
fn both_rows_of_keep_both_survive_a_crash_between_the_sides() {
    play("keep-both", |sim| {
        half_a_decision_of_keep_both(sim);
        sim.rest();
        let rows = sim.world.state().sides[1]
            .cells
            .values()
            .filter(|c| c.row.is_some())
            .count();
        assert_eq!(rows, 2);
    });
}

fn half_a_decision_of_keep_both(sim: &mut Sim<'_, Seed>) {
    sim.put(0, row(2));
    sim.put(1, row(3));
    sim.step(FORWARD);
    assert!(sim.step_to(DECIDE, "commit"));
    sim.poll(Some(Fate::Go));
    assert!(sim.to("commit"));
    sim.crash(false);
}

#[test]
fn a_row_is_not_weighed_with_the_time_of_an_older_version() {
    play("last-write-wins", |sim| {
        sim.put(0, row(2));
        sim.put(1, row(3));
        sim.step(FORWARD);
        // Rows are read, or times, and before the other is read the source writes again.
        sim.ready();
        for fate in [Fate::Step(DECIDE), Fate::Go, Fate::Go] {
            sim.poll(Some(fate));
        }
        sim.put(0, row(4));
        sim.rest();
        assert_eq!((sim.a(0), sim.a(1)), (Some(4), Some(4)));
    });
}

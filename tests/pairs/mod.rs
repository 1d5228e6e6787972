//! Two-way migrations between every two kinds of database, by the real program on real servers.
//!
//! - `added`: columns that one side gets meanwhile.
//! - `schema`: the tables, written for each engine, and what they hold.
//! - `converge`: copy, both ways, conflicts, and the proof that both sides are equal.
//! - `kills`: the program is killed again and again while applications write on both sides.
//! - `constraints`: what unique values, parents and lengths keep out.
//! - `create`: tables of the target that the program makes.
//! - `traces`: what is left in the databases afterwards: nothing.

mod added;
mod constraints;
mod converge;
mod create;
mod kills;
mod over;
mod schema;
mod traces;

macro_rules! pair {
    ($name:ident, $source:ident, $target:ident) => {
        pair!(
            $name,
            Some(Sides::new(Engine::$source, Engine::$target)),
            Some(Sides::alone(Engine::$source, Engine::$target))
        );
    };
    // On servers without a log, by a role that could not read it.
    ($name:ident, $source:ident, $target:ident, by triggers) => {
        pair!(
            $name,
            Sides::by_triggers(Engine::$source, Engine::$target),
            Sides::by_triggers(Engine::$source, Engine::$target)
        );
    };
    ($name:ident, $sides:expr, $alone:expr) => {
        mod $name {
            use crate::support::sides::{Engine, Sides};

            #[test]
            fn converges() {
                $sides.into_iter().for_each(super::converge::check);
            }

            #[test]
            fn survives_kills() {
                $sides.into_iter().for_each(super::kills::check);
            }

            #[test]
            fn swaps_and_cascades_go_through() {
                let check = super::constraints::check_those_that_hold;
                $sides.into_iter().for_each(check);
            }

            #[test]
            fn what_a_constraint_keeps_out_waits() {
                let check = super::constraints::check_those_that_do_not;
                $sides.into_iter().for_each(check);
            }

            #[test]
            fn carries_added_columns() {
                $sides.into_iter().for_each(super::added::check);
            }

            #[test]
            fn added_columns_survive_kills() {
                $sides.into_iter().for_each(super::over::check_carried);
            }

            #[test]
            fn widened_tables_survive_kills() {
                $sides.into_iter().for_each(super::over::check_widened);
            }

            #[test]
            fn makes_missing_tables() {
                $sides.into_iter().for_each(super::create::check);
            }

            #[test]
            fn makes_missing_tables_while_rows_are_written() {
                let check = super::create::check_while_written;
                $sides.into_iter().for_each(check);
            }

            #[test]
            fn leaves_no_trace() {
                $alone.into_iter().for_each(super::traces::check);
            }
        }
    };
}

pair!(sqlite_to_sqlite, Sqlite, Sqlite);
pair!(sqlite_to_postgres, Sqlite, Postgres);
pair!(sqlite_to_mysql, Sqlite, Mysql);
pair!(postgres_to_sqlite, Postgres, Sqlite);
pair!(postgres_to_postgres, Postgres, Postgres);
pair!(postgres_to_mysql, Postgres, Mysql);
pair!(mysql_to_sqlite, Mysql, Sqlite);
pair!(mysql_to_postgres, Mysql, Postgres);
pair!(mysql_to_mysql, Mysql, Mysql);
pair!(postgres_to_postgres_by_triggers, Postgres, Postgres, by triggers);
pair!(postgres_to_mysql_by_triggers, Postgres, Mysql, by triggers);
pair!(mysql_to_postgres_by_triggers, Mysql, Postgres, by triggers);

//! Two-way migrations between every two kinds of database, by the real program on real servers.
//!
//! - `schema`: the tables, written for each engine, and what they hold.
//! - `converge`: copy, both ways, conflicts, and the proof that both sides are equal.
//! - `kills`: the program is killed again and again while applications write on both sides.
//! - `constraints`: what unique values, parents and lengths keep out.
//! - `traces`: what is left in the databases afterwards: nothing.

mod constraints;
mod converge;
mod kills;
mod schema;
mod traces;

macro_rules! pair {
    ($name:ident, $source:ident, $target:ident) => {
        mod $name {
            use crate::support::sides::Engine;

            #[test]
            fn converges() {
                super::converge::check(Engine::$source, Engine::$target);
            }

            #[test]
            fn survives_kills() {
                super::kills::check(Engine::$source, Engine::$target);
            }

            #[test]
            fn swaps_and_cascades_go_through() {
                super::constraints::check_those_that_hold(Engine::$source, Engine::$target);
            }

            #[test]
            fn what_a_constraint_keeps_out_waits() {
                super::constraints::check_those_that_do_not(Engine::$source, Engine::$target);
            }

            #[test]
            fn leaves_no_trace() {
                super::traces::check(Engine::$source, Engine::$target);
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

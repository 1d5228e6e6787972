//! Every type there and back: a table for each type of the source's engine, made in the target by the
//! program; its values are copied, written again under other keys by the target, and come back. Each is
//! in the end what it was, or a conflict names it.
//!
//! What comes out is published in `src/database/VALUES.md`. `UPDATE=1 tests/run types::` writes it.

mod document;
mod values;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::support::sides::{Engine, Side, Sides};

use document::Section;
use values::{POSTGRES_FIRST, cases};

/// Between a value's key and that of its copy.
const BACK: i64 = 1000;

macro_rules! pair {
    ($name:ident, $source:ident, $target:ident) => {
        #[test]
        fn $name() {
            check(Sides::new(Engine::$source, Engine::$target));
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

/// What became of one type.
#[derive(Debug, Default)]
struct Fate {
    /// The type's table could not be made.
    no_table: Option<String>,
    /// By key: why the value is not on the other side.
    refused: BTreeMap<i64, String>,
    /// Values that came back as they were.
    back: usize,
}

fn table(n: usize) -> String {
    format!("t{n}")
}

fn check(sides: Sides) {
    let engine = sides.source.engine;
    let cases = cases(engine);
    if engine == Engine::Postgres {
        sides.source.sql(POSTGRES_FIRST);
        if sides.target.engine == Engine::Postgres {
            // Types of the application's are the application's to make.
            sides.target.sql(POSTGRES_FIRST);
        }
    }
    for (n, (declared, values)) in cases.iter().enumerate() {
        let t = table(n);
        sides.source.sql(&format!(
            "CREATE TABLE {t} (id bigint PRIMARY KEY, v {declared})"
        ));
        for (id, value) in values.iter().enumerate() {
            let insert = format!("INSERT INTO {t} VALUES ({}, {value})", id + 1);
            sides.source.sql(&insert);
        }
    }
    let mut fates: Vec<Fate> = cases.iter().map(|_| Fate::default()).collect();
    configure(&sides, &fates);
    let made = sides.shop.run(&["copy", "shop", "--create-tables"]);
    if made.code != 0 {
        for (n, fate) in fates.iter_mut().enumerate() {
            let begins = format!("table {} cannot be created", table(n));
            let mut lines = made.errors.lines();
            fate.no_table = lines.find(|l| l.contains(&begins)).map(|l| {
                let (_, why) = l.split_once(": ").unwrap_or(("", l));
                why.rsplit(": ").next().unwrap_or(why).to_owned()
            });
        }
        assert!(fates.iter().any(|f| f.no_table.is_some()), "{made:?}");
        configure(&sides, &fates);
        sides.shop.json(&["copy", "shop", "--create-tables"]);
    }
    sync(&sides, &mut fates);
    for (n, fate) in fates
        .iter()
        .enumerate()
        .filter(|(_, f)| f.no_table.is_none())
    {
        let t = table(n);
        let there: Vec<String> = sides.target.rows(&format!("SELECT id FROM {t}"));
        let all = cases[n].1.len();
        assert_eq!(
            there.len() + fate.refused.len(),
            all,
            "{}: {fate:?}",
            cases[n].0
        );
        sides
            .target
            .sql(&format!("INSERT INTO {t} SELECT id + {BACK}, v FROM {t}"));
    }
    sync(&sides, &mut fates);
    for (n, fate) in fates
        .iter_mut()
        .enumerate()
        .filter(|(_, f)| f.no_table.is_none())
    {
        let same = same(&sides.source, &table(n), cases[n].0);
        let ways = cases[n].1.len();
        for id in (1..).take(ways) {
            let is_same = same.contains(&format!("{:?}", id.to_string()));
            let is_refused =
                fate.refused.contains_key(&id) || fate.refused.contains_key(&(id + BACK));
            assert!(
                is_same != is_refused,
                "{}: {} came back as something else: {fate:?}",
                cases[n].0,
                cases[n].1[usize::try_from(id).unwrap() - 1]
            );
        }
        fate.back = same.len();
    }
    section(&sides, &fates).check();
}

fn configure(sides: &Sides, fates: &[Fate]) {
    let mut rest = String::from("on_conflict = \"park\"\n");
    for (n, _) in fates
        .iter()
        .enumerate()
        .filter(|(_, f)| f.no_table.is_none())
    {
        let t = table(n);
        writeln!(rest, "[[migrations.shop.tables]]\nsource = \"{t}\"").unwrap();
    }
    sides.configure(&rest);
}

/// Syncs, and takes down what waits.
fn sync(sides: &Sides, fates: &mut [Fate]) {
    sides.shop.run(&["sync", "shop", "--until-idle"]);
    let waiting = sides.waiting();
    for conflict in waiting.as_array().unwrap() {
        let name = conflict["table"].as_str().unwrap();
        let bare = name.rsplit('.').next().unwrap();
        let n: usize = bare.strip_prefix('t').unwrap().parse().unwrap();
        let id = conflict["key"]["id"].as_i64();
        let id = id.unwrap_or_else(|| panic!("{conflict}"));
        let reason = conflict["reason"].as_str().unwrap_or_default();
        assert!(!reason.is_empty(), "{conflict}");
        fates[n].refused.insert(id, reason.to_owned());
    }
}

/// Keys of values that are bit for bit what their copies are.
fn same(side: &Side, t: &str, declared: &str) -> Vec<String> {
    let equal = match side.engine {
        Engine::Sqlite => "typeof(a.v) = typeof(b.v) AND quote(a.v) = quote(b.v)",
        // A number is what it is however many zeros it is written with.
        Engine::Postgres if declared == "numeric" => {
            "trim_scale(a.v)::text IS NOT DISTINCT FROM trim_scale(b.v)::text"
        }
        Engine::Postgres => "a.v::text IS NOT DISTINCT FROM b.v::text",
        Engine::Mysql => "CAST(a.v AS BINARY) <=> CAST(b.v AS BINARY)",
    };
    side.rows(&format!(
        "SELECT a.id FROM {t} a JOIN {t} b ON b.id = a.id + {BACK} WHERE {equal}"
    ))
}

fn section(sides: &Sides, fates: &[Fate]) -> Section {
    let cases = cases(sides.source.engine);
    let mut section = Section::new(sides.source.engine, sides.target.engine);
    for (n, fate) in fates.iter().enumerate() {
        let (declared, values) = cases[n];
        section.add(
            declared,
            values,
            fate.no_table.as_deref(),
            fate.back,
            |id| {
                let refused = |id| fate.refused.get(&id).map(String::as_str);
                refused(id).or_else(|| refused(id + BACK))
            },
        );
    }
    section
}

//! Unique values, parents and lengths: what holds in the end goes through, what does not waits, is
//! named, and holds nothing else up.

use crate::support::sides::{Engine, Side, Sides};

/// `strict`: the target's own tables. A parent is asked for there only, and a label is short.
fn schema(engine: Engine, strict: bool) -> String {
    let (int, name) = match engine {
        Engine::Sqlite => ("INTEGER", "TEXT"),
        Engine::Postgres | Engine::Mysql => ("BIGINT", "VARCHAR(100)"),
    };
    let deferrable = match engine {
        Engine::Mysql => "",
        Engine::Sqlite | Engine::Postgres => " DEFERRABLE INITIALLY DEFERRED",
    };
    // MySQL and MariaDB do not log what their foreign keys change, so such tables are refused.
    let cascade = match engine {
        Engine::Mysql => "",
        Engine::Sqlite | Engine::Postgres => " ON DELETE CASCADE",
    };
    let (label, parent) = match (strict, engine) {
        (false, _) => (name.to_owned(), String::new()),
        (true, Engine::Sqlite) => (
            "TEXT CHECK (length(label) <= 8)".to_owned(),
            ", FOREIGN KEY (parent) REFERENCES parents (id)".to_owned(),
        ),
        (true, _) => (
            "VARCHAR(8)".to_owned(),
            ", FOREIGN KEY (parent) REFERENCES parents (id)".to_owned(),
        ),
    };
    format!(
        "CREATE TABLE parents (id {int} PRIMARY KEY, name {name} NOT NULL UNIQUE, v {int});
         CREATE TABLE children (id {int} PRIMARY KEY, parent {int} NOT NULL, v {int},
             FOREIGN KEY (parent) REFERENCES parents (id){deferrable});
         CREATE TABLE leaves (id {int} PRIMARY KEY, parent {int}, v {int},
             FOREIGN KEY (parent) REFERENCES parents (id){cascade});
         CREATE TABLE loose (id {int} PRIMARY KEY, parent {int}, v {int}{parent});
         CREATE TABLE labels (id {int} PRIMARY KEY, label {label})"
    )
}

const TABLES: [&str; 5] = ["parents", "children", "leaves", "loose", "labels"];

fn shop(sides: Sides) -> Sides {
    sides.source.sql(&schema(sides.source.engine, false));
    sides.target.sql(&schema(sides.target.engine, true));
    let tables = TABLES.map(|table| format!("[[migrations.shop.tables]]\nsource = \"{table}\"\n"));
    sides.configure(&format!(
        "on_conflict = \"source-wins\"\n{}",
        tables.concat()
    ));
    let parents: Vec<String> = (1..13).map(|i| format!("({i}, 'parent {i}', 0)")).collect();
    sides.source.sql(&format!(
        "INSERT INTO parents VALUES {}",
        parents.join(", ")
    ));
    sides
        .source
        .sql("INSERT INTO children VALUES (1, 1, 0), (2, 2, 0)");
    sides
        .source
        .sql("INSERT INTO leaves VALUES (1, 11, 0), (2, 11, 0), (3, 12, 0), (4, 12, 0)");
    sides.sync();
    assert_same(&sides);
    sides
}

fn content(side: &Side) -> Vec<String> {
    let of = |table: &str| side.rows(&format!("SELECT '{table}', t.* FROM {table} t"));
    TABLES.into_iter().flat_map(of).collect()
}

fn assert_same(sides: &Sides) {
    assert_eq!(content(&sides.source), content(&sides.target));
}

/// Syncs, and demands that nothing waits or was in conflict.
fn goes_through(sides: &Sides, what: &str) {
    let report = sides.sync();
    for table in report["tables"].as_array().unwrap() {
        assert_eq!(table["conflicts"], 0, "{what}: {report}");
        assert_eq!(table["parked"], 0, "{what}: {report}");
    }
    assert_same(sides);
}

/// What is not against any constraint when its transaction is over.
pub(super) fn check_those_that_hold(sides: Sides) {
    let sides = shop(sides);
    for (from, what, n) in [
        (&sides.source, "from the source", 100),
        (&sides.target, "from the target", 200),
    ] {
        from.transaction(&[
            "UPDATE parents SET name = '-' WHERE id = 1",
            "UPDATE parents SET name = 'parent 1' WHERE id = 2",
            "UPDATE parents SET name = '+' WHERE id = 3",
            "UPDATE parents SET name = 'parent 3' WHERE id = 1",
            "UPDATE parents SET name = 'parent 2' WHERE id = 3",
        ]);
        goes_through(
            &sides,
            &format!("three unique values change places, {what}"),
        );
        from.transaction(&[
            "UPDATE parents SET name = 'parent 1' WHERE id = 1 AND name = 'nobody'",
            "UPDATE parents SET name = '-' WHERE id = 2",
            "UPDATE parents SET name = '+' WHERE id = 3",
            "UPDATE parents SET name = 'parent 1' WHERE id = 1",
            "UPDATE parents SET name = 'parent 2' WHERE id = 2",
            "UPDATE parents SET name = 'parent 3' WHERE id = 3",
        ]);
        goes_through(&sides, &format!("and change back, {what}"));
        from.transaction(&[
            "DELETE FROM parents WHERE id = 7 OR id = 8",
            &format!("INSERT INTO parents VALUES ({n}, 'parent 7', 1)"),
            "INSERT INTO parents VALUES (7, 'parent 8', 1), (8, 'parent 8 again', 1)",
            "UPDATE parents SET name = 'once more' WHERE id = 7",
            "UPDATE parents SET name = 'parent 8' WHERE id = 8",
            &format!("UPDATE parents SET name = 'parent {n}' WHERE id = {n}"),
            "UPDATE parents SET name = 'parent 7' WHERE id = 7",
        ]);
        goes_through(
            &sides,
            &format!("what one row leaves, another takes, {what}"),
        );
        from.deferred(&[
            &format!("INSERT INTO children VALUES ({n}, {}, 0)", n + 1),
            &format!("INSERT INTO parents VALUES ({}, 'late {n}', 0)", n + 1),
            &format!("UPDATE children SET parent = {} WHERE id = 1", n + 2),
            &format!("INSERT INTO parents VALUES ({}, 'later {n}', 0)", n + 2),
        ]);
        goes_through(&sides, &format!("a child before its parent, {what}"));
        from.transaction(&[
            &format!("DELETE FROM children WHERE id = {n}"),
            &format!("DELETE FROM parents WHERE id = {}", n + 1),
        ]);
        goes_through(&sides, &format!("a parent after its child, {what}"));
        let parent = 10 + n / 100;
        let delete = format!("DELETE FROM parents WHERE id = {parent}");
        if from.engine == Engine::Mysql {
            let leaves = format!("DELETE FROM leaves WHERE parent = {parent}");
            from.transaction(&[leaves.as_str(), &delete]);
        } else {
            // The database deletes the leaves by itself.
            from.sql(&delete);
        }
        goes_through(&sides, &format!("a parent with its leaves, {what}"));
    }
    assert_eq!(
        sides.source.rows("SELECT id FROM leaves"),
        Vec::<String>::new()
    );
    sides.assert_verified();
    sides.assert_still();
}

/// The tables and keys that wait.
fn waiting(sides: &Sides) -> Vec<(String, i64)> {
    let list = sides.waiting();
    let mut out: Vec<(String, i64)> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            let reason = c["reason"].as_str().unwrap_or_default();
            assert!(!reason.is_empty(), "{c}");
            let table = c["table"].as_str().unwrap().to_owned();
            (table, c["key"]["id"].as_i64().unwrap())
        })
        .collect();
    out.sort();
    out
}

/// Syncs, with conflicts left; answers which.
fn leaves(sides: &Sides) -> Vec<(String, i64)> {
    let shown = sides.shop.run(&["sync", "shop", "--until-idle"]);
    assert_eq!(shown.code, 1, "{shown:?}");
    waiting(sides)
}

/// What the other side does not take.
pub(super) fn check_those_that_do_not(sides: Sides) {
    let sides = shop(sides);
    let (a, b) = (&sides.source, &sides.target);
    let at = |table: &str, id: i64| (table.to_owned(), id);

    // A value that is too long waits; what comes with it does not.
    a.transaction(&[
        "INSERT INTO labels VALUES (1, 'short'), (2, 'much too long'), (3, 'exactly8')",
        "INSERT INTO parents VALUES (50, 'beside it', 0)",
    ]);
    assert_eq!(leaves(&sides), [at("labels", 2)]);
    assert_eq!(b.rows("SELECT id FROM labels"), ["\"1\"", "\"3\""]);
    assert_eq!(b.rows("SELECT id FROM parents WHERE id = 50").len(), 1);
    a.sql("UPDATE labels SET label = 'shorter' WHERE id = 2");
    goes_through(&sides, "a label that fits now");

    // A row whose parent is not there waits for it, whatever happens to the row meanwhile.
    a.sql("INSERT INTO loose VALUES (1, 60, 0), (2, NULL, 0), (3, 50, 0)");
    assert_eq!(leaves(&sides), [at("loose", 1)]);
    assert_eq!(b.rows("SELECT id FROM loose").len(), 2);
    a.sql("UPDATE loose SET v = 5 WHERE id = 1");
    a.sql("UPDATE labels SET label = 'goes on' WHERE id = 1");
    assert_eq!(leaves(&sides), [at("loose", 1)]);
    assert_eq!(
        b.rows("SELECT label FROM labels WHERE id = 1"),
        ["\"goes on\""]
    );
    a.sql("INSERT INTO parents VALUES (60, 'came late', 0)");
    goes_through(&sides, "a parent that came late");

    // A unique value that both sides gave away waits until somebody changes one of them.
    a.sql("INSERT INTO parents VALUES (70, 'taken', 0)");
    b.sql("INSERT INTO parents VALUES (71, 'taken', 0)");
    assert_eq!(leaves(&sides), [at("parents", 70), at("parents", 71)]);
    b.sql("UPDATE parents SET name = 'given up' WHERE id = 71");
    let report = sides.sync();
    assert_eq!(waiting(&sides), [], "{report}");
    assert_same(&sides);

    // A parent that got a child there while it was deleted here comes back.
    a.sql("DELETE FROM parents WHERE id = 3");
    b.sql("INSERT INTO children VALUES (30, 3, 0)");
    let report = sides.sync();
    assert_eq!(waiting(&sides), [], "{report}");
    assert_same(&sides);
    assert_eq!(
        a.rows("SELECT id FROM children WHERE parent = 3"),
        ["\"30\""]
    );

    sides.assert_verified();
    sides.assert_still();
}

/// What a server changes without a word in its log is refused before anything is begun.
#[test]
fn cascades_that_mysql_does_not_log_are_refused_by_name() {
    let sides = Sides::new(Engine::Mysql, Engine::Sqlite);
    for side in sides.both() {
        side.sql(
            "CREATE TABLE parents (id BIGINT PRIMARY KEY);
             CREATE TABLE leaves (id BIGINT PRIMARY KEY, parent BIGINT,
                 FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE)",
        );
    }
    sides.configure("on_conflict = \"source-wins\"\n");
    let check = sides.shop.run(&["check"]);
    assert_eq!(check.code, 3, "{check:?}");
    let sync = sides.shop.run(&["sync", "shop", "--until-idle"]);
    assert_eq!(sync.code, 3, "{sync:?}");
    for shown in [format!("{}{}", check.out, check.errors), sync.errors] {
        assert!(
            shown.contains("leaves") && shown.contains("ON DELETE CASCADE"),
            "{shown}"
        );
    }
    assert_eq!(sides.source.rows("SHOW TABLES").len(), 2);
}

/// Between tables of the same types rows are copied without a look into them, until one is in the way.
#[test]
fn a_row_that_the_copy_cannot_write_waits_by_itself() {
    let sides = Sides::new(Engine::Postgres, Engine::Postgres);
    let (a, b) = (&sides.source, &sides.target);
    let table = |check: &str| {
        format!(
            "CREATE TABLE goods (id BIGINT PRIMARY KEY, name VARCHAR(40), price NUMERIC(10,2){check},
                 at TIMESTAMPTZ, doc JSONB, raw BYTEA, code CHAR(5), rate DOUBLE PRECISION, day DATE)"
        )
    };
    a.sql(&table(""));
    b.sql(&table(" CHECK (price <> 7)"));
    a.sql(
        "INSERT INTO goods SELECT g, CASE WHEN g % 3 = 0 THEN NULL ELSE 'näme ' || g END,
             CASE WHEN g = 1700 THEN 7 WHEN g % 50 = 0 THEN 'NaN' ELSE g * 1.01 + 8 END,
             TIMESTAMPTZ '2000-01-01 00:00+00' + g * interval '1 second',
             CASE WHEN g % 7 = 0 THEN NULL ELSE jsonb_build_object('n', g, 'l', '[null, 1.50]'::jsonb) END,
             decode(md5(g::text), 'hex'), 'c' || g % 10,
             CASE WHEN g % 11 = 0 THEN '-0'::float8 ELSE 1.0 / g END,
             CASE WHEN g % 13 = 0 THEN 'infinity'::date ELSE DATE '1999-12-31' - g::int END
         FROM generate_series(1, 2500) AS g",
    );
    sides.configure("chunk_rows = 500\n[[migrations.shop.tables]]\nsource = \"goods\"\n");
    assert_eq!(leaves(&sides), [("goods".to_owned(), 1700)]);
    let all = "SELECT goods::text, float8send(rate) FROM goods WHERE id <> 1700 ORDER BY id";
    assert_eq!(a.rows(all), b.rows(all));
    assert_eq!(b.rows(all).len(), 2499);
    // What was copied unseen is what later changes expect there.
    a.sql("UPDATE goods SET price = 8 WHERE id = 1700");
    a.sql("UPDATE goods SET name = 'new' WHERE id % 10 = 1");
    b.sql("UPDATE goods SET raw = NULL WHERE id % 10 = 2");
    let report = sides.sync();
    assert_eq!(report["tables"][0]["conflicts"], 0, "{report}");
    let all = "SELECT goods::text, float8send(rate) FROM goods ORDER BY id";
    assert_eq!(a.rows(all), b.rows(all));
    assert_eq!(a.rows(all).len(), 2500);
    sides.assert_verified();
    sides.assert_still();
}

//! Bad input: each kind is refused with an error that says what, where and what to do, and nothing
//! is left half-created: both databases stay as they were, and no state says that anything runs.

use std::process::Command;

use crate::support::app;
use crate::support::program::{CONFIG, ITEMS, Shop, Shown, content, wait_until};

/// Runs `sync`, and demands that it changed nothing.
fn refused_sync(shop: &Shop) -> Shown {
    let before = shop.everything();
    let shown = shop.run(&["sync", "shop", "--until-idle"]);
    assert_eq!(shop.everything(), before);
    assert_eq!(shop.phase(), "planned");
    assert_eq!(shown.out, "");
    shown
}

/// Runs `check`, and demands that it changed nothing and made nothing.
fn checked(shop: &Shop) -> Shown {
    let (content, names) = (shop.everything(), names(shop));
    let shown = shop.run(&["check"]);
    assert_eq!(shop.everything(), content);
    assert_eq!(self::names(shop), names);
    shown
}

fn names(shop: &Shop) -> Vec<String> {
    let entries = std::fs::read_dir(shop.folder()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn without_a_configuration_every_command_says_where_it_looked() {
    let shop = Shop::new();
    std::fs::remove_file(shop.path("banyan.toml")).unwrap();
    let before = names(&shop);
    for arguments in [
        &["check"][..],
        &["sync", "shop"],
        &["copy", "shop"],
        &["conflict", "list"],
        &["migration", "status", "shop"],
        &["migration", "complete", "shop"],
    ] {
        let shown = shop.run(arguments);
        assert_eq!(
            shown.failure(),
            "exit code: 2\nerror: there is no file banyan.toml\n\nhint: `banyan init` writes \
             one\nhint: `--config FILE` names another\n",
            "{arguments:?}"
        );
    }
    assert_eq!(names(&shop), before);
}

#[test]
fn a_missing_database_is_named_and_not_made() {
    let shop = Shop::new();
    std::fs::remove_file(shop.path("target.db")).unwrap();
    insta::assert_snapshot!(checked(&shop).all(), @r"
exit code: 3
--- stdout
banyan.toml: stores.service: store service: there is no database file target.db
  → correct the store's url in the configuration, or create the database first
--- stderr
error: banyan.toml: 1 problem found
");
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r"
exit code: 3
error: migration shop: store service: there is no database file target.db

hint: correct the store's url in the configuration, or create the database first
");
    assert!(!shop.path("target.db").exists());
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let shop = Shop::new();
    std::fs::remove_file(shop.path("target.db")).unwrap();
    std::fs::write(shop.path("target.db"), "id,name\n1,one\n").unwrap();
    insta::assert_snapshot!(checked(&shop).all(), @r"
exit code: 3
--- stdout
banyan.toml: stores.service: store service: cannot open target.db: file is not a database (SQLite code 26)
  → check that the path names an SQLite database that you may read and write
--- stderr
error: banyan.toml: 1 problem found
");
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r"
exit code: 3
error: migration shop: store service: cannot open target.db
  caused by: file is not a database (SQLite code 26)

hint: check that the path names an SQLite database that you may read and write
");
}

/// For SQLite an empty file is a database without tables.
#[test]
fn an_empty_file_has_no_tables() {
    let shop = Shop::new();
    std::fs::remove_file(shop.path("target.db")).unwrap();
    std::fs::write(shop.path("target.db"), "").unwrap();
    insta::assert_snapshot!(checked(&shop).all(), @r"
exit code: 2
--- stdout
banyan.toml: migrations.shop.tables[0]: table items: store service: there is no table items
  → the database has no tables at all; is target.db the right file?
note: stores.service: its journal_mode is delete: readers and writers block each other, your application's and Banyan's
  → run PRAGMA journal_mode = WAL once in this database; it stays
--- stderr
error: banyan.toml: 1 problem found
");
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r"
exit code: 2
error: migration shop: table items: store service: there is no table items

hint: the database has no tables at all; is target.db the right file?
");
}

#[test]
fn a_folder_is_no_database() {
    let shop = Shop::new();
    std::fs::remove_file(shop.path("target.db")).unwrap();
    std::fs::create_dir(shop.path("target.db")).unwrap();
    insta::assert_snapshot!(checked(&shop).all(), @r"
exit code: 3
--- stdout
banyan.toml: stores.service: store service: target.db is a folder, not a database file
  → correct the store's url in the configuration, or create the database first
--- stderr
error: banyan.toml: 1 problem found
");
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r"
exit code: 3
error: migration shop: store service: target.db is a folder, not a database file

hint: correct the store's url in the configuration, or create the database first
");
}

/// The same database under two names would lock itself out.
#[test]
fn source_and_target_must_be_two_databases() {
    let shop = Shop::new();
    std::fs::create_dir(shop.path("sub")).unwrap();
    shop.configure(&CONFIG.replace("sqlite:target.db", "sqlite:sub/../source.db"));
    insta::assert_snapshot!(checked(&shop).all(), @r"
exit code: 2
--- stdout
banyan.toml: migrations.shop: its source and its target are the same database, source.db
  → give the service a database of its own
--- stderr
error: banyan.toml: 1 problem found
");
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r"
exit code: 2
error: migration shop: its source and its target are the same database, source.db

hint: give the service a database of its own
");
}

/// Without write permission. The superuser may write everything, so somebody else is asked.
#[test]
fn a_read_only_file_is_found_out_before_the_other_side_is_touched() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;

    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for journal in ["DELETE", "WAL"] {
        let shop = Shop::new();
        for name in ["source.db", "target.db"] {
            shop.write(name, &format!("PRAGMA journal_mode = {journal}"));
        }
        let before = shop.everything();
        mode(shop.folder(), 0o777);
        mode(&shop.path("source.db"), 0o666);
        mode(&shop.path("target.db"), 0o444);
        let program = shop.path("program");
        std::fs::copy(env!("CARGO_BIN_EXE_banyan"), &program).unwrap();
        let superuser = std::fs::metadata(shop.folder()).unwrap().uid() == 0;
        for verb in [&["check"][..], &["sync", "shop"]] {
            let mut command = Command::new(&program);
            shop.prepare(&mut command);
            if superuser {
                command.uid(65534).gid(65534);
            }
            let shown = Shown::new(&command.args(verb).output().unwrap(), shop.folder());
            assert_eq!(shown.code, 3, "{shown:?}");
            let told = format!("{}{}", shown.out, shown.errors);
            for part in [
                "store service: target.db cannot be written",
                "attempt to write a readonly database",
                "give this user the right to write the file and its folder",
            ] {
                assert!(told.contains(part), "{told}");
            }
        }
        mode(&shop.path("target.db"), 0o666);
        assert_eq!(shop.everything(), before);
    }
}

#[test]
fn a_table_without_a_key_is_refused() {
    let keyless = "CREATE TABLE items (id INT, name TEXT NOT NULL, price REAL)";
    let shop = Shop::of(keyless, ITEMS);
    insta::assert_snapshot!(checked(&shop).all(), @r#"
exit code: 2
--- stdout
banyan.toml: migrations.shop.tables[0]: table items: table items has no primary key and no unique key without NULLs, so its rows cannot be told apart
  → add one (CREATE UNIQUE INDEX … ON items(…) over NOT NULL columns), or name unique columns with key = ["…"]
--- stderr
error: banyan.toml: 1 problem found
"#);
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r#"
exit code: 2
error: migration shop: table items: table items has no primary key and no unique key without NULLs, so its rows cannot be told apart

hint: add one (CREATE UNIQUE INDEX … ON items(…) over NOT NULL columns), or name unique columns with key = ["…"]
"#);
}

#[test]
fn rows_without_a_value_in_the_key_are_refused() {
    let shop = Shop::of(
        "CREATE TABLE items (code TEXT PRIMARY KEY, name TEXT)",
        "CREATE TABLE items (code TEXT PRIMARY KEY, name TEXT)",
    );
    shop.write(
        "source.db",
        "INSERT INTO items VALUES (NULL, 'a'), (NULL, 'b')",
    );
    insta::assert_snapshot!(checked(&shop).all(), @r"
exit code: 2
--- stdout
banyan.toml: migrations.shop: store monolith: 2 rows of table items have no value in key column code
  → give these rows a key, then start again
note: migrations.shop: while the migration runs, SQLite refuses ALTER TABLE … DROP COLUMN for the columns that are synced: Banyan's triggers name them
  → leave such changes until the migration is completed or aborted; adding columns and tables works
--- stderr
error: banyan.toml: 1 problem found
");
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r"
exit code: 2
error: store monolith: 2 rows of table items have no value in key column code

hint: give these rows a key, then start again
");
}

#[test]
fn unknown_tables_and_columns_are_listed_at_once_with_the_nearest_names() {
    let shop = Shop::of(
        &format!(
            "{ITEMS}; CREATE TABLE orders (id INTEGER PRIMARY KEY, total REAL); \
                 CREATE TABLE payments (id INTEGER PRIMARY KEY)"
        ),
        &format!("{ITEMS}; CREATE TABLE orders (id INTEGER PRIMARY KEY, sum REAL NOT NULL)"),
    );
    shop.configure(&format!(
        "{CONFIG}columns = {{ id = \"id\", name = \"nmae\" }}\n\
         [[migrations.shop.tables]]\nsource = \"order\"\n\
         [[migrations.shop.tables]]\nsource = \"orders\"\n\
         [[migrations.shop.tables]]\nsource = \"payments\"\ntarget = \"item\"\n"
    ));
    insta::assert_snapshot!(checked(&shop).all(), @r#"
exit code: 2
--- stdout
banyan.toml: line 21: migrations.shop.tables[3]: the source table "items" is already in migrations.shop.tables[0]; a transform with split writes several tables from one
--- stderr
error: banyan.toml has a mistake
"#);
    insta::assert_snapshot!(refused_sync(&shop).failure(), @"");
}

#[test]
fn an_unknown_migration_is_answered_with_the_nearest_name() {
    let shop = Shop::new();
    let before = (shop.everything(), names(&shop));
    for arguments in [
        &["sync", "shpo"][..],
        &["copy", "shpo"],
        &["conflict", "list", "shpo"],
        &["migration", "start", "shpo"],
        &["migration", "status", "shpo"],
        &["migration", "pause", "shpo"],
        &["migration", "resume", "shpo"],
        &["migration", "complete", "shpo"],
        &["migration", "abort", "shpo"],
    ] {
        let shown = shop.run(arguments);
        assert_eq!(
            shown.failure(),
            "exit code: 2\nerror: there is no migration \"shpo\" in banyan.toml\n\nhint: did you \
             mean \"shop\"?\n",
            "{arguments:?}"
        );
    }
    assert_eq!((shop.everything(), names(&shop)), before);
}

/// A rule of the configuration that decides the conflicts of `items`.
fn with_rule(shop: &Shop, rule: &str) {
    shop.configure(&format!(
        "{CONFIG}on_conflict = \"judge\"\n[rules.judge]\n{rule}\n"
    ));
}

#[test]
fn a_script_that_does_not_compile_is_shown_with_its_place() {
    let shop = Shop::new();
    std::fs::write(
        shop.path("judge.rhai"),
        "fn resolve(conflict) {\n    let a = ;\n    source\n}\n",
    )
    .unwrap();
    with_rule(&shop, "script = \"judge.rhai\"");
    insta::assert_snapshot!(checked(&shop).all(), @r"
exit code: 2
--- stdout
banyan.toml: rules.judge: rule judge: Unexpected ';'
  --> judge.rhai:2:13
   |
 2 |     let a = ;
   |             ^
note: migrations.shop: while the migration runs, SQLite refuses ALTER TABLE … DROP COLUMN for the columns that are synced: Banyan's triggers name them
  → leave such changes until the migration is completed or aborted; adding columns and tables works
--- stderr
error: banyan.toml: 1 problem found
");
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r"
exit code: 3
error: migrations.shop.tables[0].on_conflict: rules.judge: rule judge: Unexpected ';'
  --> judge.rhai:2:13
   |
 2 |     let a = ;
   |             ^
");
}

#[test]
fn a_script_for_another_question_is_refused() {
    let shop = Shop::new();
    std::fs::write(shop.path("judge.rhai"), "fn validate(row) { }\n").unwrap();
    with_rule(&shop, "script = \"judge.rhai\"");
    insta::assert_snapshot!(checked(&shop).all(), @r"
exit code: 2
--- stdout
banyan.toml: migrations.shop.tables[0].on_conflict: rule judge is used to resolve, but it can validate
  → write fn resolve(…) in it, or name another rule
note: migrations.shop: while the migration runs, SQLite refuses ALTER TABLE … DROP COLUMN for the columns that are synced: Banyan's triggers name them
  → leave such changes until the migration is completed or aborted; adding columns and tables works
--- stderr
error: banyan.toml: 1 problem found
");
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r"
exit code: 2
error: migrations.shop.tables[0].on_conflict: rule judge is used to resolve, but it can validate

hint: write fn resolve(…) in it, or name another rule
");
}

#[test]
fn missing_rule_files_are_named() {
    let shop = Shop::new();
    for (rule, file) in [
        ("script = \"rules/judge.rhai\"", "rules/judge.rhai"),
        ("plugin = \"rules/judge.wasm\"", "rules/judge.wasm"),
    ] {
        with_rule(&shop, rule);
        for shown in [checked(&shop), refused_sync(&shop)] {
            assert_eq!(shown.code, 2, "{shown:?}");
            let told = format!("{}{}", shown.out, shown.errors);
            assert!(told.contains("rules.judge: "), "{told}");
            assert!(told.contains(file), "{told}");
            assert!(told.contains("No such file"), "{told}");
        }
    }
}

#[test]
fn files_that_are_no_rules_are_told_apart() {
    let shop = Shop::new();
    let other = r#"(component
        (component $lifecycle)
        (instance $i (instantiate $lifecycle))
        (export "banyan:rules/lifecycle@9.0.0" (instance $i)))"#;
    for (content, wanted) in [
        (
            other.as_bytes(),
            "is built against banyan:rules@9.0.0; this Banyan expects banyan:rules@0.1.0",
        ),
        (b"(component)", "is no rule: it exports nothing"),
        (b"(component", "is no valid component"),
    ] {
        std::fs::write(shop.path("judge.wat"), content).unwrap();
        with_rule(&shop, "plugin = \"judge.wat\"");
        let shown = checked(&shop);
        assert_eq!(shown.code, 2, "{shown:?}");
        assert!(shown.out.contains("rules.judge: "), "{shown:?}");
        assert!(shown.out.contains(wanted), "{wanted}: {shown:?}");
        assert!(shown.out.contains("\n  → "), "{shown:?}");
        let shown = refused_sync(&shop);
        assert_eq!(shown.code, 3, "{shown:?}");
        assert!(shown.errors.contains(wanted), "{wanted}: {shown:?}");
        assert!(shown.errors.contains("\nhint: "), "{shown:?}");
    }
}

#[test]
fn a_rule_that_is_not_the_pinned_one_is_refused() {
    let shop = Shop::new();
    std::fs::write(shop.path("judge.rhai"), "fn resolve(conflict) { source }\n").unwrap();
    std::fs::write(shop.path("judge.wat"), "(component)").unwrap();
    for rule in ["script = \"judge.rhai\"", "plugin = \"judge.wat\""] {
        with_rule(&shop, &format!("{rule}\nblake3 = \"{}\"", "0".repeat(64)));
        for shown in [checked(&shop), refused_sync(&shop)] {
            let told = format!("{}{}", shown.out, shown.errors);
            assert!(told.contains("rules.judge: "), "{told}");
            assert!(told.contains("digest"), "{told}");
            assert!(told.contains("0000000000"), "{told}");
        }
    }
}

/// A lock that is held for longer than anybody waits.
#[test]
fn a_locked_database_is_given_up_after_a_while() {
    let shop = Shop::new();
    let before = shop.everything();
    let owner = app(&shop.path("target.db"));
    owner
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        .unwrap();
    let check = shop.start(&["check"]);
    let shown = shop.run(&["sync", "shop", "--until-idle"]);
    let checked = Shown::new(&check.wait_with_output().unwrap(), shop.folder());
    drop(owner);
    insta::assert_snapshot!(shown.failure(), @r"
exit code: 3
error: migration shop: store service: cannot open target.db
  caused by: database is locked (SQLite code 5)

hint: another process holds the database locked; let it finish, then try again
");
    insta::assert_snapshot!(checked.all(), @r"
exit code: 3
--- stdout
banyan.toml: stores.service: store service: cannot open target.db: database is locked (SQLite code 5)
  → another process holds the database locked; let it finish, then try again
--- stderr
error: banyan.toml: 1 problem found
");
    assert_eq!(shop.everything(), before);
    assert_eq!(shop.phase(), "planned");
}

/// A lock that is given back is waited for.
#[test]
fn a_database_that_is_locked_for_a_moment_is_waited_for() {
    let shop = Shop::new();
    let owner = app(&shop.path("target.db"));
    owner
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        .unwrap();
    let mut sync = shop.start(&["sync", "shop", "--until-idle"]);
    wait_until("the sync has begun", || {
        shop.path(".banyan/shop.lock").exists()
    });
    assert!(sync.try_wait().unwrap().is_none());
    drop(owner);
    let shown = Shown::new(&sync.wait_with_output().unwrap(), shop.folder());
    assert_eq!(shown.code, 0, "{shown:?}");
    assert_eq!(shop.phase(), "following");
}

/// A store with a limit: files may not grow beyond `kib`.
fn limited(shop: &Shop, kib: usize, arguments: &str) -> Shown {
    let mut command = Command::new("bash");
    shop.prepare(&mut command);
    command.arg("-c").arg(format!(
        "trap '' XFSZ; ulimit -f {kib}; exec '{}' {arguments}",
        env!("CARGO_BIN_EXE_banyan")
    ));
    Shown::new(&command.output().unwrap(), shop.folder())
}

#[test]
fn a_full_disk_at_the_start_leaves_nothing_behind() {
    let shop = Shop::new();
    for name in ["source.db", "target.db"] {
        shop.write(
            name,
            "PRAGMA journal_mode = DELETE; CREATE TABLE filler (b BLOB); \
             INSERT INTO filler VALUES (zeroblob(100000))",
        );
    }
    let before = shop.everything();
    let shown = limited(&shop, 100, "sync shop --until-idle");
    assert_eq!(shown.code, 3, "{shown:?}");
    insta::assert_snapshot!(shown.failure(), @r"
exit code: 3
error: store monolith: cannot commit
  caused by: disk I/O error (SQLite code 778)

hint: the file system refused: check its free space, quotas and limits, then start again: nothing is lost
");
    assert_eq!(shop.everything(), before);
    assert_eq!(shop.phase(), "planned");
}

#[test]
fn a_disk_that_fills_up_in_the_middle_loses_nothing() {
    let shop = Shop::of(ITEMS, ITEMS);
    shop.write("source.db", "PRAGMA journal_mode = DELETE");
    shop.write(
        "source.db",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
         INSERT INTO items SELECT i, 'item number ' || i, i * 0.5 FROM n",
    );
    shop.write(
        "target.db",
        "PRAGMA journal_mode = DELETE; CREATE TABLE filler (b BLOB); \
         INSERT INTO filler VALUES (zeroblob(1000000))",
    );
    let shown = limited(&shop, 1400, "sync shop --until-idle");
    assert_eq!(shown.code, 3, "{shown:?}");
    assert!(shown.errors.contains("store service: "), "{shown:?}");
    assert!(shown.errors.contains("nothing is lost"), "{shown:?}");
    let status = shop.json(&["migration", "status", "shop"]);
    assert_eq!(status["phase"], "failed");
    assert!(
        status["reason"].as_str().unwrap().contains("store service"),
        "{status}"
    );
    shop.write(
        "source.db",
        "UPDATE items SET name = 'meanwhile' WHERE id = 19999",
    );
    let report = shop.json(&["sync", "shop", "--until-idle"]);
    assert_eq!(report["tables"][0]["parked"], 0, "{report}");
    let rows = |name| crate::support::dump(&shop.path(name), "SELECT * FROM items ORDER BY id");
    assert_eq!(rows("source.db"), rows("target.db"));
    assert_eq!(rows("target.db").len(), 20000);
}

#[test]
fn a_state_that_is_no_database_is_refused() {
    let shop = Shop::new();
    std::fs::create_dir(shop.path(".banyan")).unwrap();
    std::fs::write(shop.path(".banyan/state.db"), "this is no database at all").unwrap();
    let before = shop.everything();
    let shown = shop.run(&["sync", "shop"]);
    assert_eq!(shop.everything(), before);
    insta::assert_snapshot!(shown.failure(), @r"
exit code: 3
error: state: open
  caused by: error returned from database: (code: 26) file is not a database
  caused by: (code: 26) file is not a database

hint: check that the file named by [state] url can be written
");
    insta::assert_snapshot!(shop.run(&["check"]).all(), @r"
exit code: 3
--- stdout
banyan.toml: migrations.shop: state: open: error returned from database: (code: 26) file is not a database: (code: 26) file is not a database
  → check that the file named by [state] url can be written
--- stderr
error: banyan.toml: 1 problem found
");
}

#[test]
fn a_state_in_a_database_of_something_else_is_refused() {
    let shop = Shop::new();
    shop.configure(&format!("[state]\nurl = \"sqlite:other.db\"\n{CONFIG}"));
    shop.write("other.db", "CREATE TABLE users (id INTEGER PRIMARY KEY)");
    let before = content(&shop.path("other.db"));
    for shown in [shop.run(&["sync", "shop"]), shop.run(&["check"])] {
        assert_eq!(shown.code, 2, "{shown:?}");
        let told = format!("{}{}", shown.out, shown.errors);
        assert!(
            told.contains("other.db is a database of something else"),
            "{told}"
        );
    }
    assert_eq!(content(&shop.path("other.db")), before);
}

#[test]
fn a_state_that_cannot_be_made_is_refused() {
    let shop = Shop::new();
    shop.configure(&format!(
        "[state]\nurl = \"sqlite:target.db/state.db\"\n{CONFIG}"
    ));
    let before = shop.everything();
    let shown = shop.run(&["sync", "shop"]);
    assert_eq!(shop.everything(), before);
    insta::assert_snapshot!(shown.failure(), @r"
exit code: 3
error: cannot make the state's folder target.db
  caused by: File exists (os error 17)
");
    insta::assert_snapshot!(checked(&shop).all(), @r"
exit code: 2
--- stdout
banyan.toml: state.url: target.db is a file, not a folder, so the state cannot be kept there
  → correct [state] url, or leave [state] out
note: migrations.shop: while the migration runs, SQLite refuses ALTER TABLE … DROP COLUMN for the columns that are synced: Banyan's triggers name them
  → leave such changes until the migration is completed or aborted; adding columns and tables works
--- stderr
error: banyan.toml: 1 problem found
");
}

#[test]
fn what_is_paused_or_ended_does_not_start() {
    let shop = Shop::new();
    shop.json(&["sync", "shop", "--until-idle"]);
    shop.json(&["migration", "pause", "shop", "--reason", "stock-taking"]);
    let before = shop.everything();
    insta::assert_snapshot!(shop.run(&["sync", "shop"]).failure(), @r"
exit code: 1
error: migration shop is paused: stock-taking

hint: banyan migration resume shop
");
    assert_eq!(shop.everything(), before);
    shop.json(&["migration", "resume", "shop"]);
    shop.json(&["migration", "complete", "shop"]);
    let before = shop.everything();
    insta::assert_snapshot!(shop.run(&["sync", "shop"]).failure(), @r"
exit code: 1
error: migration shop: cannot start while completed: it is completed; give a new migration another name
");
    insta::assert_snapshot!(shop.run(&["copy", "shop"]).failure(), @r"
exit code: 1
error: migration shop: cannot start while completed: it is completed; give a new migration another name
");
    insta::assert_snapshot!(shop.run(&["migration", "abort", "shop"]).failure(), @r"
exit code: 1
error: migration shop: cannot abort while completed: it is completed; nothing is left to abort
");
    insta::assert_snapshot!(shop.run(&["migration", "pause", "shop"]).failure(), @r"
exit code: 1
error: migration shop is completed, so it cannot be paused
");
    assert_eq!(shop.everything(), before);
    assert_eq!(shop.phase(), "completed");
}

#[test]
fn what_has_not_begun_cannot_be_paused_or_completed() {
    let shop = Shop::new();
    let before = shop.everything();
    insta::assert_snapshot!(shop.run(&["migration", "pause", "shop"]).failure(), @r"
exit code: 1
error: migration shop is planned, so it cannot be paused
");
    insta::assert_snapshot!(shop.run(&["migration", "complete", "shop"]).failure(), @r"
exit code: 1
error: migration shop: cannot complete while planned: it is not running; start it
");
    insta::assert_snapshot!(shop.run(&["conflict", "show", "t1"]).failure(), @r"
exit code: 2
error: migration shop has no conflict t1

hint: banyan conflict list shop shows them
");
    insta::assert_snapshot!(
        shop.run(&["conflict", "resolve", "t1", "--take", "source"]).failure(), @r"
exit code: 2
error: migration shop has no conflict t1

hint: banyan conflict list shop shows them
");
    assert_eq!(shop.everything(), before);
    assert_eq!(shop.phase(), "planned");
}

//! Stores that cannot be worked with.

use std::process::Command;

use crate::support::app;
use crate::support::program::{CONFIG, ITEMS, Shop, Shown, wait_until};

use super::{checked, refused_sync};

#[test]
fn a_missing_database_is_named_and_not_made() {
    let shop = Shop::new();
    std::fs::remove_file(shop.path("target.db")).unwrap();
    insta::assert_snapshot!(checked(&shop).all(), @r"
exit code: 3
--- stdout
banyan.toml: stores.service: there is no database file target.db
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
banyan.toml: stores.service: cannot open target.db: file is not a database (SQLite code 26)
  → the file is something else; correct the path
--- stderr
error: banyan.toml: 1 problem found
");
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r"
exit code: 3
error: migration shop: store service: cannot open target.db
  caused by: file is not a database (SQLite code 26)

hint: the file is something else; correct the path
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
banyan.toml: migrations.shop.tables[0]: store service: there is no table items
  → the database has no tables at all; is target.db the right file?
  → banyan copy and banyan sync create such tables with --create-tables
note: stores.service: its journal_mode is delete: readers and writers block each other, your application's and Banyan's
  → run PRAGMA journal_mode = WAL once in this database; it stays
--- stderr
error: banyan.toml: 1 problem found
");
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r"
exit code: 2
error: migration shop: store service: there is no table items

hint: the database has no tables at all; is target.db the right file?
hint: banyan copy and banyan sync create such tables with --create-tables
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
banyan.toml: stores.service: target.db is a folder, not a database file
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
banyan.toml: migrations.shop: its source and its target are the same database, file source.db
  → give the service a database of its own
--- stderr
error: banyan.toml: 1 problem found
");
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r"
exit code: 2
error: migration shop: its source and its target are the same database, file source.db

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
                "target.db cannot be written",
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
banyan.toml: stores.service: cannot open target.db: database is locked (SQLite code 5)
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
    // Under --coverage the profile would hit the limit, too.
    command.env("LLVM_PROFILE_FILE", "/dev/null");
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
             INSERT INTO filler VALUES (zeroblob(2000000))",
        );
    }
    let before = shop.everything();
    let shown = limited(&shop, 1900, "sync shop --until-idle");
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

/// A migration that ran before does not wait for what never comes.
#[test]
fn what_does_not_mend_itself_is_not_tried_again() {
    type Break = fn(&Shop);
    let break_it: [(&str, Break); 4] = [
        ("is a folder, not a database file", |shop| {
            std::fs::remove_file(shop.path("target.db")).unwrap();
            std::fs::create_dir(shop.path("target.db")).unwrap();
        }),
        ("there is no database file target.db", |shop| {
            std::fs::remove_file(shop.path("target.db")).unwrap();
        }),
        ("file is not a database", |shop| {
            std::fs::write(shop.path("target.db"), "id,name\n1,one\n").unwrap();
        }),
        ("database disk image is malformed", |shop| {
            let mut bytes = std::fs::read(shop.path("target.db")).unwrap();
            bytes[100..].fill(0x5a);
            std::fs::write(shop.path("target.db"), bytes).unwrap();
        }),
    ];
    for (what, break_it) in break_it {
        let shop = Shop::new();
        shop.json(&["sync", "shop", "--until-idle"]);
        shop.write("target.db", "PRAGMA wal_checkpoint(TRUNCATE)");
        break_it(&shop);
        let shown = shop.run(&["sync", "shop", "--until-idle"]);
        assert_eq!(shown.code, 3, "{shown:?}");
        assert!(shown.errors.contains(what), "{shown:?}");
        assert!(!shown.errors.contains("trying again"), "{shown:?}");
    }
}

/// UTF-16 has another order of texts, and copying goes on behind the last key.
#[test]
fn a_utf_16_database_is_refused_where_its_key_can_hold_texts() {
    let schema = |key: &str| {
        format!(
            "PRAGMA encoding = 'UTF-16'; CREATE TABLE items (id {key}, name TEXT NOT NULL, price REAL)"
        )
    };
    for key in ["TEXT PRIMARY KEY", "INTEGER NOT NULL UNIQUE"] {
        let shop = Shop::of(ITEMS, ITEMS);
        std::fs::remove_file(shop.path("source.db")).unwrap();
        shop.write("source.db", &schema(key));
        let checked = checked(&shop);
        assert_eq!(checked.code, 2, "{checked:?}");
        for part in [
            "source.db keeps its texts in UTF-16le",
            "key of table items (id)",
            ".dump",
        ] {
            assert!(checked.out.contains(part), "{checked:?}");
        }
        assert_eq!(refused_sync(&shop).code, 2);
        assert_eq!(shop.run(&["verify", "shop"]).code, 2);
    }
    let shop = Shop::of(ITEMS, ITEMS);
    std::fs::remove_file(shop.path("source.db")).unwrap();
    shop.write("source.db", &schema("INTEGER PRIMARY KEY"));
    shop.write(
        "source.db",
        "INSERT INTO items VALUES (1, 'é', 1), (2, 'b', 1), (3, 'Ā', 1), (4, 'c😀', 1)",
    );
    shop.configure(&CONFIG.replace(
        "source = \"items\"",
        "source = \"items\"\nwhere = \"name <> 'b'\"",
    ));
    assert_eq!(shop.run(&["check"]).code, 0);
    shop.json(&["sync", "shop", "--until-idle"]);
    for level in ["count", "hash", "full"] {
        let report = shop.json(&["verify", "shop", "--level", level, "--recheck-tries", "0"]);
        assert_eq!(report["tables"][0]["rows_target"], 3, "{report}");
    }
    // The order of UTF-8, whatever the store's own is.
    let sql = "SELECT id FROM monolith.items WHERE name > 'b' ORDER BY name";
    let found = shop.json(&["query", sql]);
    assert_eq!(found.to_string(), r#"[{"id":4},{"id":1},{"id":3}]"#);
}

#[test]
fn check_finds_out_that_the_state_cannot_be_written() {
    let shop = Shop::new();
    let before = shop.everything();
    let shown = limited(&shop, 64, "check");
    insta::assert_snapshot!(shown.all(), @r"
exit code: 3
--- stdout
banyan.toml: state.url: . cannot be written, so the state cannot be kept there: File too large (os error 27)
  → raise the limit of file sizes
--- stderr
error: banyan.toml: 1 problem found
");
    assert_eq!(limited(&shop, 1024, "check").code, 0);
    assert_eq!(shop.everything(), before);
    let mut left: Vec<String> = std::fs::read_dir(shop.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm"))
        .collect();
    left.sort();
    assert_eq!(left, ["banyan.toml", "source.db", "target.db"]);
}

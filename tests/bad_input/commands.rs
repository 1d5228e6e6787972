//! Commands at the wrong place or time, and a state that cannot be kept.

use crate::support::program::{CONFIG, Shop, content};

use super::{checked, names};

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
error: state: cannot open it (.banyan/state.db)
  caused by: (code: 26) file is not a database

hint: check that the file named by [state] url is Banyan's, and can be written
");
    insta::assert_snapshot!(shop.run(&["check"]).all(), @r"
exit code: 2
--- stdout
banyan.toml: state.url: .banyan/state.db is no database, so the state cannot be kept there
  → correct [state] url, or leave [state] out
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

hint: [state] url says where it is
");
    insta::assert_snapshot!(checked(&shop).all(), @r"
exit code: 2
--- stdout
banyan.toml: state.url: target.db is a file, not a folder, so the state cannot be kept there
  → correct [state] url, or leave [state] out
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

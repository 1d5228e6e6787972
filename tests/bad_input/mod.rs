//! Bad input: each kind is refused with an error that says what, where and what to do, and nothing
//! is left half-created: both databases stay as they were, and no state says that anything runs.

mod commands;
mod rules;
mod stores;
mod tables;

use crate::support::program::{Shop, Shown};

/// Runs `sync`, and demands that it changed nothing.
pub(super) fn refused_sync(shop: &Shop) -> Shown {
    let before = shop.everything();
    let shown = shop.run(&["sync", "shop", "--until-idle"]);
    assert_eq!(shop.everything(), before);
    assert_eq!(shop.phase(), "planned");
    assert_eq!(shown.out, "");
    shown
}

/// Runs `check`, and demands that it changed nothing and made nothing.
pub(super) fn checked(shop: &Shop) -> Shown {
    let (content, names) = (shop.everything(), names(shop));
    let shown = shop.run(&["check"]);
    assert_eq!(shop.everything(), content);
    assert_eq!(self::names(shop), names);
    shown
}

pub(super) fn names(shop: &Shop) -> Vec<String> {
    let entries = std::fs::read_dir(shop.folder()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

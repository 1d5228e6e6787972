//! The folder that the demo makes: `examples/shop`, plugins included, with databases.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

macro_rules! shop {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_bytes!(concat!("../../../examples/shop/", $path)).as_slice())),*]
    };
}

const SHOP: [(&str, &[u8]); 12] = shop![
    "README.md",
    "banyan.toml",
    "schema/shop.sql",
    "schema/orders.sql",
    "rules/clients.rhai",
    "rules/products.rhai",
    "rules/payment_state.rhai",
    "rules/review_check.rhai",
    "rules/clients.cases.toml",
    "rules/products.cases.toml",
    "rules/payment_state.cases.toml",
    "rules/review_check.cases.toml",
];

const PLUGINS: [(&str, &[u8]); 2] = [
    (
        "plugins/vip_merge.wasm",
        include_bytes!("../../../plugins/vip_merge.wasm"),
    ),
    (
        "plugins/reshape_orders.wasm",
        include_bytes!("../../../plugins/reshape_orders.wasm"),
    ),
];

/// Says that the folder is a demo's, and may be replaced.
const MARK: (&str, &[u8]) = (
    ".banyan-demo",
    b"Made by `banyan demo`. The next one in this folder replaces what this one wrote.\n",
);

/// What a demo leaves behind, beside the files above.
const MADE: [&str; 7] = [
    "shop.db",
    "shop.db-wal",
    "shop.db-shm",
    "orders.db",
    "orders.db-wal",
    "orders.db-shm",
    "sync.log",
];

/// Where things lie.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) config: PathBuf,
    pub(super) shop: PathBuf,
    pub(super) orders: PathBuf,
    pub(super) log: PathBuf,
}

impl Folder {
    /// Makes the folder, or takes one over that an earlier demo made (unless `keep`).
    ///
    /// # Errors
    /// `Refused`, with nothing changed, when there is something else in it, or an earlier demo that
    /// is to be kept.
    pub(super) fn make(path: &Path, keep: bool) -> Result<Self> {
        let io = |what: &str, cause| {
            Error::new(ErrorKind::Io, format!("cannot {what} {}", path.display())).caused_by(cause)
        };
        let refused = |what: &str| {
            Error::new(ErrorKind::Refused, format!("{} {what}", path.display()))
                .hint("take another folder: banyan demo --dir DIR")
        };
        if path.join(MARK.0).exists() {
            if keep {
                return Err(refused("holds an earlier demo, which is to be kept"));
            }
            for made in MADE {
                remove(&path.join(made)).map_err(|e| io("empty", e))?;
            }
            match std::fs::remove_dir_all(path.join(".banyan")) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io("empty", e)),
                _ => {}
            }
        } else {
            match std::fs::read_dir(path).map(Iterator::count) {
                Ok(1..) => {
                    return Err(refused("is not empty, and no demo made it"));
                }
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(io("read", e)),
            }
        }
        for (name, bytes) in [MARK].iter().chain(&SHOP).chain(&PLUGINS) {
            let file = path.join(name);
            file.parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::fs::write(&file, bytes))
                .map_err(|e| io("write to", e))?;
        }
        Ok(Self {
            path: path.to_owned(),
            config: path.join("banyan.toml"),
            shop: path.join("shop.db"),
            orders: path.join("orders.db"),
            log: path.join("sync.log"),
        })
    }
}

fn remove(file: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_demos_folder_is_taken_over() {
        let home = tempfile::tempdir().unwrap();
        let made = Folder::make(&home.path().join("new"), false).unwrap();
        std::fs::write(&made.shop, "old").unwrap();
        std::fs::write(made.path.join("mine.txt"), "mine").unwrap();

        let error = Folder::make(&made.path, true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(made.shop.exists());

        Folder::make(&made.path, false).unwrap();
        assert!(!made.shop.exists());
        assert_eq!(
            std::fs::read_to_string(made.path.join("mine.txt")).unwrap(),
            "mine"
        );

        let error = Folder::make(home.path(), false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    }
}

//! Begins a rule: a crate that builds, passes its tests and can be used at once.
//!
//! The SDK is written beside it, so that nothing of this repository is needed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

use super::Role;

macro_rules! sdk {
    ($file:literal) => {
        ($file, include_str!(concat!("../../plugins/sdk/", $file)))
    };
}
macro_rules! wit {
    ($file:literal) => {
        (
            concat!("wit/", $file),
            include_str!(concat!("../../wit/0.1.0/", $file)),
        )
    };
}

/// The SDK and the interface as this Banyan was built with them.
const SDK: &[(&str, &str)] = &[
    sdk!("Cargo.toml"),
    sdk!("src/alloc.rs"),
    sdk!("src/bindings.rs"),
    sdk!("src/export.rs"),
    sdk!("src/failure.rs"),
    sdk!("src/json.rs"),
    sdk!("src/lib.rs"),
    sdk!("src/log.rs"),
    sdk!("src/out.rs"),
    sdk!("src/resolver.rs"),
    sdk!("src/router.rs"),
    sdk!("src/rows.rs"),
    sdk!("src/rule.rs"),
    sdk!("src/settings.rs"),
    sdk!("src/table.rs"),
    sdk!("src/testing.rs"),
    sdk!("src/transformer.rs"),
    sdk!("src/validator.rs"),
    sdk!("src/value.rs"),
    wit!("host.wit"),
    wit!("lifecycle.wit"),
    wit!("resolver.wit"),
    wit!("router.wit"),
    wit!("transformer.wit"),
    wit!("types.wit"),
    wit!("validator.wit"),
    wit!("worlds.wit"),
];

/// The crate's `Cargo.toml`.
const MANIFEST: &str = include_str!("templates/Cargo.toml.txt");

/// A rule that does something small and useful, with its tests and cases.
struct Template {
    summary: &'static str,
    source: &'static str,
    cases: &'static str,
}

fn template(role: Role) -> Template {
    match role {
        Role::Resolver => Template {
            summary: "The side that was committed later wins",
            source: include_str!("templates/resolver.rs.txt"),
            cases: include_str!("templates/resolver.cases.toml"),
        },
        Role::Transformer => Template {
            summary: "Renames columns, both ways",
            source: include_str!("templates/transformer.rs.txt"),
            cases: include_str!("templates/transformer.cases.toml"),
        },
        Role::Validator => Template {
            summary: "Refuses rows in which a required column is blank",
            source: include_str!("templates/validator.rs.txt"),
            cases: include_str!("templates/validator.cases.toml"),
        },
        Role::Router => Template {
            summary: "Sends requests with a header to the service",
            source: include_str!("templates/router.rs.txt"),
            cases: include_str!("templates/router.cases.toml"),
        },
    }
}

/// Writes a new rule into `parent/name` and answers that folder.
///
/// Fails with [`ErrorKind::Usage`] on a name that cannot be a crate's, and with
/// [`ErrorKind::Refused`] when the folder is there already; then nothing is written.
pub fn create(parent: &Path, name: &str, role: Role) -> Result<PathBuf> {
    check_name(name)?;
    let folder = parent.join(name);
    if folder.exists() {
        return Err(Error::new(
            ErrorKind::Refused,
            format!("{} is there already", folder.display()),
        )
        .hint("choose another name or another --dir"));
    }
    let io = |e: std::io::Error| {
        Error::new(
            ErrorKind::Io,
            format!("cannot write the new rule into {}", parent.display()),
        )
        .caused_by(e)
    };
    fs::create_dir_all(parent).map_err(io)?;
    // Written beside and moved into place: there is a whole rule or none.
    let draft = tempfile::Builder::new()
        .prefix(".banyan-")
        .tempdir_in(parent)
        .map_err(io)?;
    let write = |path: PathBuf, text: &str| -> Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io)?;
        }
        fs::write(path, text).map_err(io)
    };
    let template = template(role);
    let manifest = MANIFEST
        .replace("{{name}}", name)
        .replace("{{summary}}", template.summary);
    let root = draft.path();
    write(root.join("Cargo.toml"), &manifest)?;
    write(root.join(".gitignore"), "/target\n")?;
    write(
        root.join("src/lib.rs"),
        &template.source.replace("{{type}}", &type_name(name)),
    )?;
    let library = name.replace('-', "_");
    write(root.join(format!("{library}.cases.toml")), template.cases)?;
    for (path, text) in SDK {
        write(root.join("sdk").join(path), text)?;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).map_err(io)?;
    }
    fs::rename(draft.keep(), &folder).map_err(io)?;
    Ok(folder)
}

fn check_name(name: &str) -> Result<()> {
    /// Words that cargo or Rust has a use for.
    const TAKEN: [&str; 12] = [
        "test",
        "core",
        "std",
        "alloc",
        "self",
        "super",
        "crate",
        "fn",
        "mod",
        "use",
        "sdk",
        "banyan-rule",
    ];
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 64
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-');
    if fits && !TAKEN.contains(&name) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Usage,
        format!("{name:?} cannot be the name of a rule"),
    )
    .hint("take a lower-case word, with digits, _ and - inside, that means nothing to Rust"))
}

/// `vip_merge` as `VipMerge`.
fn type_name(name: &str) -> String {
    name.split(['_', '-'])
        .filter_map(|part| {
            let mut characters = part.chars();
            let first = characters.next()?;
            Some(first.to_ascii_uppercase().to_string() + characters.as_str())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::{SDK, create, type_name};
    use crate::error::ErrorKind;
    use crate::plugin::Role;

    #[test]
    fn the_sdk_is_written_whole() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let names = |folder: &str, below: &str| -> BTreeSet<String> {
            fs::read_dir(root.join(folder))
                .unwrap()
                .map(|e| format!("{below}{}", e.unwrap().file_name().to_str().unwrap()))
                .collect()
        };
        let mut expected = names("plugins/sdk/src", "src/");
        expected.extend(names("wit/0.1.0", "wit/"));
        expected.insert("Cargo.toml".to_owned());
        let written: BTreeSet<String> = SDK.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(written, expected);
    }

    #[test]
    fn a_rule_is_written_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        for role in Role::ALL {
            let name = format!("my-{role}");
            let folder = create(dir.path(), &name, role).unwrap();
            let source = fs::read_to_string(folder.join("src/lib.rs")).unwrap();
            assert!(!source.contains("{{"), "{source}");
            assert!(source.contains(&format!("export_{role}!({})", type_name(&name))));
            assert!(folder.join(format!("my_{role}.cases.toml")).is_file());
            assert!(folder.join("sdk/wit/types.wit").is_file());
        }
        let again = create(dir.path(), "my-router", Role::Router).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Refused);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
    }

    #[test]
    fn names_that_cargo_would_refuse_are_refused_first() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "",
            "Vip",
            "1st",
            "a b",
            "../x",
            "test",
            "é",
            &"x".repeat(65),
        ] {
            let error = create(dir.path(), name, Role::Resolver).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{name}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn types_are_named_after_the_rule() {
        assert_eq!(type_name("vip_merge-2"), "VipMerge2");
    }
}

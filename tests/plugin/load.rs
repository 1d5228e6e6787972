//! What is loaded, and what is refused with which words.

use std::fs;
use std::path::{Path, PathBuf};

use banyan::error::{Error, ErrorKind};
use banyan::plugin::{HostOptions, PluginHost, PluginSpec, Role};
use banyan::rule::{Resolve, Verdict};
use serde_json::json;

use super::support::{HOST, conflicts, people, root, spec};

/// A component of the first published interface, never to be built again.
fn newest() -> PathBuf {
    root().join("tests/guests/newest-0.1.0.wasm")
}

fn refused(spec: PluginSpec) -> Error {
    match HOST.load(spec) {
        Ok(plugin) => panic!("{} was loaded", plugin.path().display()),
        Err(error) => error,
    }
}

fn refused_bytes(name: &str, bytes: &[u8]) -> Error {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    refused(spec("odd", path))
}

#[test]
fn a_component_of_the_first_interface_loads_and_decides() {
    let plugin = HOST.load(spec("newest", newest())).unwrap();
    assert_eq!(plugin.roles(), vec![Role::Resolver]);
    assert_eq!(plugin.component_name(), "newest");
    assert_eq!(plugin.info().name, "newest");
    assert_eq!(plugin.info().version, "0.1.0");
    let verdicts = plugin.resolve(&people(), &conflicts(3)).unwrap();
    assert_eq!(verdicts, vec![Verdict::Target; 3]);
}

#[test]
fn rust_components_import_the_log_and_nothing_else() {
    for file in [
        "plugins/vip_merge.wasm",
        "plugins/reshape_orders.wasm",
        "tests/guests/newest-0.1.0.wasm",
    ] {
        let plugin = HOST.load(spec("sample", root().join(file))).unwrap();
        assert_eq!(
            plugin.imports(),
            vec!["banyan:rules/host@0.1.0 (log)"],
            "{file}"
        );
    }
}

#[test]
fn a_pin_lets_only_the_file_with_that_digest_in() {
    let digest = blake3::hash(&fs::read(newest()).unwrap())
        .to_hex()
        .to_string();
    let pinned = |pin: &str| PluginSpec {
        blake3: Some(pin.to_owned()),
        ..spec("newest", newest())
    };
    HOST.load(pinned(&digest.to_uppercase())).unwrap();
    let other = "00".repeat(32);
    let error = refused(pinned(&other));
    assert_eq!(error.kind(), ErrorKind::Rule);
    assert!(error.message().contains(&digest) && error.message().contains(&other));
}

#[test]
fn a_missing_file_says_what_to_do() {
    let error = refused(spec("gone", "plugins/gone.wasm"));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error
            .message()
            .starts_with("rule gone: cannot read plugin plugins/gone.wasm")
    );
    assert!(error.hints()[0].contains("banyan plugin build"));
    let error = refused(spec("folder", root().join("plugins")));
    assert!(error.message().contains("is not a file"));
}

#[test]
fn what_is_no_component_is_named_for_what_it_is() {
    let message = |name: &str, bytes: &[u8]| refused_bytes(name, bytes).to_string();
    assert!(message("a.wasm", b"").contains("it is empty"));
    assert!(message("a.wasm", b"#!/bin/sh\n").contains(r##"it begins with "#!/bin/sh\n""##));
    let core = message("a.wasm", b"\0asm\x01\0\0\0");
    assert!(
        core.contains("a core WebAssembly module, not a component"),
        "{core}"
    );
    assert!(message("a.wasm", b"\0asm\x07\0\0\0").contains("unknown WebAssembly format"));
    let mut torn = fs::read(newest()).unwrap();
    torn.truncate(torn.len() / 2);
    let torn = message("a.wasm", &torn);
    assert!(torn.contains("is no valid component"), "{torn}");
}

#[test]
fn every_byte_flipped_is_an_error_or_a_component_but_never_a_crash() {
    let good = fs::read(newest()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flipped.wasm");
    for step in 0..24 {
        let mut bytes = good.clone();
        let at = 8 + step * (bytes.len() - 9) / 24;
        bytes[at] ^= 0x55;
        fs::write(&path, &bytes).unwrap();
        if let Err(error) = HOST.load(spec("flipped", &path)) {
            assert_eq!(error.kind(), ErrorKind::Rule, "byte {at}: {error}");
        }
    }
}

#[test]
fn all_imports_that_are_not_granted_are_listed() {
    let text = br#"(component
        (import "wasi:sockets/tcp@0.2.0" (instance
            (export "start-connect" (func))
            (export "listen" (func))))
        (import "wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func (result u64)))))
        (import "banyan:rules/host@0.1.0" (instance (export "shell" (func)))))"#;
    let error = refused_bytes("greedy.wat", text);
    let message = error.message();
    for part in [
        "wasi:sockets/tcp@0.2.0 (start-connect, listen)",
        "wasi:clocks/wall-clock@0.2.0 (now)",
        "banyan:rules/host@0.1.0 (shell)",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(error.hints()[0].contains("banyan:rules/host@0.1.0 (log)"));
}

#[test]
fn another_interface_names_the_version_found_and_the_one_expected() {
    let text = br#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $l (export "describe" (func $f)))
        (export "banyan:rules/lifecycle@0.9.0" (instance $l)))"#;
    let message = refused_bytes("old.wat", text).to_string();
    assert!(
        message.contains("built against banyan:rules@0.9.0")
            && message.contains("expects banyan:rules@0.1.0"),
        "{message}"
    );
    let message = refused_bytes("none.wat", b"(component)").to_string();
    assert!(
        message.contains("is no rule: it exports nothing"),
        "{message}"
    );
}

#[test]
fn functions_with_other_types_are_refused_by_name() {
    let text = br#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $l (export "describe" (func $f)) (export "open" (func $f)))
        (instance $r (export "resolve" (func $f)))
        (export "banyan:rules/lifecycle@0.1.0" (instance $l))
        (export "banyan:rules/resolver@0.1.0" (instance $r)))"#;
    let message = refused_bytes("types.wat", text).to_string();
    assert!(
        message.contains("lifecycle.describe has other types"),
        "{message}"
    );
}

#[test]
fn settings_are_checked_when_it_is_loaded() {
    let with = |settings: serde_json::Value| PluginSpec {
        settings,
        ..spec("vip_merge", root().join("plugins/vip_merge.wasm"))
    };
    HOST.load(with(json!({"floor": "gold"}))).unwrap();
    let message = refused(with(json!({"flor": "gold"}))).to_string();
    assert!(message.contains("unknown setting \"flor\""), "{message}");
    let message = refused(with(json!({"floor": "diamond"}))).to_string();
    assert!(
        message.contains("the tiers are bronze, silver, gold, platinum"),
        "{message}"
    );
    assert_eq!(refused(with(json!([1]))).kind(), ErrorKind::Config);
}

#[test]
fn settings_are_checked_against_tables_before_anything_runs() {
    let plugin = HOST
        .load(PluginSpec {
            settings: json!({"latest": ["seen"]}),
            ..spec("vip_merge", root().join("plugins/vip_merge.wasm"))
        })
        .unwrap();
    let error = plugin.check_tables(&[&people()]).unwrap_err();
    assert_eq!(error.function, "open");
    assert_eq!(
        error.message,
        "table people has no column \"seen\"; it has id, name, points"
    );
}

/// The hostile guest with another `describe`: see `DESCRIBE` in its source.
fn describing(how: &str) -> (tempfile::TempDir, PathBuf) {
    let mut bytes = fs::read(root().join("tests/guests/hostile.wasm")).unwrap();
    let marker = b"HOSTILE-DESCRIBE:";
    let at = bytes
        .windows(marker.len())
        .position(|w| w == marker)
        .unwrap();
    bytes[at + marker.len()..at + marker.len() + 4].copy_from_slice(how.as_bytes());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostile.wasm");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

#[test]
fn a_component_that_fails_while_it_is_loaded_is_refused() {
    let failed = |path: &Path, what: &str| {
        refused(PluginSpec {
            settings: json!({"what": what}),
            ..spec("hostile", path)
        })
        .to_string()
    };
    let (_dir, path) = describing("spin");
    let message = failed(&path, "none");
    assert!(
        message.contains("failed in describe: out-of-fuel"),
        "{message}"
    );
    let (_dir, path) = describing("trap");
    let message = failed(&path, "none");
    assert!(message.contains("failed in describe: trapped"), "{message}");
    let good = root().join("tests/guests/hostile.wasm");
    for (what, how) in [
        ("load-spin", "out-of-fuel"),
        ("load-panic", "index out of bounds"),
        ("load-fatal", "the settings are wrong"),
    ] {
        let message = failed(&good, what);
        assert!(
            message.contains("failed in open") && message.contains(how),
            "{message}"
        );
    }
}

#[test]
fn a_component_cannot_flood_with_its_own_name() {
    let (_dir, path) = describing("huge");
    let plugin = HOST.load(spec("hostile", path)).unwrap();
    assert_eq!(plugin.component_name().len(), 200);
    assert_eq!(plugin.info().version.len(), 200);
}

#[test]
fn compiled_code_is_cached_where_only_its_owner_looks() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let load = || {
        let host = PluginHost::new(HostOptions {
            cache_dir: Some(cache.clone()),
        })
        .unwrap();
        let plugin = host.load(spec("newest", newest())).unwrap();
        assert_eq!(plugin.resolve(&people(), &conflicts(2)).unwrap().len(), 2);
    };
    let files = || -> Vec<PathBuf> {
        fs::read_dir(&cache)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect()
    };
    load();
    let cached = files();
    assert_eq!(cached.len(), 1);
    let mode = fs::metadata(&cache).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    // Taken from the cache: nothing new is written.
    let written = fs::metadata(&cached[0]).unwrap().modified().unwrap();
    load();
    assert_eq!(
        fs::metadata(&cached[0]).unwrap().modified().unwrap(),
        written
    );
    // A torn file is noticed, and made anew.
    let good = fs::read(&cached[0]).unwrap();
    fs::write(&cached[0], &good[..good.len() / 2]).unwrap();
    load();
    assert_eq!(fs::read(&cached[0]).unwrap().len(), good.len());
    // A folder that others can write is not used.
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    fs::remove_file(&cached[0]).unwrap();
    load();
    assert_eq!(files().len(), 0);
}

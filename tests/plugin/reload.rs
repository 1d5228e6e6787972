//! A changed file is taken over between batches, or refused while the old one goes on.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use banyan::plugin::{Plugin, PluginSpec, Reload};
use banyan::rule::{Resolve, Verdict};
use serde_json::json;

use super::support::{HOST, conflicts, people, root, spec};

struct Fixture {
    _dir: tempfile::TempDir,
    path: PathBuf,
    /// A file of another size each time: its stamp differs even within the clock's resolution.
    plugin: Arc<Plugin>,
}

fn guest(name: &str) -> Vec<u8> {
    fs::read(root().join("tests/guests").join(name)).unwrap()
}

/// Loaded from a copy of the newest-wins component.
fn fixture(pin: Option<String>) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rule.wasm");
    fs::write(&path, guest("newest-0.1.0.wasm")).unwrap();
    let plugin = HOST
        .load(PluginSpec {
            blake3: pin,
            ..spec("changing", &path)
        })
        .unwrap();
    Fixture {
        _dir: dir,
        path,
        plugin,
    }
}

impl Fixture {
    /// Replaced in one step, as a build does it.
    fn replace(&self, bytes: &[u8]) {
        let beside = self.path.with_extension("new");
        fs::write(&beside, bytes).unwrap();
        fs::rename(beside, &self.path).unwrap();
    }

    fn verdict(&self) -> Verdict {
        self.plugin
            .resolve(&people(), &conflicts(1))
            .unwrap()
            .remove(0)
    }
}

#[test]
fn a_changed_file_runs_from_the_next_batch_on() {
    let fixture = fixture(None);
    assert_eq!(fixture.verdict(), Verdict::Target);
    assert_eq!(fixture.plugin.reload_if_changed(), Reload::Unchanged);
    let before = fixture.plugin.digest();
    fixture.replace(&guest("hostile.wasm"));
    assert_eq!(
        fixture.verdict(),
        Verdict::Target,
        "not before it is asked to"
    );
    match fixture.plugin.reload_if_changed() {
        Reload::Swapped { from, to } => {
            assert_eq!(from, before);
            assert_eq!(to, fixture.plugin.digest());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.verdict(), Verdict::Source);
    assert_eq!(fixture.plugin.stats().reloads, 1);
}

#[test]
fn a_bad_file_is_refused_and_the_old_one_goes_on() {
    let fixture = fixture(None);
    fixture.verdict();
    for (bytes, why) in [
        (b"half a file".to_vec(), "is not WebAssembly"),
        (b"\0asm\x01\0\0\0".to_vec(), "core WebAssembly module"),
        (
            fs::read(root().join("plugins/reshape_orders.wasm")).unwrap(),
            "",
        ),
    ] {
        fixture.replace(&bytes);
        match fixture.plugin.reload_if_changed() {
            Reload::Refused { reason } => assert!(reason.contains(why), "{reason}"),
            other => panic!("{why}: {other:?}"),
        }
        assert!(fixture.plugin.stats().refused.is_some());
        assert_eq!(fixture.verdict(), Verdict::Target);
        // Looked at once, not at every batch.
        assert_eq!(fixture.plugin.reload_if_changed(), Reload::Unchanged);
    }
    assert_eq!(fixture.plugin.stats().reloads_refused, 3);
    fs::remove_file(&fixture.path).unwrap();
    assert!(matches!(
        fixture.plugin.reload_if_changed(),
        Reload::Refused { .. }
    ));
    assert_eq!(fixture.verdict(), Verdict::Target);
    // The old file again: nothing to swap, and nothing to complain about.
    fixture.replace(&guest("newest-0.1.0.wasm"));
    assert_eq!(fixture.plugin.reload_if_changed(), Reload::Unchanged);
    assert_eq!(fixture.plugin.stats().refused, None);
}

#[test]
fn a_pinned_file_may_not_change() {
    let digest = blake3::hash(&guest("newest-0.1.0.wasm"))
        .to_hex()
        .to_string();
    let fixture = fixture(Some(digest));
    fixture.replace(&guest("hostile.wasm"));
    match fixture.plugin.reload_if_changed() {
        Reload::Refused { reason } => assert!(reason.contains("pinned is"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.verdict(), Verdict::Target);
}

#[test]
fn a_new_file_that_cannot_take_the_tables_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rule.wasm");
    fs::write(&path, guest("hostile.wasm")).unwrap();
    // A setting that both know nothing of would be refused by vip_merge; this one it reads.
    let plugin = HOST
        .load(PluginSpec {
            settings: json!({"tier_column": "tier"}),
            ..spec("changing", &path)
        })
        .unwrap();
    plugin.resolve(&people(), &conflicts(1)).unwrap();
    let beside = path.with_extension("new");
    fs::copy(root().join("plugins/vip_merge.wasm"), &beside).unwrap();
    fs::rename(beside, &path).unwrap();
    match plugin.reload_if_changed() {
        Reload::Refused { reason } => {
            assert!(
                reason.contains("table people has no column \"tier\""),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn batches_that_run_while_it_is_swapped_are_whole() {
    let fixture = fixture(None);
    let stop = AtomicBool::new(false);
    // The same rule with and without a custom section (id 0, 2 bytes, named "x"): another digest.
    let plain = guest("newest-0.1.0.wasm");
    let marked = [&plain[..], &[0, 2, 1, b'x']].concat();
    let files = [marked, plain];
    let batches = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut batches = 0;
                    while batches < 10_000 && !(stop.load(Ordering::SeqCst) && batches > 0) {
                        let verdicts = fixture.plugin.resolve(&people(), &conflicts(50)).unwrap();
                        assert_eq!(verdicts, vec![Verdict::Target; 50]);
                        batches += 1;
                    }
                    batches
                })
            })
            .collect();
        for turn in 0..6 {
            fixture.replace(&files[turn % 2]);
            match fixture.plugin.reload_if_changed() {
                Reload::Swapped { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        stop.store(true, Ordering::SeqCst);
        readers.into_iter().map(|r| r.join().unwrap()).sum::<u64>()
    });
    assert_eq!(fixture.plugin.stats().calls, batches);
    assert_eq!(fixture.plugin.stats().failures.len(), 0);
}

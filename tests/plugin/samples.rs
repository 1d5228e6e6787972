//! The sample plugins, rebuilt from source.

use banyan::plugin::build::{BuildOptions, build};

use super::support::root;

#[test]
fn tmp_build() {
    for (name, out) in [
        ("plugins/vip_merge", "plugins/vip_merge.wasm"),
        ("plugins/reshape_orders", "plugins/reshape_orders.wasm"),
        ("tests/guests/hostile", "tests/guests/hostile.wasm"),
        ("/tmp/try/newest", "tests/guests/newest-0.1.0.wasm"),
    ] {
        if std::env::var("ONLY").is_ok_and(|o| !name.contains(&o))
            || !root().join(name).join("src/lib.rs").exists()
        {
            continue;
        }
        let built = build(&BuildOptions {
            crate_dir: root().join(name),
            out: Some(root().join(out)),
            target_dir: Some(root().join("target/guests")),
            root: Some(root().to_owned()),
        })
        .unwrap();
        eprintln!("{built:?}");
    }
}

//! What `banyan init` writes.

/// A commented configuration that passes the check as it is. Settings that are commented out
/// begin with `#` and no space, so that they can be told from prose.
pub const TEMPLATE: &str = include_str!("template.toml");

//! Names: which are allowed, and which one was probably meant.

/// The candidate nearest to `found`, when it is near enough to be what was meant. Case, `-` and
/// `_` count for nothing.
#[must_use]
pub fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |s: &str| s.to_lowercase().replace('-', "_");
    let wanted = plain(found);
    let length = wanted.chars().count();
    let limit = (length / 3).max(1).min(length.saturating_sub(1));
    candidates
        .into_iter()
        .filter(|candidate| *candidate != found)
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&wanted, &plain(candidate));
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Whether a store, rule, migration or service may have this name. Names stand in SQL, in file
/// names and in metric labels.
pub(super) fn is_allowed(name: &str) -> bool {
    let mut chars = name.chars();
    name.len() <= 63
        && chars
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// What [`is_allowed`] demands, for messages.
pub(super) const ALLOWED: &str =
    "letters, digits, _ and -, beginning with a letter or _, at most 63 of them";

//! Which name a misspelt one most likely meant.

/// The candidate nearest to `name`, without regard to case, `-` and `_`; `None` when none is near.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |s: &str| s.to_lowercase().replace('_', "-");
    let name = fold(name);
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&name, &fold(c)), c))
        .filter(|(distance, c)| *distance <= (c.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn names_the_likely_one_and_nothing_far_off() {
        let names = ["resolve", "transform", "validate", "route"];
        assert_eq!(nearest("reslove", names), Some("resolve"));
        assert_eq!(nearest("Transfrom", names), Some("transform"));
        assert_eq!(nearest("helper", names), None);
    }
}

//! Text that must never be shown.

use std::fmt;

/// A password or token. Neither `Display` nor `Debug` show it; [`Secret::expose`] does, for the
/// one place that hands it to a driver.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Only for handing it to a driver.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// The text with the password of a URL hidden.
pub(super) fn redact(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let Some((user, place)) = rest.rsplit_once('@') else {
        return text.to_owned();
    };
    match user.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:****@{place}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "**** ****");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn the_password_of_a_url_is_hidden_whatever_it_contains() {
        for (given, shown) in [
            ("postgres://app:pw@h/db", "postgres://app:****@h/db"),
            ("postgres://app:p@:/w@h/db", "postgres://app:****@h/db"),
            ("postgres://app@h/db", "postgres://app@h/db"),
            ("sqlite:a@b.db", "sqlite:a@b.db"),
        ] {
            assert_eq!(redact(given), shown);
        }
    }
}

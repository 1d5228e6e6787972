//! The rule's settings: what stands under `settings` in the configuration.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::failure::Failure;
use crate::json::{self, Json};

/// The settings of a rule. Every one that a rule asks for is known; one that is set but was never
/// asked for is refused when [`crate::Rule::new`] returns, with the names that are known.
#[derive(Debug)]
pub struct Settings {
    values: Vec<(String, Json)>,
    asked: RefCell<BTreeSet<String>>,
}

impl Settings {
    /// Reads a JSON object.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        match json::parse(text) {
            Ok(Json::Object(values)) => Ok(Self {
                values,
                asked: RefCell::default(),
            }),
            Ok(_) => Err(Failure::fatal("settings must be an object")),
            Err(message) => Err(Failure::fatal(format!("settings: {message}"))),
        }
    }

    fn get(&self, name: &str) -> Option<&Json> {
        self.asked.borrow_mut().insert(name.to_owned());
        self.values
            .iter()
            .find(|(key, value)| key == name && *value != Json::Null)
            .map(|(_, value)| value)
    }

    /// A text, if it is set.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(name, "a text", other)),
        }
    }

    /// A text, or what stands in for it.
    pub fn text_or<'a>(&'a self, name: &str, default: &'a str) -> Result<&'a str, Failure> {
        Ok(self.text(name)?.unwrap_or(default))
    }

    /// A text that must be set.
    pub fn required_text(&self, name: &str) -> Result<&str, Failure> {
        self.text(name)?
            .ok_or_else(|| Failure::fatal(format!("setting {name:?} is missing; it is a text")))
    }

    /// An integer, if it is set.
    pub fn int(&self, name: &str) -> Result<Option<i64>, Failure> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Number(text)) => text
                .parse()
                .map(Some)
                .map_err(|_| Failure::fatal(format!("setting {name:?}: {text} is no integer"))),
            Some(other) => Err(wrong(name, "an integer", other)),
        }
    }

    /// A number, if it is set.
    pub fn float(&self, name: &str) -> Result<Option<f64>, Failure> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Number(text)) => text
                .parse()
                .map(Some)
                .map_err(|_| Failure::fatal(format!("setting {name:?}: {text} is no number"))),
            Some(other) => Err(wrong(name, "a number", other)),
        }
    }

    /// A truth value, if it is set.
    pub fn bool(&self, name: &str) -> Result<Option<bool>, Failure> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(wrong(name, "true or false", other)),
        }
    }

    /// A list of texts, if it is set.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<&str>>, Failure> {
        match self.get(name) {
            None => Ok(None),
            Some(list @ Json::Array(items)) => items
                .iter()
                .map(|item| match item {
                    Json::String(text) => Ok(text.as_str()),
                    _ => Err(wrong(name, "a list of texts", list)),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(other) => Err(wrong(name, "a list of texts", other)),
        }
    }

    /// Pairs of names and texts, if it is set: `{ a = "b" }`.
    pub fn text_map(&self, name: &str) -> Result<Option<Vec<(&str, &str)>>, Failure> {
        match self.get(name) {
            None => Ok(None),
            Some(map @ Json::Object(items)) => items
                .iter()
                .map(|(key, item)| match item {
                    Json::String(text) => Ok((key.as_str(), text.as_str())),
                    _ => Err(wrong(name, "a table of texts", map)),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(other) => Err(wrong(name, "a table of texts", other)),
        }
    }

    /// Refuses what nobody asked for.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let asked = self.asked.borrow();
        match self.values.iter().find(|(key, _)| !asked.contains(key)) {
            None => Ok(()),
            Some((key, _)) if asked.is_empty() => Err(Failure::fatal(format!(
                "unknown setting {key:?}; this rule has none"
            ))),
            Some((key, _)) => Err(Failure::fatal(format!(
                "unknown setting {key:?}; known: {}",
                asked.iter().cloned().collect::<Vec<_>>().join(", ")
            ))),
        }
    }
}

fn wrong(name: &str, expected: &str, found: &Json) -> Failure {
    Failure::fatal(format!(
        "setting {name:?} must be {expected}, found {}",
        found.kind()
    ))
}

#[cfg(test)]
mod tests {
    use super::Settings;

    #[test]
    fn what_nobody_asked_for_is_refused_by_name() {
        let settings = Settings::parse(r#"{"floor": "gold", "flor": 1}"#).unwrap();
        assert_eq!(settings.text("floor").unwrap(), Some("gold"));
        let message = settings.finish().unwrap_err().to_string();
        assert_eq!(message, r#"unknown setting "flor"; known: floor"#);
    }

    #[test]
    fn a_wrong_type_names_both() {
        let settings = Settings::parse(r#"{"floor": [1]}"#).unwrap();
        let message = settings.text("floor").unwrap_err().to_string();
        assert_eq!(message, r#"setting "floor" must be a text, found a list"#);
    }
}

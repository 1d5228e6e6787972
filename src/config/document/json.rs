//! Values handed on as JSON: a rule's settings, what a check expects.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::{Place, Section};

impl<'a> Section<'a> {
    /// Anything, as JSON, with the variables filled in; an empty object when not given.
    pub(in crate::config) fn json(&self, key: &'static str) -> serde_json::Value {
        match self.entry(key) {
            None => serde_json::Value::Object(serde_json::Map::new()),
            Some((place, value)) if matches!(value.get_ref(), DeValue::Table(_)) => {
                self.json_at(&place, value.get_ref())
            }
            Some((place, value)) => {
                self.wrong_type(&place, "a table", value.get_ref());
                serde_json::Value::Null
            }
        }
    }

    /// A string, a number or a truth value, if given and right.
    pub(in crate::config) fn scalar(
        &self,
        key: &'static str,
        wanted: &str,
    ) -> Option<serde_json::Value> {
        let (place, value) = self.entry(key)?;
        match value.get_ref() {
            DeValue::Table(_) | DeValue::Array(_) => {
                self.wrong_type(&place, wanted, value.get_ref());
                None
            }
            value => Some(self.json_at(&place, value)).filter(|value| !value.is_null()),
        }
    }

    /// A table of numbers, none below zero; empty when not given.
    pub(in crate::config) fn numbers(&self, key: &'static str) -> BTreeMap<String, f64> {
        let Some(section) = self.section(key) else {
            return BTreeMap::new();
        };
        let mut numbers = BTreeMap::new();
        for (name, value) in section.table {
            let name = name.get_ref().to_string();
            let text = match value.get_ref() {
                DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
                DeValue::Float(number) => number.as_str(),
                _ => "",
            };
            match text.replace('_', "").parse::<f64>() {
                Ok(number) if number.is_finite() && number >= 0.0 => {
                    numbers.insert(name, number);
                }
                _ => self.wrong_type(&section.place_of(&name), "a number from 0", value.get_ref()),
            }
        }
        numbers
    }

    /// A number within bounds, if given and right.
    pub(in crate::config) fn number(&self, key: &'static str, min: f64, max: f64) -> Option<f64> {
        let (place, value) = self.entry(key)?;
        let text = match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => "",
        };
        let number = text.replace('_', "").parse::<f64>();
        let number = number.ok().filter(|n| (min..=max).contains(n));
        if number.is_none() {
            let wanted = format!("a number from {min} to {max}");
            self.wrong_type(&place, &wanted, value.get_ref());
        }
        number
    }

    fn json_at(&self, place: &Place, value: &'a DeValue<'a>) -> serde_json::Value {
        use serde_json::Value;
        match value {
            DeValue::String(text) => self
                .fill(place.clone(), text, &|_, _, found| found)
                .map_or(Value::Null, |text| Value::String(text.value)),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Value::from(number),
                    Err(_) => {
                        self.report(
                            place.problem(format!("found {number}, which does not fit in 64 bits")),
                        );
                        Value::Null
                    }
                }
            }
            DeValue::Float(number) => number
                .as_str()
                .parse()
                .ok()
                .and_then(serde_json::Number::from_f64)
                .map_or_else(
                    || {
                        self.report(place.problem(format!(
                            "found {number}; settings are handed over as JSON, which has no such \
                             number"
                        )));
                        Value::Null
                    },
                    Value::Number,
                ),
            DeValue::Boolean(yes) => Value::Bool(*yes),
            DeValue::Datetime(at) => Value::String(at.to_string()),
            DeValue::Array(items) => items
                .iter()
                .enumerate()
                .map(|(i, item)| {
                    let place = Place {
                        path: format!("{}[{i}]", place.path),
                        line: self.document.line(item.span().start),
                    };
                    self.json_at(&place, item.get_ref())
                })
                .collect(),
            DeValue::Table(table) => {
                let section = Self::at(self.document, place.path.clone(), place.line, table);
                table
                    .iter()
                    .map(|(name, value)| {
                        let name = name.get_ref().to_string();
                        let value = self.json_at(&section.place_of(&name), value.get_ref());
                        (name, value)
                    })
                    .collect()
            }
        }
    }
}

//! The parsed file, and typed access to it that collects every mistake on the way.

mod json;

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::{Environment, Piece, pieces};
use super::name::{self, nearest};
use super::problem::Problem;
use super::secret::redact;

/// What all sections of one file share.
pub(super) struct Document<'a> {
    /// Where `${NAME}` is looked up.
    environment: &'a dyn Environment,
    /// The folder that relative paths start from.
    folder: PathBuf,
    /// Byte offset at which each line starts.
    line_starts: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Document<'a> {
    pub(super) fn new(text: &str, folder: &Path, environment: &'a dyn Environment) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            environment,
            folder: folder.to_owned(),
            line_starts: std::iter::once(0).chain(ends).collect(),
            problems: RefCell::default(),
        }
    }

    /// The line of a byte offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// A path as it is meant: relative ones start from the file's folder.
    pub(super) fn resolve_path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    pub(super) fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Everything reported, in the order of the file.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by(|a, b| (a.line, &a.path).cmp(&(b.line, &b.path)));
        problems.dedup();
        problems
    }
}

/// A place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) line: usize,
}

impl Place {
    pub(super) fn problem(&self, message: impl fmt::Display) -> Problem {
        Problem {
            path: self.path.clone(),
            line: Some(self.line),
            message: message.to_string(),
            allowed: Vec::new(),
            nearest: None,
        }
    }

    /// A problem with a name that is not among the allowed ones.
    pub(super) fn unknown<'n>(
        &self,
        message: impl fmt::Display,
        found: &str,
        allowed: impl IntoIterator<Item = &'n str>,
    ) -> Problem {
        let allowed: Vec<&str> = allowed.into_iter().collect();
        Problem {
            nearest: nearest(found, allowed.iter().copied()).map(str::to_owned),
            allowed: allowed.into_iter().map(str::to_owned).collect(),
            ..self.problem(message)
        }
    }
}

/// A string value: what it means, and how it may be shown.
#[derive(Clone, Debug)]
pub(super) struct Text {
    /// As written, before `${NAME}`: the only form that messages show.
    pub(super) template: String,
    /// With the variables filled in.
    pub(super) value: String,
    pub(super) place: Place,
}

impl Text {
    /// The text as messages may show it: variables not filled in, passwords in URLs hidden.
    pub(super) fn shown(&self) -> String {
        redact(&self.template)
    }
}

/// One table of the file.
pub(super) struct Section<'a> {
    pub(super) document: &'a Document<'a>,
    pub(super) place: Place,
    table: &'a DeTable<'a>,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    pub(super) fn root(document: &'a Document<'a>, table: &'a DeTable<'a>) -> Self {
        Self::at(document, String::new(), 1, table)
    }

    fn at(document: &'a Document<'a>, path: String, line: usize, table: &'a DeTable<'a>) -> Self {
        Self {
            document,
            place: Place { path, line },
            table,
            known: RefCell::default(),
        }
    }

    pub(super) fn report(&self, problem: Problem) {
        self.document.report(problem);
    }

    fn path_of(&self, key: &str) -> String {
        let bare = !key.is_empty()
            && key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let key = if bare {
            key.to_owned()
        } else {
            format!("{key:?}")
        };
        match self.place.path.as_str() {
            "" => key,
            path => format!("{path}.{key}"),
        }
    }

    fn entry(&self, key: &'static str) -> Option<(Place, &'a Spanned<DeValue<'a>>)> {
        self.known.borrow_mut().push(key);
        let (name, value) = self
            .table
            .iter()
            .find(|(name, _)| name.get_ref().as_ref() == key)?;
        let place = Place {
            path: self.path_of(key),
            line: self.document.line(name.span().start),
        };
        Some((place, value))
    }

    /// Where a key stands, or would stand.
    pub(super) fn place_of(&self, key: &str) -> Place {
        let line = self
            .table
            .iter()
            .find(|(name, _)| name.get_ref().as_ref() == key)
            .map_or(self.place.line, |(name, _)| {
                self.document.line(name.span().start)
            });
        Place {
            path: self.path_of(key),
            line,
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table
            .iter()
            .any(|(name, _)| name.get_ref().as_ref() == key)
    }

    fn wrong_type(&self, place: &Place, wanted: &str, found: &DeValue<'_>) {
        self.report(place.problem(format!("found {}, wanted {wanted}", describe(found))));
    }

    fn missing(&self, key: &str, wanted: &str) {
        let place = self.place_of(key);
        self.report(place.problem(format!("is missing; wanted {wanted}")));
    }

    /// Fills in the variables. `encode` may change the value of a variable, given the text before
    /// and after it in the template.
    fn fill(
        &self,
        place: Place,
        template: &str,
        encode: &dyn Fn(&str, &str, String) -> String,
    ) -> Option<Text> {
        let pieces = match pieces(template) {
            Ok(pieces) => pieces,
            Err(wrong) => {
                self.report(place.problem(wrong));
                return None;
            }
        };
        let mut value = String::new();
        let mut whole = true;
        for (i, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Text(text) => value.push_str(text),
                Piece::Variable(name) => match self.document.environment.get(name) {
                    Some(found) => {
                        let after: String = pieces[i + 1..]
                            .iter()
                            .map(|p| match p {
                                Piece::Text(text) => *text,
                                Piece::Variable(_) => "",
                            })
                            .collect();
                        let found = encode(&value, &after, found);
                        value.push_str(&found);
                    }
                    None => {
                        whole = false;
                        self.report(
                            place.problem(format!("the environment variable {name} is not set")),
                        );
                    }
                },
            }
        }
        whole.then(|| Text {
            template: template.to_owned(),
            value,
            place,
        })
    }

    fn text_at(&self, place: Place, value: &DeValue<'_>) -> Option<Text> {
        match value {
            DeValue::String(text) => self.fill(place, text, &|_, _, found| found),
            other => {
                self.wrong_type(&place, "a string", other);
                None
            }
        }
    }

    /// A string, if given.
    pub(super) fn text(&self, key: &'static str) -> Option<Text> {
        let (place, value) = self.entry(key)?;
        self.text_at(place, value.get_ref())
    }

    /// A string in which variables in the place of a user or password are percent-encoded, so
    /// that a password may hold any character.
    pub(super) fn url(&self, key: &'static str) -> Option<Text> {
        let (place, value) = self.entry(key)?;
        match value.get_ref() {
            DeValue::String(text) => self.fill(place, text, &|before, after, found| {
                if before.contains("://") && after.contains('@') {
                    percent_encode(&found)
                } else {
                    found
                }
            }),
            other => {
                self.wrong_type(&place, "a string", other);
                None
            }
        }
    }

    /// A string that must be given and not be empty.
    pub(super) fn required_text(&self, key: &'static str, wanted: &str) -> Option<Text> {
        if !self.has(key) {
            self.known.borrow_mut().push(key);
            self.missing(key, wanted);
            return None;
        }
        self.text(key).filter(|text| self.not_empty(text))
    }

    /// A string that, if given, must not be empty.
    pub(super) fn filled_text(&self, key: &'static str) -> Option<Text> {
        self.text(key).filter(|text| self.not_empty(text))
    }

    fn not_empty(&self, text: &Text) -> bool {
        let filled = !text.value.trim().is_empty();
        if !filled {
            self.report(text.place.problem("is empty"));
        }
        filled
    }

    /// A whole number within bounds, if given and right.
    pub(super) fn integer(&self, key: &'static str, min: u64, max: u64) -> Option<u64> {
        let (place, value) = self.entry(key)?;
        let wanted = format!("a whole number from {min} to {max}");
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong_type(&place, &wanted, value.get_ref());
            return None;
        };
        match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(found) if (min..=max).contains(&found) => Some(found),
            _ => {
                self.report(place.problem(format!("found {number}, wanted {wanted}")));
                None
            }
        }
    }

    /// One of several words, if given and right.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &'static str,
        allowed: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.text(key)?;
        let found = allowed.iter().find(|(word, _)| *word == text.value);
        if found.is_none() {
            self.report(text.place.unknown(
                format!("found \"{}\"", text.shown()),
                &text.template,
                allowed.iter().map(|(word, _)| *word),
            ));
        }
        found.map(|(_, value)| *value)
    }

    /// A list of strings; empty when not given.
    pub(super) fn texts(&self, key: &'static str) -> Vec<Text> {
        let Some((place, value)) = self.entry(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(&place, "a list of strings", value.get_ref());
            return Vec::new();
        };
        items
            .iter()
            .enumerate()
            .filter_map(|(i, item)| {
                let place = Place {
                    path: format!("{}[{i}]", place.path),
                    line: self.document.line(item.span().start),
                };
                self.text_at(place, item.get_ref())
            })
            .filter(|text| self.not_empty(text))
            .collect()
    }

    /// A table of strings, in the order of the file; `None` when not given or no table.
    pub(super) fn text_map(&self, key: &'static str) -> Option<Vec<(String, Text)>> {
        let section = self.section(key)?;
        let pairs = section
            .table
            .iter()
            .filter_map(|(name, value)| {
                let name = name.get_ref().to_string();
                let place = section.place_of(&name);
                let text = self.text_at(place, value.get_ref())?;
                self.not_empty(&text).then_some((name, text))
            })
            .collect();
        Some(pairs)
    }

    /// A table, if given.
    pub(super) fn section(&self, key: &'static str) -> Option<Self> {
        let (place, value) = self.entry(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Self::at(self.document, place.path, place.line, table)),
            other => {
                self.wrong_type(&place, "a table", other);
                None
            }
        }
    }

    /// Tables under names that the user chose (`[stores.NAME]`), with the names checked.
    pub(super) fn named_sections(&self, key: &'static str) -> Vec<(String, Self)> {
        let Some(parent) = self.section(key) else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for (name, value) in parent.table {
            let line = self.document.line(name.span().start);
            let name = name.get_ref().to_string();
            let path = parent.path_of(&name);
            let place = Place { path, line };
            if !name::is_allowed(&name) {
                self.report(place.problem(format!("a name is made of {}", name::ALLOWED)));
            }
            match value.get_ref() {
                DeValue::Table(table) => {
                    out.push((name, Self::at(self.document, place.path, line, table)));
                }
                other => self.wrong_type(&place, "a table", other),
            }
        }
        out
    }

    /// A list of tables (`[[migrations.orders.tables]]`); empty when not given.
    pub(super) fn section_list(&self, key: &'static str) -> Vec<Self> {
        let Some((place, value)) = self.entry(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            let wanted = format!("a list of tables, [[{}]]", place.path);
            self.wrong_type(&place, &wanted, value.get_ref());
            return Vec::new();
        };
        let mut out = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let place = Place {
                path: format!("{}[{i}]", place.path),
                line: self.document.line(item.span().start),
            };
            match item.get_ref() {
                DeValue::Table(table) => {
                    out.push(Self::at(self.document, place.path, place.line, table));
                }
                other => self.wrong_type(&place, "a table", other),
            }
        }
        out
    }

    /// Reports the keys that nobody asked for. Call it when everything has been read.
    pub(super) fn finish(self) {
        let known = self.known.borrow();
        for (name, _) in self.table {
            let key = name.get_ref().as_ref();
            if !known.contains(&key) {
                let mut allowed = known.clone();
                allowed.sort_unstable();
                allowed.dedup();
                self.report(self.place_of(key).unknown("is no known key", key, allowed));
            }
        }
    }
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(_) => "a string".to_owned(),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(at) => format!("the date {at}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn percent_encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

//! PostgreSQL's arrays as text: `{1,NULL,"a b"}`.

use crate::data::Value;

use super::json::JsonForm;
use super::{ColumnForm, Form, clock, number, text};

/// The server's most dimensions.
const DIMENSIONS_MOST: usize = 6;

/// Whether the server writes the array just so: quotes only where they must be, as many elements
/// in each part, each as its type writes it. Lower bounds other than 1 are not known here.
pub(super) fn is_canonical(text: &str, element: &ColumnForm) -> bool {
    if text == "{}" {
        return true;
    }
    let mut reader = Reader {
        text,
        at: 0,
        element,
    };
    reader.part(DIMENSIONS_MOST).is_some() && reader.at == text.len()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    element: &'a ColumnForm,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.text[self.at..].chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn next_is(&self, c: char) -> bool {
        self.text[self.at..].starts_with(c)
    }

    /// The lengths of one part, outermost first.
    fn part(&mut self, dimensions: usize) -> Option<Vec<usize>> {
        let inner = dimensions.checked_sub(1)?;
        if self.next()? != '{' {
            return None;
        }
        let mut lengths: Option<Vec<usize>> = None;
        let mut count = 0;
        loop {
            let these = if self.next_is('{') {
                self.part(inner)?
            } else {
                self.element()?;
                Vec::new()
            };
            match &lengths {
                Some(lengths) if *lengths != these => return None,
                _ => lengths = Some(these),
            }
            count += 1;
            match self.next()? {
                ',' => {}
                '}' => {
                    let mut all = vec![count];
                    all.append(&mut lengths?);
                    return Some(all);
                }
                _ => return None,
            }
        }
    }

    fn element(&mut self) -> Option<()> {
        let quoted = self.next_is('"');
        let mut out = String::new();
        if quoted {
            self.next()?;
            loop {
                match self.next()? {
                    '"' => break,
                    '\\' => match self.next()? {
                        c @ ('"' | '\\') => out.push(c),
                        _ => return None,
                    },
                    c => out.push(c),
                }
            }
        } else {
            let rest = &self.text[self.at..];
            let end = rest.find([',', '}'])?;
            out.push_str(&rest[..end]);
            self.at += end;
            if out == "NULL" {
                return Some(());
            }
        }
        let must = out.is_empty()
            || out.eq_ignore_ascii_case("null")
            || out.contains([
                '"', '\\', '{', '}', ',', ' ', '\t', '\n', '\r', '\u{b}', '\u{c}',
            ]);
        (quoted == must && writes(self.element, &out)).then_some(())
    }
}

/// Whether the element's type writes a value just so.
fn writes(element: &ColumnForm, out: &str) -> bool {
    let value = || Value::from(out);
    match &element.form {
        Form::Bool => matches!(out, "t" | "f"),
        Form::Int { .. } | Form::Text(_) | Form::Uuid => element
            .take(value())
            .is_ok_and(|held| text::of(&held).as_deref() == Some(out)),
        Form::Decimal(form) => number::decimal(&value())
            .and_then(|d| form.held(&d))
            .is_some_and(|d| d.as_str() == out),
        Form::Float(form) => number::float(&value()).is_some_and(|v| {
            if !v.is_finite() {
                return number::float_text(v) == out;
            }
            // Beyond these the server writes an exponent.
            let (short, most) = if form.single {
                #[expect(clippy::cast_possible_truncation, reason = "the type's own digits")]
                let single = v as f32;
                (single.to_string(), 1e6)
            } else {
                (v.to_string(), 1e15)
            };
            short == out && (v == 0.0 || (1e-4..most).contains(&v.abs()))
        }),
        Form::Date(_) => clock::date(out).is_some_and(|_| {
            element.take(value()).is_ok()
                && (out.ends_with("infinity") || out.len() == 10 && !out.starts_with(['-', '0']))
        }),
        Form::Json(form) => {
            *form == JsonForm::AsWritten && form.held(out).is_some()
                || form.held(out).as_deref() == Some(out)
        }
        Form::Literal(literal) => literal.takes(out),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_canonical;
    use crate::database::form::ColumnForm;

    #[test]
    fn arrays_as_the_server_writes_them() {
        let check = |element: &str, good: &[&str], bad: &[&str]| {
            let element = ColumnForm::postgres_type(element);
            for text in good {
                assert!(is_canonical(text, &element), "{element:?} {text}");
            }
            for text in bad {
                assert!(!is_canonical(text, &element), "{element:?} {text}");
            }
        };
        check(
            "integer",
            &["{}", "{1}", "{1,NULL,-3}", "{{1,2},{3,4}}"],
            &[
                "",
                "{",
                "{1, 2}",
                "{01}",
                "{\"1\"}",
                "{1,{2}}",
                "{{1},{2,3}}",
                "{null}",
                "{1}x",
                "{{}}",
                "{99999999999}",
                "[0:1]={1,2}",
                "{a}",
            ],
        );
        check(
            "text",
            &[r#"{a,"b c","","null","q\"\\",ä}"#],
            &[r#"{"a"}"#, "{b c}", "{}}", r#"{"\a"}"#],
        );
        check("boolean", &["{t,f}"], &["{true}"]);
        check("numeric(10,2)", &["{1.50}"], &["{1.5}"]);
        check(
            "double precision",
            &["{0.1,1,NULL,NaN,-Infinity,100000.5}"],
            &["{1.0}", "{1e300}", "{inf}"],
        );
        check(
            "date",
            &["{2024-01-01,infinity}"],
            &["{2024-1-1}", "{0000-01-01}"],
        );
        check("character(3)", &[r#"{"a  "}"#, "{abc}"], &["{a}"]);
    }
}

//! What columns of JSON make of a text: PostgreSQL's `json` keeps it, `jsonb` and MySQL's `json`
//! give it back in a form of their own.

use std::fmt::Write;

use crate::data::Decimal;

/// How deep arrays and objects may lie in each other.
const DEPTH_MOST: usize = 400;
/// The same for MySQL.
const DEPTH_MOST_MYSQL: usize = 100;
/// Digits of a double that are sure to come back.
const DIGITS_SURE: usize = 15;
/// The largest exponent of ten that is written out here.
const EXPONENT_MOST: i64 = 1_000;

/// What a column of JSON holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonForm {
    /// The text as it is.
    AsWritten,
    /// PostgreSQL's `jsonb`.
    Binary,
    /// MySQL's `json`. Numbers with a fraction or an exponent are doubles there; those that are not
    /// surely written alike are refused.
    Mysql,
}

impl JsonForm {
    /// The text as the column gives it back; `None`: no JSON, or none that it can hold.
    pub(super) fn held(self, text: &str) -> Option<String> {
        if self != Self::Mysql && text.contains('\0') {
            return None;
        }
        let mut parser = Parser {
            text,
            at: 0,
            form: self,
        };
        let node = parser.document()?;
        if self == Self::AsWritten {
            return Some(text.to_owned());
        }
        let mut out = String::with_capacity(text.len() + 16);
        node.write(&mut out);
        Some(out)
    }
}

enum Node {
    /// `null`, `true`, `false`, or a number as it is written.
    Plain(String),
    Text(String),
    Array(Vec<Self>),
    /// In the order of the form, each key once.
    Object(Vec<(String, Self)>),
}

impl Node {
    fn write(&self, out: &mut String) {
        match self {
            Self::Plain(v) => out.push_str(v),
            Self::Text(v) => write_text(v, out),
            Self::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push_str(", ");
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (i, (key, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push_str(", ");
                    }
                    write_text(key, out);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                if write!(out, "\\u{:04x}", u32::from(c)).is_err() {
                    // Writing to a text does not fail.
                    return;
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    form: JsonForm,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn document(&mut self) -> Option<Node> {
        let depth = match self.form {
            JsonForm::Mysql => DEPTH_MOST_MYSQL,
            JsonForm::AsWritten | JsonForm::Binary => DEPTH_MOST,
        };
        self.space();
        let node = self.value(depth)?;
        self.space();
        (self.at == self.text.len()).then_some(node)
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        match self.peek()? {
            b'{' => self.object(depth.checked_sub(1)?),
            b'[' => self.array(depth.checked_sub(1)?),
            b'"' => Some(Node::Text(self.string()?)),
            b'-' | b'0'..=b'9' => self.number(),
            _ => {
                let word = ["null", "true", "false"]
                    .into_iter()
                    .find(|w| self.text[self.at..].starts_with(w))?;
                self.at += word.len();
                Some(Node::Plain(word.to_owned()))
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Node> {
        self.take(b'[')?;
        let mut items = Vec::new();
        self.space();
        if self.take(b']').is_some() {
            return Some(Node::Array(items));
        }
        loop {
            self.space();
            items.push(self.value(depth)?);
            self.space();
            if self.take(b',').is_none() {
                self.take(b']')?;
                return Some(Node::Array(items));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Node> {
        self.take(b'{')?;
        let mut members: Vec<(String, Node)> = Vec::new();
        self.space();
        if self.take(b'}').is_some() {
            return Some(Node::Object(members));
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            self.take(b':')?;
            self.space();
            let value = self.value(depth)?;
            members.push((key, value));
            self.space();
            if self.take(b',').is_none() {
                self.take(b'}')?;
                break;
            }
        }
        // Short keys first, equally long ones by their bytes; of equal ones the last counts. The
        // sort keeps the order of equal keys.
        members.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        let mut kept: Vec<(String, Node)> = Vec::with_capacity(members.len());
        for member in members {
            match kept.last_mut() {
                Some(last) if last.0 == member.0 => *last = member,
                _ => kept.push(member),
            }
        }
        Some(Node::Object(kept))
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut out = String::new();
        loop {
            let c = self.text[self.at..].chars().next()?;
            self.at += c.len_utf8();
            match c {
                '"' => return Some(out),
                '\\' => {
                    let escape = self.peek()?;
                    self.at += 1;
                    out.push(match escape {
                        b'"' => '"',
                        b'\\' => '\\',
                        b'/' => '/',
                        b'b' => '\u{8}',
                        b'f' => '\u{c}',
                        b'n' => '\n',
                        b'r' => '\r',
                        b't' => '\t',
                        b'u' => self.unicode()?,
                        _ => return None,
                    });
                }
                c if c < ' ' => return None,
                c => out.push(c),
            }
        }
    }

    fn unicode(&mut self) -> Option<char> {
        let unit = self.hex()?;
        match self.form {
            // It is kept as it is written, whatever it means.
            JsonForm::AsWritten => return Some(char::from_u32(unit).unwrap_or('?')),
            JsonForm::Binary if unit == 0 => return None,
            JsonForm::Binary | JsonForm::Mysql => {}
        }
        if !(0xd800..0xdc00).contains(&unit) {
            return char::from_u32(unit);
        }
        self.take(b'\\')?;
        self.take(b'u')?;
        let low = self.hex()?;
        if !(0xdc00..0xe000).contains(&low) {
            return None;
        }
        char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
    }

    fn digits(&mut self) -> Option<()> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }

    fn number(&mut self) -> Option<Node> {
        let from = self.at;
        let negative = self.take(b'-').is_some();
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        let whole = self.at;
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        let mantissa = self.at;
        let mut exponent = 0;
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'-' | b'+')) {
                self.at += 1;
            }
            self.digits()?;
            exponent = self.text[mantissa + 1..self.at]
                .parse::<i64>()
                .unwrap_or(i64::MAX);
        }
        let text = &self.text[from..self.at];
        let plain = match self.form {
            JsonForm::AsWritten => String::new(),
            JsonForm::Binary => {
                let digits = &self.text[from + usize::from(negative)..mantissa];
                exact(negative, digits, exponent)?
            }
            JsonForm::Mysql => {
                let whole_number = whole == self.at;
                let sure = if whole_number {
                    text != "-0" && (text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok())
                } else {
                    mantissa == self.at && double_is_sure(text)
                };
                sure.then(|| text.to_owned())?
            }
        };
        Some(Node::Plain(plain))
    }
}

/// Whether a double of this text is written just so.
fn double_is_sure(text: &str) -> bool {
    let Ok(v) = text.parse::<f64>() else {
        return false;
    };
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    digits <= DIGITS_SURE && v != 0.0 && v.abs() >= 1e-4 && format!("{v:?}") == text
}

/// A number as `numeric` holds it: no exponent, digits behind the point as they were written.
fn exact(negative: bool, digits: &str, exponent: i64) -> Option<String> {
    if exponent.checked_abs()? > EXPONENT_MOST {
        return None;
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut all = format!("{whole}{fraction}");
    let mut point = i64::try_from(whole.len()).ok()? + exponent;
    if point < 1 {
        let zeros = usize::try_from(1 - point).ok()?;
        all.insert_str(0, &"0".repeat(zeros));
        point = 1;
    }
    let point = usize::try_from(point).ok()?;
    if point > all.len() {
        all.push_str(&"0".repeat(point - all.len()));
    }
    let (whole, fraction) = all.split_at(point);
    let sign = if negative { "-" } else { "" };
    let text = if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    };
    Some(text.parse::<Decimal>().ok()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::JsonForm::{AsWritten, Binary, Mysql};

    #[test]
    fn jsonb_has_its_own_form() {
        for (text, held) in [
            ("{}", "{}"),
            (" [ ] ", "[]"),
            (
                r#"{"bb":1,"a":2,"c":[1,2]}"#,
                r#"{"a": 2, "c": [1, 2], "bb": 1}"#,
            ),
            (r#"{"a":1,"a":2}"#, r#"{"a": 2}"#),
            ("1.50", "1.50"),
            ("1e2", "100"),
            ("1.5e1", "15"),
            ("1.50e1", "15.0"),
            ("1E-2", "0.01"),
            ("-0", "0"),
            ("-0.0", "0.0"),
            (r#""\u00e4\u0001\/\ud83d\ude00""#, "\"ä\\u0001/😀\""),
            ("\"\u{7f}\"", "\"\u{7f}\""),
        ] {
            assert_eq!(Binary.held(text).as_deref(), Some(held), "{text}");
            assert_eq!(Binary.held(held).as_deref(), Some(held), "{text}");
            assert_eq!(AsWritten.held(text).as_deref(), Some(text), "{text}");
        }
        for text in [
            "", "nul", "01", "1.", "[1,]", "{\"a\"}", "\"\n\"", "1 2", "\"\\x\"", "+1",
        ] {
            assert_eq!(Binary.held(text), None, "{text}");
            assert_eq!(AsWritten.held(text), None, "{text}");
        }
        for text in [r#""\u0000""#, r#""\ud800""#, "1e999999"] {
            assert_eq!(Binary.held(text), None, "{text}");
            assert_eq!(AsWritten.held(text).as_deref(), Some(text), "{text}");
        }
    }

    #[test]
    fn mysql_takes_numbers_that_it_surely_gives_back() {
        for (text, held) in [
            (
                r#"{"b":1.5,"aa":18446744073709551615,"a":-1}"#,
                Some(r#"{"a": -1, "b": 1.5, "aa": 18446744073709551615}"#),
            ),
            ("1.0", Some("1.0")),
            ("1.50", None),
            ("1e2", None),
            ("18446744073709551616", None),
            ("-0", None),
            ("0.1", Some("0.1")),
            ("0.00001", None),
        ] {
            assert_eq!(Mysql.held(text).as_deref(), held, "{text}");
        }
        let deep = format!("{}{}", "[".repeat(101), "]".repeat(101));
        assert_eq!(Mysql.held(&deep), None);
        assert!(Binary.held(&deep).is_some());
    }
}

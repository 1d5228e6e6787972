//! Declared types, taken apart.

/// `timestamp(3) with time zone` is `timestamp with time zone` with the argument 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::database) struct Declared {
    /// The type without arguments, in lower case unless it is a quoted name.
    pub(in crate::database) name: String,
    /// What stands in parentheses, where it is numbers.
    pub(in crate::database) numbers: Vec<i64>,
    /// MySQL: labels of an `enum` or `set`.
    pub(in crate::database) labels: Vec<String>,
    /// PostgreSQL: whether it is an array of that.
    pub(in crate::database) array: bool,
}

impl Declared {
    /// Of a type as PostgreSQL's `format_type` spells it.
    pub(in crate::database) fn postgres(declared: &str) -> Self {
        let (declared, array) = declared
            .strip_suffix("[]")
            .map_or((declared, false), |element| (element, true));
        // A quoted name may hold parentheses.
        if declared.contains('"') {
            return Self {
                name: declared.to_owned(),
                numbers: Vec::new(),
                labels: Vec::new(),
                array,
            };
        }
        let (name, numbers) = split(declared);
        Self {
            name,
            numbers,
            labels: Vec::new(),
            array,
        }
    }

    /// Of a type as `COLUMN_TYPE` of MySQL's `information_schema` spells it: `bigint(20) unsigned
    /// zerofill` is `bigint unsigned` with the argument 20.
    pub(in crate::database) fn mysql(declared: &str) -> Self {
        let declared = declared
            .split_once(" /*")
            .map_or(declared, |(head, _)| head)
            .trim();
        let head = declared
            .find(|c: char| !c.is_ascii_alphanumeric())
            .map_or(declared, |at| &declared[..at])
            .to_ascii_lowercase();
        if head == "enum" || head == "set" {
            let labels = labels(&declared[head.len()..]);
            return Self {
                // One whose labels cannot be read is no type that is known.
                name: if labels.is_some() {
                    head
                } else {
                    declared.to_owned()
                },
                numbers: Vec::new(),
                labels: labels.unwrap_or_default(),
                array: false,
            };
        }
        let (name, numbers) = split(declared);
        let mut words = name.split(' ').collect::<Vec<_>>();
        let unsigned = words.iter().any(|w| matches!(*w, "unsigned" | "zerofill"));
        words.retain(|w| !matches!(*w, "unsigned" | "zerofill" | "signed"));
        let base = match words.join(" ").as_str() {
            "bool" | "boolean" => "tinyint".to_owned(),
            "integer" => "int".to_owned(),
            "numeric" | "dec" | "fixed" => "decimal".to_owned(),
            "real" | "double precision" => "double".to_owned(),
            other => other.to_owned(),
        };
        Self {
            name: if unsigned {
                format!("{base} unsigned")
            } else {
                base
            },
            numbers,
            labels: Vec::new(),
            array: false,
        }
    }

    /// An argument.
    pub(in crate::database) fn number(&self, index: usize) -> Option<i64> {
        self.numbers.get(index).copied()
    }
}

fn split(declared: &str) -> (String, Vec<i64>) {
    let Some((head, rest)) = declared.split_once('(') else {
        return (declared.trim().to_ascii_lowercase(), Vec::new());
    };
    let (arguments, tail) = rest.split_once(')').unwrap_or((rest, ""));
    let numbers = arguments
        .split(',')
        .map(|a| a.trim().parse().ok())
        .collect::<Option<Vec<i64>>>();
    let Some(numbers) = numbers else {
        return (declared.trim().to_ascii_lowercase(), Vec::new());
    };
    let name = [head.trim(), tail.trim()].join(" ");
    (name.trim().to_ascii_lowercase(), numbers)
}

/// The labels in `('a','it''s')`. `None` when the text is not of that form.
pub(in crate::database) fn labels(text: &str) -> Option<Vec<String>> {
    let mut chars = text.strip_prefix('(')?.chars().peekable();
    let mut labels = Vec::new();
    loop {
        if chars.next()? != '\'' {
            return None;
        }
        let mut label = String::new();
        loop {
            match chars.next()? {
                '\'' if chars.peek() == Some(&'\'') => {
                    chars.next();
                    label.push('\'');
                }
                '\'' => break,
                '\\' => label.push(match chars.next()? {
                    '0' => '\0',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'b' => '\u{8}',
                    'Z' => '\u{1a}',
                    other => other,
                }),
                c => label.push(c),
            }
        }
        labels.push(label);
        match chars.next()? {
            ',' => {}
            ')' => return Some(labels),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Declared;

    #[test]
    fn types_of_postgresql() {
        let of = |declared: &str| {
            let d = Declared::postgres(declared);
            (d.name, d.numbers, d.array)
        };
        let named = |name: &str, numbers: &[i64], array| (name.to_owned(), numbers.to_vec(), array);
        assert_eq!(of("numeric(10,2)"), named("numeric", &[10, 2], false));
        assert_eq!(of("numeric(3,-2)"), named("numeric", &[3, -2], false));
        assert_eq!(
            of("timestamp(3) with time zone[]"),
            named("timestamp with time zone", &[3], true)
        );
        assert_eq!(of("\"Odd(1)\""), named("\"Odd(1)\"", &[], false));
        assert_eq!(of("interval"), named("interval", &[], false));
    }

    #[test]
    fn types_of_mysql() {
        let of = |declared: &str| {
            let d = Declared::mysql(declared);
            (d.name, d.numbers)
        };
        let named = |name: &str, numbers: &[i64]| (name.to_owned(), numbers.to_vec());
        assert_eq!(
            of("bigint(20) unsigned zerofill"),
            named("bigint unsigned", &[20])
        );
        assert_eq!(of("int(5) zerofill"), named("int unsigned", &[5]));
        assert_eq!(of("double"), named("double", &[]));
        assert_eq!(of("float(7,3)"), named("float", &[7, 3]));
        assert_eq!(
            of("varchar(20) /*M!100301 COMPRESSED*/"),
            named("varchar", &[20])
        );
        let labels = Declared::mysql(r"enum('a','it''s','x,y)','back\\slash','')").labels;
        assert_eq!(labels, ["a", "it's", "x,y)", "back\\slash", ""]);
        assert_eq!(Declared::mysql("enum('a").name, "enum('a");
    }
}

//! What the SQL text in the log means for the tables that are captured.
//!
//! Rows are logged as rows; text is what begins and ends transactions, changes schemas, and what
//! somebody logs as a statement although rows are asked for. Only as much is read as is needed to
//! know which tables it may concern: rather one too many than one too few.

/// A piece of a statement.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// A bare word, a quoted identifier.
    Word(String),
    /// A string.
    Text(String),
    /// Any other character.
    Sign(char),
}

/// What a statement does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Statement {
    /// Begins a transaction.
    Begin,
    /// Ends it.
    Commit,
    /// Undoes it.
    Rollback,
    /// Sets a savepoint.
    Savepoint(String),
    /// Goes back to it.
    RollbackTo(String),
    /// Begins an XA transaction.
    XaStart,
    /// Commits one that was prepared.
    XaCommit(Xid),
    /// Undoes one that was prepared.
    XaRollback(Xid),
    /// Changes tables or their schema.
    Ddl(Ddl),
    /// Changes rows, logged as a statement.
    Dml(Vec<String>),
    /// Nothing that concerns tables.
    Other,
}

/// An XA transaction's name: format, global and branch part.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Xid(pub(super) u32, pub(super) Vec<u8>, pub(super) Vec<u8>);

/// A change of schemas.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ddl {
    words: Vec<String>,
    tokens: Vec<Token>,
}

/// What a [`Ddl`] does to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// Nothing.
    No,
    /// Its schema may be another.
    Schema,
    /// Its rows are others, which the log does not hold.
    Rows(&'static str),
}

impl Statement {
    /// Reads a statement.
    pub(super) fn read(sql: &str) -> Self {
        let tokens = tokens(sql);
        let words: Vec<String> = tokens
            .iter()
            .filter_map(|token| match token {
                Token::Word(word) => Some(word.to_ascii_uppercase()),
                _ => None,
            })
            .collect();
        let word = |i: usize| words.get(i).map_or("", String::as_str);
        let name = |i: usize| {
            let mut all = tokens.iter().filter_map(|token| match token {
                Token::Word(word) => Some(word.to_lowercase()),
                _ => None,
            });
            all.nth(i).unwrap_or_default()
        };
        match (word(0), word(1)) {
            ("BEGIN", _) | ("START", "TRANSACTION") => Self::Begin,
            ("COMMIT", _) => Self::Commit,
            ("ROLLBACK", "TO") if word(2) == "SAVEPOINT" && words.len() > 3 => {
                Self::RollbackTo(name(3))
            }
            ("ROLLBACK", "TO") => Self::RollbackTo(name(2)),
            ("ROLLBACK", _) => Self::Rollback,
            ("SAVEPOINT", _) => Self::Savepoint(name(1)),
            ("XA", "START" | "BEGIN") => Self::XaStart,
            ("XA", "COMMIT") => xid(&tokens).map_or(Self::Other, Self::XaCommit),
            ("XA", "ROLLBACK") => xid(&tokens).map_or(Self::Other, Self::XaRollback),
            ("ALTER" | "CREATE" | "DROP" | "RENAME" | "TRUNCATE", _) => {
                Self::Ddl(Ddl { words, tokens })
            }
            (
                "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "WITH" | "CALL" | "DO"
                | "SELECT" | "EXECUTE" | "MERGE" | "TABLE" | "VALUES" | "IMPORT",
                _,
            ) => Self::Dml(lower(&tokens)),
            _ => Self::Other,
        }
    }
}

impl Ddl {
    /// What it does to this table, captured with these columns. `current`: the database that names
    /// without one are in.
    pub(super) fn touch<'a>(
        &self,
        current: &str,
        database: &str,
        table: &str,
        columns: impl Iterator<Item = &'a str>,
    ) -> Touch {
        let word = |i: usize| self.words.get(i).map_or("", String::as_str);
        let has = |w: &str| self.words.iter().any(|word| word == w);
        let names = |name: &str| self.names(name);
        let whole = matches!(word(1), "DATABASE" | "SCHEMA")
            || word(1) == "OR" && matches!(word(3), "DATABASE" | "SCHEMA");
        if whole {
            return match word(0) {
                "DROP" if names(database) => Touch::Rows("its database was dropped"),
                "CREATE" if word(1) == "OR" && names(database) => {
                    Touch::Rows("its database was dropped")
                }
                _ => Touch::No,
            };
        }
        // Temporary tables hide a table of the same name from one session only.
        if word(1) == "TEMPORARY"
            || word(3) == "TEMPORARY"
            || !self.mentions(current, database, table)
        {
            return Touch::No;
        }
        let about = match word(0) {
            "CREATE" | "DROP" | "ALTER" => self
                .words
                .iter()
                .take(8)
                .find_map(|word| match word.as_str() {
                    "TABLE" | "TABLES" | "INDEX" | "VIEW" | "TRIGGER" | "PROCEDURE"
                    | "FUNCTION" | "EVENT" | "USER" | "SEQUENCE" | "ROLE" => Some(word.as_str()),
                    _ => None,
                })
                .unwrap_or(""),
            _ => "TABLE",
        };
        match (word(0), about) {
            ("TRUNCATE", _) => Touch::Rows("it was truncated"),
            ("RENAME", _) if word(1) != "USER" => {
                Touch::Rows("it was renamed, or another table took its name")
            }
            ("DROP", "TABLE" | "TABLES") => Touch::Rows("it was dropped"),
            ("CREATE", "TABLE") if self.created(table) => Touch::Rows("it was created anew"),
            ("ALTER", "TABLE") => {
                if has("IGNORE") {
                    return Touch::Rows("it was altered with IGNORE, which may delete rows");
                }
                if has("PARTITION") && (has("EXCHANGE") || has("DROP") || has("TRUNCATE"))
                    || has("CONVERT") && has("PARTITION")
                {
                    return Touch::Rows("one of its partitions was dropped or exchanged");
                }
                if has("TABLESPACE") && (has("DISCARD") || has("IMPORT")) {
                    return Touch::Rows("its tablespace was replaced");
                }
                self.altered(columns)
            }
            (_, "INDEX") => Touch::Schema,
            _ => Touch::No,
        }
    }

    /// Whether a table of a database is named in it.
    fn mentions(&self, current: &str, database: &str, table: &str) -> bool {
        let is = |i: usize, name: &str| matches!(self.tokens.get(i), Some(Token::Word(word)) if same(word, name));
        (0..self.tokens.len()).filter(|&i| is(i, table)).any(|i| {
            let qualified = i >= 2 && matches!(self.tokens[i - 1], Token::Sign('.'));
            if qualified {
                is(i - 2, database)
            } else {
                same(current, database)
            }
        })
    }

    /// Whether a name stands in it.
    fn names(&self, name: &str) -> bool {
        self.tokens
            .iter()
            .any(|token| matches!(token, Token::Word(word) if same(word, name)))
    }

    /// Whether `CREATE TABLE` makes this very table, and not one that refers to it.
    fn created(&self, table: &str) -> bool {
        let words =
            |word: &&Token| matches!(word, Token::Word(w) if w.eq_ignore_ascii_case("TABLE"));
        let mut rest = self.tokens.iter().skip_while(|token| !words(token)).skip(1);
        let mut name = None;
        let mut qualified = false;
        for token in rest.by_ref() {
            match token {
                Token::Word(w)
                    if name.is_none() && ["IF", "NOT", "EXISTS"].contains(&w.as_str()) => {}
                Token::Word(w) if name.is_none() || qualified => {
                    name = Some(w);
                    qualified = false;
                }
                Token::Sign('.') if name.is_some() => qualified = true,
                _ => break,
            }
        }
        name.is_some_and(|name| same(name, table))
    }

    /// An `ALTER TABLE`: renames and columns that are dropped and added again keep the schema and
    /// yet move the values.
    fn altered<'a>(&self, columns: impl Iterator<Item = &'a str>) -> Touch {
        let columns: Vec<&str> = columns.collect();
        let captured = |token: Option<&Token>| matches!(token, Some(Token::Word(word)) if columns.iter().any(|c| same(c, word)));
        let upper = |i: usize| match self.tokens.get(i) {
            Some(Token::Word(word)) => word.to_ascii_uppercase(),
            _ => String::new(),
        };
        for i in 0..self.tokens.len() {
            let skip = usize::from(upper(i + 1) == "COLUMN");
            let at = i + 1 + skip;
            match upper(i).as_str() {
                "DROP" => {
                    let at = at + if upper(at) == "IF" { 2 } else { 0 };
                    if captured(self.tokens.get(at)) {
                        return Touch::Rows("one of its columns was dropped");
                    }
                }
                "CHANGE" => {
                    let at = at + if upper(at) == "IF" { 2 } else { 0 };
                    let (old, new) = (self.tokens.get(at), self.tokens.get(at + 1));
                    let kept = matches!((old, new), (Some(Token::Word(a)), Some(Token::Word(b)))
                        if same(a, b));
                    if !kept && (captured(old) || captured(new)) {
                        return Touch::Rows("one of its columns was renamed");
                    }
                }
                "RENAME" if skip == 1 => {
                    let at = at + if upper(at) == "IF" { 2 } else { 0 };
                    if captured(self.tokens.get(at)) || captured(self.tokens.get(at + 2)) {
                        return Touch::Rows("one of its columns was renamed");
                    }
                }
                "RENAME" if !matches!(upper(i + 1).as_str(), "INDEX" | "KEY") => {
                    return Touch::Rows("it was renamed, or another table took its name");
                }
                _ => {}
            }
        }
        Touch::Schema
    }
}

/// Whether two names are one on some server.
fn same(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

fn lower(tokens: &[Token]) -> Vec<String> {
    tokens
        .iter()
        .filter_map(|token| match token {
            Token::Word(word) => Some(word.to_lowercase()),
            _ => None,
        })
        .collect()
}

/// `X'67',X'62',1`
fn xid(tokens: &[Token]) -> Option<Xid> {
    let mut parts = Vec::new();
    let mut number = 1;
    let mut hex = false;
    for token in tokens.iter().skip(2) {
        match token {
            Token::Word(word) if word.eq_ignore_ascii_case("x") => hex = true,
            Token::Word(word) => match word.strip_prefix("0x") {
                Some(digits) => parts.push(from_hex(digits)?),
                None => {
                    if let Ok(format) = word.parse() {
                        number = format;
                    }
                }
            },
            Token::Text(text) => {
                parts.push(if hex {
                    from_hex(text)?
                } else {
                    text.as_bytes().to_vec()
                });
                hex = false;
            }
            Token::Sign(_) => {}
        }
    }
    let mut parts = parts.into_iter();
    Some(Xid(number, parts.next()?, parts.next().unwrap_or_default()))
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Takes a statement apart. What is in comments that a server carries out counts; others do not.
fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match c {
            '\'' | '"' | '`' => {
                let mut text = String::new();
                while let Some(inside) = chars.next() {
                    if inside == c {
                        if chars.peek() != Some(&c) {
                            break;
                        }
                        chars.next();
                    } else if inside == '\\' && c != '`' {
                        text.extend(chars.next());
                        continue;
                    }
                    text.push(inside);
                }
                // Double quotes make a name under ANSI_QUOTES.
                tokens.push(match c {
                    '\'' => Token::Text(text),
                    _ => Token::Word(text),
                });
            }
            '#' => while chars.next().is_some_and(|c| c != '\n') {},
            '-' if next == Some('-') => {
                chars.next();
                if chars.peek().is_none_or(|c| c.is_whitespace()) {
                    while chars.next().is_some_and(|c| c != '\n') {}
                }
            }
            '/' if next == Some('*') => {
                chars.next();
                if chars.peek() == Some(&'M') {
                    let mut ahead = chars.clone();
                    ahead.next();
                    if ahead.peek() == Some(&'!') {
                        chars.next();
                    }
                }
                if chars.peek() == Some(&'!') {
                    chars.next();
                    while chars.peek().is_some_and(char::is_ascii_digit) {
                        chars.next();
                    }
                    continue;
                }
                let mut last = ' ';
                for inside in chars.by_ref() {
                    if last == '*' && inside == '/' {
                        break;
                    }
                    last = inside;
                }
            }
            c if c.is_whitespace() => {}
            c if is_word(c) => {
                let mut word = String::from(c);
                while let Some(more) = chars.next_if(|c| is_word(*c)) {
                    word.push(more);
                }
                tokens.push(Token::Word(word));
            }
            c => tokens.push(Token::Sign(c)),
        }
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

#[cfg(test)]
mod tests;

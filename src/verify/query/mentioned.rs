//! Which columns a query may read, judged by its words alone.
//!
//! Only those need a look at their data before the query is planned. Too many is only slower; a
//! column that is read without having been looked at has the type of its declaration.

use std::collections::HashSet;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// The words of a query.
#[derive(Debug)]
pub(super) struct Mentioned {
    words: HashSet<String>,
    /// Something stands for all columns.
    all: bool,
}

impl Mentioned {
    pub(super) fn of(statement: &Statement) -> Self {
        let text = statement.to_string();
        let mut words = HashSet::new();
        let Ok(tokens) = Tokenizer::new(&GenericDialect {}, &text).tokenize() else {
            return Self { words, all: true };
        };
        let mut all = false;
        let mut before = None;
        for token in tokens.iter().filter(|t| !matches!(t, Token::Whitespace(_))) {
            match token {
                Token::Word(word) => {
                    all |= word.value.eq_ignore_ascii_case("natural")
                        || word.value.eq_ignore_ascii_case("table");
                    words.insert(word.value.clone());
                }
                // `count(*)` reads no column; a product only seems to read all.
                Token::Mul => all |= before != Some(&Token::LParen),
                _ => {}
            }
            before = Some(token);
        }
        Self { words, all }
    }

    /// Every column.
    pub(super) fn all() -> Self {
        Self {
            words: HashSet::new(),
            all: true,
        }
    }

    /// Whether the query may read a column of this name.
    pub(super) fn may_read(&self, column: &str) -> bool {
        self.all || self.words.contains(column)
    }
}

#[cfg(test)]
mod tests {
    use super::Mentioned;
    use crate::verify::query::tables::parse;

    #[test]
    fn columns_are_known_by_their_words() {
        for (sql, reads) in [
            ("SELECT price FROM t", true),
            ("SELECT t.\"price\" FROM t", true),
            ("SELECT * FROM t", true),
            ("SELECT t.* FROM t", true),
            ("SELECT id FROM t NATURAL JOIN u", true),
            ("SELECT id FROM t WHERE id IN (SELECT price FROM u)", true),
            ("SELECT count(*) FROM t", false),
            ("SELECT id FROM t WHERE name = 'price'", false),
            ("EXPLAIN SELECT id FROM t", false),
        ] {
            let mentioned = Mentioned::of(&parse(sql).unwrap());
            assert_eq!(mentioned.may_read("price"), reads, "{sql}");
        }
    }
}

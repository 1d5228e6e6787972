//! `diff('monolith.customers', 'orders.customers', 'id')`: the rows of two tables that differ.
//!
//! One row for each key whose rows are not the same: the key's columns, `kind` (`only in a`,
//! `only in b`, `differs`), `columns` (the names of those that differ), and the cells of both sides
//! as `a_NAME` and `b_NAME`. Compared are the columns that both tables have. A difference is what SQL
//! says `IS DISTINCT FROM` of; types that differ are brought together as SQL does.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{ScalarValue, TableReference};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::Expr;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, TableFactor, Value, Visit, Visitor,
};

use crate::error::{Error, ErrorKind, Result};

use super::failure;
use super::lockstep::{Compared, Lockstep};
use super::tables::{Found, parse};

/// The function's name.
pub(super) const NAME: &str = "diff";

/// One use of the function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    /// The tables, as one writes them after FROM.
    a: String,
    b: String,
    /// The key's columns, with commas between them.
    key: String,
}

fn usage(message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Usage, format!("diff(a, b, key): {message}")).hint(
        "write diff('STORE.TABLE', 'STORE.TABLE', 'KEY COLUMN, …'), each of the three in quotes",
    )
}

/// All uses of the function in a statement.
pub(super) fn wanted(statement: &Statement) -> Result<Vec<Wanted>> {
    struct Uses(Vec<Result<Wanted>>);
    impl Visitor for Uses {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table {
                name,
                args: Some(args),
                ..
            } = factor
                && name.to_string().eq_ignore_ascii_case(NAME)
            {
                self.0.push(of(&args.args));
            }
            ControlFlow::Continue(())
        }
    }
    fn of(args: &[FunctionArg]) -> Result<Wanted> {
        let text = |arg: &FunctionArg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Value(value))) => {
                match &value.value {
                    Value::SingleQuotedString(text) => Some(text.clone()),
                    _ => None,
                }
            }
            _ => None,
        };
        match args.iter().map(text).collect::<Option<Vec<_>>>().as_deref() {
            Some([a, b, key]) => Ok(Wanted {
                a: a.clone(),
                b: b.clone(),
                key: key.clone(),
            }),
            _ => Err(usage("takes three texts")),
        }
    }
    let mut uses = Uses(Vec::new());
    if let Statement::Statement(inner) = plain(statement) {
        let _done = inner.visit(&mut uses);
    }
    uses.0.into_iter().collect()
}

fn plain(statement: &Statement) -> &Statement {
    match statement {
        Statement::Explain(explain) => plain(&explain.statement),
        other => other,
    }
}

impl Wanted {
    /// The tables that it compares.
    pub(super) fn tables(&self) -> Result<[TableReference; 2]> {
        Ok([table(&self.a)?, table(&self.b)?])
    }

    fn key(&self) -> Vec<&str> {
        self.key
            .split(',')
            .map(|k| k.trim().trim_matches('"'))
            .collect()
    }

    /// The columns that it compares, by index. `None`: what `sql` says is wrong.
    fn compared(&self, columns_a: &[String], columns_b: &[String]) -> Option<Compared> {
        let place = |columns: &[String], name: &str| {
            let name = find(columns, name)?;
            columns.iter().position(|c| *c == name)
        };
        let key: Vec<(usize, usize)> = self
            .key()
            .into_iter()
            .map(|name| Some((place(columns_a, name)?, place(columns_b, name)?)))
            .collect::<Option<_>>()?;
        let common = columns_a
            .iter()
            .enumerate()
            .filter(|(i, _)| key.iter().all(|(a, _)| a != i))
            .filter_map(|(i, name)| Some((i, place(columns_b, name)?, name.clone())))
            .collect();
        Some(Compared { key, common })
    }

    /// The query that it stands for.
    fn sql(&self, columns_a: &[String], columns_b: &[String]) -> Result<String> {
        let mut key = Vec::new();
        for name in self.key() {
            for (table, columns) in [(&self.a, columns_a), (&self.b, columns_b)] {
                if find(columns, name).is_none() {
                    return Err(usage(format!("table {table} has no column {name:?}"))
                        .hint(format!("its columns are {}", columns.join(", "))));
                }
            }
            key.extend(find(columns_a, name).zip(find(columns_b, name)));
        }
        let is_key = |column: &String| key.iter().any(|(a, _)| a == column);
        let common: Vec<(String, String)> = columns_a
            .iter()
            .filter(|c| !is_key(c))
            .filter_map(|a| Some((a.clone(), find(columns_b, a)?)))
            .collect();
        let q = quoted;
        let differs =
            |(a, b): &(String, String)| format!("(a.{} IS DISTINCT FROM b.{})", q(a), q(b));
        // Each name once: a second `kind` is `kind_2`.
        let mut taken = std::collections::HashSet::new();
        let mut named = |name: &str| {
            let mut unique = name.to_owned();
            let mut number = 2;
            while !taken.insert(unique.clone()) {
                unique = format!("{name}_{number}");
                number += 1;
            }
            q(&unique)
        };
        let mut list: Vec<String> = key
            .iter()
            .map(|(a, b)| format!("coalesce(a.{}, b.{}) AS {}", q(a), q(b), named(a)))
            .collect();
        let (kind, columns) = (named("kind"), named("columns"));
        list.push(format!(
            "CASE WHEN b.\" in b\" IS NULL THEN 'only in a' WHEN a.\" in a\" IS NULL THEN 'only in b' \
             ELSE 'differs' END AS {kind}"
        ));
        let names: Vec<String> = common
            .iter()
            .map(|pair| {
                let name = pair.0.replace('\'', "''");
                format!("CASE WHEN {} THEN '{name}' END", differs(pair))
            })
            .collect();
        list.push(if names.is_empty() {
            format!("'' AS {columns}")
        } else {
            format!(
                "CASE WHEN a.\" in a\" AND b.\" in b\" THEN concat_ws(', ', {}) END AS {columns}",
                names.join(", ")
            )
        });
        for (a, b) in &common {
            list.push(format!("a.{} AS {}", q(a), named(&format!("a_{a}"))));
            list.push(format!("b.{} AS {}", q(b), named(&format!("b_{a}"))));
        }
        let on: Vec<String> = key
            .iter()
            .map(|(a, b)| format!("(a.{} IS NOT DISTINCT FROM b.{})", q(a), q(b)))
            .collect();
        let mut conditions = vec![
            "a.\" in a\" IS NULL".to_owned(),
            "b.\" in b\" IS NULL".to_owned(),
        ];
        conditions.extend(common.iter().map(differs));
        let [a, b] = self.tables()?.map(|table| spelt(&table));
        Ok(format!(
            "SELECT {} FROM (SELECT *, true AS \" in a\" FROM {}) a \
             FULL JOIN (SELECT *, true AS \" in b\" FROM {}) b ON {} WHERE {}",
            list.join(", "),
            a,
            b,
            on.join(" AND "),
            conditions.join(" OR ")
        ))
    }
}

/// The one table that `FROM text` would mean.
fn table(text: &str) -> Result<TableReference> {
    let statement = parse(&format!("SELECT * FROM {text}"))
        .map_err(|e| usage(format!("{text:?} is no table: {}", e.message())))?;
    let (mut found, _) = resolve_table_references(&statement, false).map_err(failure::syntax)?;
    match (found.pop(), found.is_empty()) {
        // Nothing but a name: what else stands there would change what is compared.
        (Some(table), true) if is_name(&statement) => Ok(table),
        _ => Err(usage(format!("{text:?} is not the name of one table"))),
    }
}

/// Whether a statement is `SELECT * FROM name`.
fn is_name(statement: &Statement) -> bool {
    let text = statement.to_string();
    let Some(name) = text.strip_prefix("SELECT * FROM ") else {
        return false;
    };
    let mut quote = None;
    name.chars().all(|c| match quote {
        Some(q) => {
            if c == q {
                quote = None;
            }
            true
        }
        None => {
            if c == '"' || c == '\'' {
                quote = Some(c);
            }
            !c.is_whitespace()
        }
    })
}

/// The column of this name, in other case if there is none.
fn find(columns: &[String], name: &str) -> Option<String> {
    let exact = columns.iter().find(|c| *c == name);
    exact
        .or_else(|| columns.iter().find(|c| c.eq_ignore_ascii_case(name)))
        .cloned()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The table's name, quoted.
fn spelt(table: &TableReference) -> String {
    match table.schema() {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(table.table())),
        None => quoted(table.table()),
    }
}

/// Makes the function known, with the tables that a statement compares.
pub(super) async fn register(
    context: &SessionContext,
    wanted: &[Wanted],
    found: &Found,
    in_one_process: bool,
) -> Result<()> {
    let mut known: HashMap<Wanted, Arc<dyn TableProvider>> = HashMap::new();
    for one in wanted {
        let [a, b] = one.tables()?;
        let sql = one.sql(&found.columns_of(&a), &found.columns_of(&b))?;
        let view = context
            .sql(&sql)
            .await
            .map_err(|e| failure::planning(e, found))?
            .into_view();
        let lockstep = match (found.sorted_files(&[&a, &b]), in_one_process) {
            (Some(files), true) => {
                let compared = one.compared(&found.columns_of(&a), &found.columns_of(&b));
                match compared {
                    Some(compared) => Lockstep::of(files, compared, view.schema()).await,
                    None => Ok(None),
                }
            }
            _ => Ok(None),
        };
        let lockstep = lockstep.map_err(|e| failure::planning(e, found))?;
        let table = match lockstep {
            Some(lockstep) => Arc::new(lockstep),
            None => view,
        };
        known.insert(one.clone(), table);
    }
    let diff = Arc::new(Diff(known));
    for name in [NAME.to_owned(), NAME.to_uppercase()] {
        context.register_udtf(&name, Arc::<Diff>::clone(&diff));
    }
    Ok(())
}

#[derive(Debug)]
struct Diff(HashMap<Wanted, Arc<dyn TableProvider>>);

impl TableFunctionImpl for Diff {
    fn call_with_args(
        &self,
        args: TableFunctionArgs<'_, '_>,
    ) -> PlanResult<Arc<dyn TableProvider>> {
        let texts: Option<Vec<&str>> = args
            .exprs()
            .iter()
            .map(|arg| match arg {
                Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let found = match texts.as_deref() {
            Some(&[a, b, key]) => self.0.get(&Wanted {
                a: a.to_owned(),
                b: b.to_owned(),
                key: key.to_owned(),
            }),
            _ => None,
        };
        found
            .cloned()
            .ok_or_else(|| DataFusionError::Plan("diff(a, b, key) takes three texts".to_owned()))
    }
}

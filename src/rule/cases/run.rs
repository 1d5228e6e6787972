//! Asking a rule the cases and comparing what it answers.

use toml::{Table, Value as Toml};

use crate::data::{Row, Value};
use crate::rule::{
    Conflict, Direction, Note, RequestHead, Resolve, Route, RouteDecision, Routed, RuleError,
    RuleTable, Severity, Transform, TransformTables, Validate, Verdict, answer,
};

use super::file::{Became, Case, CaseFile, Expect, ExpectNote, Question};
use super::show::{quote, show_cells, show_row, show_value, show_verdict};
use super::{CaseReport, CaseResult};

/// The roles that a rule fulfils.
#[derive(Clone, Copy, Default)]
#[expect(
    missing_debug_implementations,
    reason = "the traits do not ask for Debug"
)]
pub struct Rules<'a> {
    /// Decides conflicts.
    pub resolve: Option<&'a dyn Resolve>,
    /// Reshapes rows.
    pub transform: Option<&'a dyn Transform>,
    /// Judges rows.
    pub validate: Option<&'a dyn Validate>,
    /// Sends requests.
    pub route: Option<&'a dyn Route>,
}

/// Runs all cases of a file. A role that the rule does not fulfil fails its cases.
#[must_use]
pub fn run(file: &CaseFile, rules: &Rules<'_>) -> CaseReport {
    CaseReport {
        file: file.name.clone(),
        cases: file
            .cases
            .iter()
            .map(|case| one(file, case, rules))
            .collect(),
    }
}

type Check = Result<(), String>;

fn one(file: &CaseFile, case: &Case, rules: &Rules<'_>) -> CaseResult {
    let (role, outcome) = match &case.question {
        Question::Resolve(conflict, expect) => (
            "resolve",
            rules.resolve.map(|rule| match &file.table {
                Some(table) => resolve(rule, table, conflict, expect),
                None => Err("the file has no [table]".to_owned()),
            }),
        ),
        Question::Transform {
            direction,
            table,
            rows,
            expect,
        } => (
            "transform",
            rules.transform.map(|rule| match &file.tables {
                Some(tables) => {
                    let answer = rule.transform(tables, *direction, *table, rows);
                    transform(tables, *direction, rows, answer, expect)
                }
                None => Err("the file has no [source]".to_owned()),
            }),
        ),
        Question::Validate { rows, expect } => (
            "validate",
            rules.validate.map(|rule| match &file.table {
                Some(table) => validate(rows, rule.validate(table, rows), expect),
                None => Err("the file has no [table]".to_owned()),
            }),
        ),
        Question::Route(request, expect) => (
            "route",
            rules.route.map(|rule| route(rule.route(request), expect)),
        ),
    };
    let outcome = outcome.unwrap_or_else(|| Err(format!("the rule does not answer {role}")));
    CaseResult {
        name: case.name.clone(),
        line: case.line,
        role,
        failure: outcome.err(),
    }
}

/// What was expected and found, one under the other.
fn differ(expected: &str, found: &str) -> String {
    format!("expected  {expected}\nfound     {found}")
}

/// A failure that was expected, or not.
fn failed(error: &RuleError, expected: Option<&str>, otherwise: &str) -> Check {
    match expected {
        Some(part) if error.message.contains(part) => Ok(()),
        Some(part) => Err(differ(
            &format!("a failure with {part:?}"),
            &error.to_string(),
        )),
        None => Err(differ(otherwise, &error.to_string())),
    }
}

fn resolve(rule: &dyn Resolve, table: &RuleTable, conflict: &Conflict, expect: &Expect) -> Check {
    let expected = match expect {
        Expect::Source => "\"source\"".to_owned(),
        Expect::Target => "\"target\"".to_owned(),
        Expect::Delete => "\"delete\"".to_owned(),
        Expect::KeepBoth => "\"keep-both\"".to_owned(),
        Expect::Merged(row) => format!("{{ merged = {} }}", show_row(table, row)),
        Expect::Park(why) if why.is_empty() => "\"park\"".to_owned(),
        Expect::Park(why) => format!("a park with {why:?}"),
        Expect::Fails(text) => format!("a failure with {text:?}"),
    };
    let conflicts = std::slice::from_ref(conflict);
    let answers = match rule.resolve(table, conflicts) {
        Ok(answers) => answers,
        Err(e) => {
            let part = match expect {
                Expect::Fails(part) => Some(part.as_str()),
                _ => None,
            };
            return failed(&e, part, &expected);
        }
    };
    answer::verdicts(table, conflicts, &answers).map_err(|w| differ(&expected, &w.message))?;
    let Some(found) = answers.first() else {
        return Err(differ(&expected, "no verdict"));
    };
    let agrees = match (expect, found) {
        (Expect::Source, Verdict::Source)
        | (Expect::Target, Verdict::Target)
        | (Expect::Delete, Verdict::Delete)
        | (Expect::KeepBoth, Verdict::KeepBoth { .. }) => true,
        (Expect::Merged(row), Verdict::Merged(merged)) => row == merged,
        (Expect::Park(part), Verdict::Park(why)) => why.contains(part.as_str()),
        _ => false,
    };
    if agrees {
        return Ok(());
    }
    let mut text = differ(&expected, &show_verdict(table, found));
    if let (Expect::Merged(expected), Verdict::Merged(found)) = (expect, found) {
        for ((column, expected), found) in table.columns.iter().zip(expected).zip(found) {
            if expected != found {
                text.push_str(&format!(
                    "\ncolumn {}: expected {}, found {}",
                    column.name,
                    show_value(column.logical, expected),
                    show_value(column.logical, found)
                ));
            }
        }
    }
    Err(text)
}

fn show_became(tables: &TransformTables, direction: Direction, became: &Became) -> String {
    let show = |(n, cells): &(usize, Vec<(usize, Value)>)| {
        tables.get(*n).map_or_else(String::new, |table| {
            let cells = show_cells(table, cells.iter().map(|(c, v)| (*c, v)), true);
            match direction {
                Direction::Forward => format!("{} = {cells}", table.name),
                Direction::Backward => cells,
            }
        })
    };
    match (became.is_empty(), direction) {
        (true, _) => "\"drop\"".to_owned(),
        (false, Direction::Backward) => became.iter().map(show).collect(),
        (false, Direction::Forward) => {
            format!(
                "{{ {} }}",
                became.iter().map(show).collect::<Vec<_>>().join(", ")
            )
        }
    }
}

fn transform(
    tables: &TransformTables,
    direction: Direction,
    rows: &[Row],
    answer: Result<Vec<Routed>, RuleError>,
    expect: &Result<Vec<Became>, String>,
) -> Check {
    let all = |expect: &[Became]| {
        expect
            .iter()
            .map(|b| show_became(tables, direction, b))
            .collect::<Vec<_>>()
            .join("\n          ")
    };
    let expected = match expect {
        Ok(expect) => all(expect),
        Err(part) => format!("a failure with {part:?}"),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(e) => return failed(&e, expect.as_ref().err().map(String::as_str), &expected),
    };
    answer::routed(tables, direction, rows, &answer).map_err(|w| differ(&expected, &w.message))?;
    let mut found: Vec<Became> = vec![Vec::new(); rows.len()];
    for group in answer {
        for (row, origin) in group.rows.into_iter().zip(group.origins) {
            let mut cells: Vec<(usize, Value)> = group.columns.iter().copied().zip(row).collect();
            cells.sort_by_key(|(column, _)| *column);
            if let Some(became) = found.get_mut(origin) {
                became.push((group.table, cells));
            }
        }
    }
    for became in &mut found {
        became.sort_by_key(|(table, _)| *table);
    }
    let mut sorted = expect.clone();
    for (_, cells) in sorted.iter_mut().flatten().flatten() {
        cells.sort_by_key(|(column, _)| *column);
    }
    if sorted.as_ref() == Ok(&found) {
        Ok(())
    } else {
        Err(differ(&expected, &all(&found)))
    }
}

fn validate(
    rows: &[Row],
    answer: Result<Vec<Note>, RuleError>,
    expect: &Result<Vec<Vec<ExpectNote>>, String>,
) -> Check {
    let show = |notes: &[(Severity, &str)]| match notes {
        [] => "\"fine\"".to_owned(),
        notes => notes
            .iter()
            .map(|(severity, message)| {
                let kind = if *severity == Severity::Error {
                    "error"
                } else {
                    "warning"
                };
                format!("{{ {kind} = {} }}", quote(message))
            })
            .collect::<Vec<_>>()
            .join(", "),
    };
    let expected = match expect {
        Err(part) => format!("a failure with {part:?}"),
        Ok(expect) => expect
            .iter()
            .map(|notes| {
                let notes: Vec<_> = notes
                    .iter()
                    .map(|n| (n.severity, n.message.as_str()))
                    .collect();
                show(&notes)
            })
            .collect::<Vec<_>>()
            .join("\n          "),
    };
    let notes = match answer {
        Ok(notes) => notes,
        Err(e) => return failed(&e, expect.as_ref().err().map(String::as_str), &expected),
    };
    answer::notes(rows.len(), &notes).map_err(|w| differ(&expected, &w.message))?;
    let found: Vec<Vec<(Severity, &str)>> = (0..rows.len())
        .map(|row| {
            notes
                .iter()
                .filter(|n| n.row == row)
                .map(|n| (n.severity, n.message.as_str()))
                .collect()
        })
        .collect();
    let agrees = expect.as_ref().is_ok_and(|expect| {
        expect.iter().zip(&found).all(|(expect, found)| {
            expect.len() == found.len()
                && expect.iter().zip(found).all(|(e, (severity, message))| {
                    e.severity == *severity && message.contains(&e.message)
                })
        })
    });
    if agrees {
        Ok(())
    } else {
        let found: Vec<String> = found.iter().map(|notes| show(notes)).collect();
        Err(differ(&expected, &found.join("\n          ")))
    }
}

// ---------------------------------------------------------------------------------------------

fn headers(written: &Toml) -> Result<Vec<(String, String)>, String> {
    written
        .as_table()
        .ok_or_else(|| format!("headers are written {{ name = \"value\" }}, found {written}"))?
        .iter()
        .map(|(name, value)| match value {
            Toml::String(text) => Ok((name.clone(), text.clone())),
            other => Err(format!("header {name} must be a text, found {other}")),
        })
        .collect()
}

/// Reads the case of a router.
pub(super) fn route_question(case: &Table, expect: &Toml) -> Result<Question, String> {
    let written = case
        .get("request")
        .and_then(Toml::as_table)
        .ok_or("request must be { method = …, path = … }")?;
    let mut request = RequestHead {
        method: "GET".to_owned(),
        ..RequestHead::default()
    };
    for (key, value) in written {
        if key == "headers" {
            request.headers = headers(value)?
                .into_iter()
                .map(|(name, value)| (name.to_lowercase(), value))
                .collect();
            continue;
        }
        let text = value
            .as_str()
            .ok_or_else(|| format!("request: {key} must be a text, found {value}"))?
            .to_owned();
        match key.as_str() {
            "method" => request.method = text,
            "path" => request.path = text,
            "query" => request.query = text,
            "client" => request.client = text,
            "service" => request.service = text,
            other => {
                return Err(format!(
                    "request: unknown key {other:?}; the keys are method, path, query, headers, \
                     client, service"
                ));
            }
        }
    }
    let none = Vec::new;
    let decision = match expect {
        Toml::String(text) if text == "monolith" => Ok(RouteDecision::Monolith { headers: none() }),
        Toml::String(text) if text == "service" => Ok(RouteDecision::Service { headers: none() }),
        Toml::String(text) if text == "default" => Ok(RouteDecision::Default),
        Toml::Table(table) => {
            if let Some(set) = table.get("monolith") {
                Ok(RouteDecision::Monolith {
                    headers: headers(set)?,
                })
            } else if let Some(set) = table.get("service") {
                Ok(RouteDecision::Service {
                    headers: headers(set)?,
                })
            } else if let Some(Toml::Integer(status)) = table.get("refuse") {
                Ok(RouteDecision::Refuse {
                    status: u16::try_from(*status).map_err(|_| format!("{status} is no status"))?,
                    message: table
                        .get("message")
                        .and_then(Toml::as_str)
                        .unwrap_or_default()
                        .to_owned(),
                })
            } else if let Some(Toml::String(part)) = table.get("fails") {
                Err(part.clone())
            } else {
                return Err(unknown_decision(expect));
            }
        }
        _ => return Err(unknown_decision(expect)),
    };
    Ok(Question::Route(request, decision))
}

fn unknown_decision(expect: &Toml) -> String {
    format!(
        "expect is \"monolith\", \"service\", \"default\", {{ service = {{ header = \"…\" }} }}, \
         {{ refuse = 403 }} or {{ fails = \"…\" }}; found {expect}"
    )
}

fn route(
    answer: Result<RouteDecision, RuleError>,
    expect: &Result<RouteDecision, String>,
) -> Check {
    let show = |decision: &RouteDecision| {
        let set = |headers: &[(String, String)]| {
            headers
                .iter()
                .map(|(n, v)| format!(", setting {n}: {v}"))
                .collect::<String>()
        };
        match decision {
            RouteDecision::Monolith { headers } => format!("monolith{}", set(headers)),
            RouteDecision::Service { headers } => format!("service{}", set(headers)),
            RouteDecision::Default => "default".to_owned(),
            RouteDecision::Refuse { status, message } => format!("refuse {status} {message:?}"),
        }
    };
    let expected = match expect {
        Ok(decision) => show(decision),
        Err(part) => format!("a failure with {part:?}"),
    };
    match answer {
        Err(e) => failed(&e, expect.as_ref().err().map(String::as_str), &expected),
        Ok(found) => {
            answer::decision(&found).map_err(|w| differ(&expected, &w.message))?;
            let agrees = match (expect, &found) {
                // A message that the case does not give is not compared.
                (
                    Ok(RouteDecision::Refuse { status, message }),
                    RouteDecision::Refuse {
                        status: found,
                        message: said,
                    },
                ) => status == found && said.contains(message.as_str()),
                (Ok(expect), found) => expect == found,
                (Err(_), _) => false,
            };
            if agrees {
                Ok(())
            } else {
                Err(differ(&expected, &show(&found)))
            }
        }
    }
}

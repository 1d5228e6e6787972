//! [`Plugin`] fulfils the four traits.

use crate::data::Row;
use crate::rule::{
    Conflict, Direction, Note, RequestHead, Resolve, Route, RouteDecision, Routed, RuleError,
    RuleInfo, RuleTable, Transform, TransformTables, Validate, Verdict,
};

use super::batch::Question;
use super::loaded::Plugin;
use super::v0_1::columns::RowsBuffer;
use super::v0_1::questions::{self, ConflictColumns};

impl Resolve for Plugin {
    fn describe(&self) -> RuleInfo {
        self.info()
    }

    fn resolve(
        &self,
        table: &RuleTable,
        conflicts: &[Conflict],
    ) -> Result<Vec<Verdict>, RuleError> {
        if conflicts.is_empty() {
            return Ok(Vec::new());
        }
        let columns = ConflictColumns::new(table.columns.len(), conflicts);
        let question = Question {
            function: "resolve",
            table: &table.name,
            rows: conflicts.len(),
            bytes: columns.bytes(),
        };
        self.ask(question, &[table], |running| {
            questions::resolve(running, table, conflicts, &columns)
        })
    }
}

impl Transform for Plugin {
    fn describe(&self) -> RuleInfo {
        self.info()
    }

    fn transform(
        &self,
        tables: &TransformTables,
        direction: Direction,
        table: usize,
        rows: &[Row],
    ) -> Result<Vec<Routed>, RuleError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let given = tables.get(table);
        let width = given.map_or(0, |t| t.columns.len());
        let columns = RowsBuffer::new(rows.len(), width, |i| Some(&rows[i]));
        let question = Question {
            function: "transform",
            table: given.map_or("", |t| &t.name),
            rows: rows.len(),
            bytes: columns.bytes(),
        };
        let mut opened = vec![&tables.source];
        opened.extend(&tables.targets);
        self.ask(question, &opened, |running| {
            questions::transform(running, tables, direction, table, rows, &columns)
        })
    }
}

impl Validate for Plugin {
    fn describe(&self) -> RuleInfo {
        self.info()
    }

    fn validate(&self, table: &RuleTable, rows: &[Row]) -> Result<Vec<Note>, RuleError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let columns = RowsBuffer::new(rows.len(), table.columns.len(), |i| Some(&rows[i]));
        let question = Question {
            function: "validate",
            table: &table.name,
            rows: rows.len(),
            bytes: columns.bytes(),
        };
        self.ask(question, &[table], |running| {
            questions::validate(running, table, rows.len(), &columns)
        })
    }
}

impl Route for Plugin {
    fn describe(&self) -> RuleInfo {
        self.info()
    }

    fn route(&self, request: &RequestHead) -> Result<RouteDecision, RuleError> {
        let question = Question {
            function: "route",
            table: "",
            rows: 1,
            bytes: request.path.len()
                + request.query.len()
                + request
                    .headers
                    .iter()
                    .map(|(name, value)| name.len() + value.len())
                    .sum::<usize>(),
        };
        self.ask(question, &[], |running| questions::route(running, request))
    }
}

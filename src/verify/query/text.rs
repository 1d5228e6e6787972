//! A scan as it travels to a worker: a store is a name there.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion_proto::protobuf;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::data::{Column, Generated, Key, LogicalType, TableSchema, canonical};
use crate::database::ReadStore;
use crate::verify::cluster::other_configuration;
use crate::verify::ledger::{hex, unhex};
use crate::verify::side::Range;

use super::scan::{Instant, Scan, StoreScan};
use super::types::ColumnType;

/// See the module's text.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::verify) struct ScanText {
    /// The store's name.
    pub(in crate::verify) store: String,
    /// What tells its database from others.
    place: String,
    table: String,
    /// The columns' names and Arrow types, as DataFusion's protocol has them, in hex.
    schema: String,
    /// Of each column: whether values of other kinds are shown as text, and whether there are none.
    columns: Vec<(bool, bool)>,
    key: Vec<usize>,
    read: Vec<usize>,
    order: Vec<String>,
    filter: Option<String>,
    limit: Option<usize>,
    rows: Option<u64>,
    parts: Vec<Option<(Option<String>, Option<String>)>>,
    instant: Option<String>,
}

fn damaged(what: &str) -> DataFusionError {
    DataFusionError::Internal(format!("{what} of a scan cannot be read"))
}

impl StoreScan {
    /// Shares for so many tasks: parts that follow each other.
    pub(in crate::verify) fn shares(&self, tasks: usize) -> PlanResult<Vec<Self>> {
        let each = self.scan.parts.len().div_ceil(tasks.max(1));
        let schema = self.full_schema();
        (0..tasks)
            .map(|task| {
                let own = self.scan.parts.iter().skip(task * each).take(each);
                let mut parts: Vec<_> = own.cloned().collect();
                parts.resize(each, None);
                let scan = Scan {
                    parts,
                    ..self.scan.clone()
                };
                Self::ordered(scan, &schema, self.order.clone())
            })
            .collect()
    }

    /// How many parts there are.
    pub(in crate::verify) fn parts(&self) -> usize {
        self.scan.parts.len()
    }

    fn full_schema(&self) -> Arc<Schema> {
        let columns = self.scan.table.columns.iter().zip(self.scan.types.iter());
        let fields = columns.map(|(c, t)| Field::new(&c.name, t.arrow.clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// As it travels.
    pub(in crate::verify) fn to_text(&self) -> PlanResult<ScanText> {
        let scan = &self.scan;
        let schema = protobuf::Schema::try_from(&*self.full_schema())
            .map_err(|e| DataFusionError::External(Box::new(e)))?;
        let key = |key: &Option<Key>| key.as_ref().map(|k| hex(&canonical::encode_exact(&k.0)));
        let parts = scan.parts.iter().map(|part| {
            let range = part.as_ref()?;
            Some((key(&range.after), key(&range.up_to)))
        });
        Ok(ScanText {
            store: scan.store.name().to_owned(),
            place: scan.store.place(),
            table: scan.table.name.clone(),
            schema: hex(&schema.encode_to_vec()),
            columns: scan
                .types
                .iter()
                .map(|t| (t.as_text, t.guaranteed))
                .collect(),
            key: scan.table.key.clone(),
            read: scan.columns.clone(),
            order: self.order.clone(),
            filter: scan.filter.clone(),
            limit: scan.limit,
            rows: scan.rows,
            parts: parts.collect(),
            instant: scan.instant.as_ref().map(|i| i.name.clone()),
        })
    }

    /// The scan of this store.
    pub(in crate::verify) fn of_text(
        text: ScanText,
        store: Arc<dyn ReadStore>,
    ) -> PlanResult<Self> {
        if store.place() != text.place {
            let error = other_configuration(&format!("store {}", text.store));
            return Err(DataFusionError::External(Box::new(error)));
        }
        let bytes = unhex(&text.schema).ok_or_else(|| damaged("the schema"))?;
        let schema = protobuf::Schema::decode(&*bytes).map_err(|_| damaged("the schema"))?;
        let schema = Schema::try_from(&schema).map_err(|_| damaged("the schema"))?;
        if text.columns.len() != schema.fields().len() {
            return Err(damaged("the columns"));
        }
        // What it needs to read, and to name a row.
        let columns = schema.fields().iter().map(|field| Column {
            name: field.name().clone(),
            declared_type: String::new(),
            logical: LogicalType::Any,
            nullable: true,
            default: None,
            generated: Generated::No,
            collation: None,
        });
        let table = TableSchema {
            name: text.table,
            columns: columns.collect(),
            key: text.key,
            unique: Vec::new(),
            foreign_keys: Vec::new(),
            without_rowid: false,
            strict: false,
            encoding: None,
            triggers: Vec::new(),
        };
        let types = schema.fields().iter().zip(text.columns);
        let types = types.map(|(field, (as_text, guaranteed))| ColumnType {
            arrow: field.data_type().clone(),
            as_text,
            guaranteed,
        });
        let key = |text: Option<String>| match text {
            None => Ok(None),
            Some(text) => unhex(&text)
                .and_then(|bytes| canonical::decode(&bytes).ok())
                .map(|cells| Some(Key(cells)))
                .ok_or_else(|| damaged("a key")),
        };
        let part = |part: Option<(Option<String>, Option<String>)>| {
            part.map(|(after, up_to)| {
                Ok(Range {
                    after: key(after)?,
                    up_to: key(up_to)?,
                    ordinal: 0,
                })
            })
            .transpose()
        };
        let scan = Scan {
            store,
            table: Arc::new(table),
            types: Arc::new(types.collect()),
            columns: text.read,
            filter: text.filter,
            limit: text.limit,
            rows: text.rows,
            parts: text
                .parts
                .into_iter()
                .map(part)
                .collect::<PlanResult<_>>()?,
            instant: text.instant.map(|name| Instant { name, _kept: None }),
        };
        Self::ordered(scan, &Arc::new(schema), text.order)
    }
}

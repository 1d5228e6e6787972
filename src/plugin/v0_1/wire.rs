//! The types of `wit/0.1.0` as they cross the boundary: borrowed on the way in, owned on the way
//! out. They are derived by hand because generated bindings would copy every column once more.
//! wasmtime compares them with the component's own types when it is loaded.

use wasmtime::component::{ComponentType, Lift, Lower};

/// `types.utf8`, on the way in.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Utf8<'a> {
    pub(crate) ends: &'a [u32],
    pub(crate) data: &'a str,
}

/// `types.binary`, on the way in.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Binary<'a> {
    pub(crate) ends: &'a [u32],
    pub(crate) data: &'a [u8],
}

/// `types.cells`, on the way in.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(variant)]
pub(crate) enum Cells<'a> {
    #[component(name = "nothing")]
    Nothing,
    #[component(name = "boolean")]
    Boolean(&'a [u8]),
    #[component(name = "int64")]
    Int64(&'a [i64]),
    #[component(name = "uint64")]
    Uint64(&'a [u64]),
    #[component(name = "float64")]
    Float64(&'a [f64]),
    #[component(name = "decimal")]
    Decimal(Utf8<'a>),
    #[component(name = "text")]
    Text(Utf8<'a>),
    #[component(name = "bytes")]
    Bytes(Binary<'a>),
    #[component(name = "date")]
    Date(&'a [i32]),
    #[component(name = "time")]
    Time(&'a [i64]),
    #[component(name = "timestamp")]
    Timestamp(&'a [i64]),
    #[component(name = "timestamp-utc")]
    TimestampUtc(&'a [i64]),
    #[component(name = "uuid")]
    Uuid(&'a [u8]),
    #[component(name = "json")]
    Json(Utf8<'a>),
    #[component(name = "other")]
    Other(Binary<'a>),
}

/// `types.column`, on the way in.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Column<'a> {
    pub(crate) nulls: &'a [u8],
    pub(crate) cells: Cells<'a>,
}

/// `types.rows`, on the way in.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Rows<'a> {
    pub(crate) count: u32,
    pub(crate) columns: &'a [Column<'a>],
}

/// `types.utf8`, on the way out.
#[derive(Clone, PartialEq, Debug, Default, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Utf8Out {
    pub(crate) ends: Vec<u32>,
    pub(crate) data: String,
}

/// `types.binary`, on the way out.
#[derive(Clone, PartialEq, Debug, Default, ComponentType, Lift)]
#[component(record)]
pub(crate) struct BinaryOut {
    pub(crate) ends: Vec<u32>,
    pub(crate) data: Vec<u8>,
}

/// `types.cells`, on the way out.
#[derive(Clone, PartialEq, Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum CellsOut {
    #[component(name = "nothing")]
    Nothing,
    #[component(name = "boolean")]
    Boolean(Vec<u8>),
    #[component(name = "int64")]
    Int64(Vec<i64>),
    #[component(name = "uint64")]
    Uint64(Vec<u64>),
    #[component(name = "float64")]
    Float64(Vec<f64>),
    #[component(name = "decimal")]
    Decimal(Utf8Out),
    #[component(name = "text")]
    Text(Utf8Out),
    #[component(name = "bytes")]
    Bytes(BinaryOut),
    #[component(name = "date")]
    Date(Vec<i32>),
    #[component(name = "time")]
    Time(Vec<i64>),
    #[component(name = "timestamp")]
    Timestamp(Vec<i64>),
    #[component(name = "timestamp-utc")]
    TimestampUtc(Vec<i64>),
    #[component(name = "uuid")]
    Uuid(Vec<u8>),
    #[component(name = "json")]
    Json(Utf8Out),
    #[component(name = "other")]
    Other(BinaryOut),
}

/// `types.column`, on the way out.
#[derive(Clone, PartialEq, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct ColumnOut {
    pub(crate) nulls: Vec<u8>,
    pub(crate) cells: CellsOut,
}

/// `types.rows`, on the way out.
#[derive(Clone, PartialEq, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct RowsOut {
    pub(crate) count: u32,
    pub(crate) columns: Vec<ColumnOut>,
}

/// `types.logical-type`.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum LogicalType {
    #[component(name = "any")]
    Any,
    #[component(name = "boolean")]
    Boolean,
    #[component(name = "int64")]
    Int64,
    #[component(name = "uint64")]
    Uint64,
    #[component(name = "float64")]
    Float64,
    #[component(name = "decimal")]
    Decimal,
    #[component(name = "text")]
    Text,
    #[component(name = "bytes")]
    Bytes,
    #[component(name = "date")]
    Date,
    #[component(name = "time")]
    Time,
    #[component(name = "timestamp")]
    Timestamp,
    #[component(name = "timestamp-utc")]
    TimestampUtc,
    #[component(name = "uuid")]
    Uuid,
    #[component(name = "json")]
    Json,
    #[component(name = "other")]
    #[expect(dead_code, reason = "for types that this version does not have")]
    Other,
}

/// `types.column-def`.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct ColumnDef<'a> {
    pub(crate) name: &'a str,
    #[component(name = "source-type")]
    pub(crate) source_type: &'a str,
    #[component(name = "logical-type")]
    pub(crate) logical_type: LogicalType,
    pub(crate) nullable: bool,
}

/// `types.table`.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Table<'a> {
    pub(crate) name: &'a str,
    pub(crate) columns: Vec<ColumnDef<'a>>,
    pub(crate) key: Vec<u16>,
}

/// `types.direction`.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum Direction {
    #[component(name = "forward")]
    Forward,
    #[component(name = "backward")]
    Backward,
}

/// `types.severity`.
#[derive(Clone, Copy, PartialEq, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made by lifting what a guest answers")]
pub(crate) enum Severity {
    #[component(name = "warning")]
    Warning,
    #[component(name = "error")]
    Error,
}

/// `types.note`.
#[derive(Clone, PartialEq, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Note {
    pub(crate) row: u32,
    pub(crate) severity: Severity,
    pub(crate) message: String,
}

/// `types.rejection`.
#[derive(Clone, PartialEq, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Rejection {
    pub(crate) row: Option<u32>,
    pub(crate) message: String,
}

/// `types.failure`.
#[derive(Clone, PartialEq, Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum Failure {
    #[component(name = "reject")]
    Reject(Rejection),
    #[component(name = "fatal")]
    Fatal(String),
}

/// `host.level`.
#[derive(Clone, Copy, PartialEq, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made by lifting what a guest answers")]
pub(crate) enum Level {
    #[component(name = "error")]
    Error,
    #[component(name = "warn")]
    Warn,
    #[component(name = "info")]
    Info,
    #[component(name = "debug")]
    Debug,
    #[component(name = "trace")]
    Trace,
}

/// `lifecycle.info`.
#[derive(Clone, PartialEq, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Info {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) summary: String,
}

/// `resolver.base`.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Base<'a> {
    pub(crate) known: &'a [u8],
    pub(crate) present: &'a [u8],
    pub(crate) rows: Rows<'a>,
}

/// `resolver.side`.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Side<'a> {
    pub(crate) present: &'a [u8],
    #[component(name = "committed-known")]
    pub(crate) committed_known: &'a [u8],
    #[component(name = "committed-us")]
    pub(crate) committed_us: &'a [i64],
    pub(crate) rows: Rows<'a>,
}

/// `resolver.conflicts`.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Conflicts<'a> {
    pub(crate) kinds: &'a [u8],
    pub(crate) backward: &'a [u8],
    pub(crate) base: Base<'a>,
    pub(crate) source: Side<'a>,
    pub(crate) target: Side<'a>,
}

/// `resolver.verdicts`.
#[derive(Clone, PartialEq, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Verdicts {
    pub(crate) choices: Vec<u8>,
    pub(crate) merged: RowsOut,
    pub(crate) notes: Vec<Note>,
}

/// `transformer.routed-rows`.
#[derive(Clone, PartialEq, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct RoutedRows {
    pub(crate) table: u32,
    pub(crate) columns: Vec<u16>,
    pub(crate) origins: Vec<u32>,
    pub(crate) rows: RowsOut,
}

/// `router.header`, on the way in.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Header<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a str,
}

/// `router.header`, on the way out.
#[derive(Clone, PartialEq, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct HeaderOut {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// `router.request-head`.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct RequestHead<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: Vec<Header<'a>>,
    pub(crate) client: &'a str,
    pub(crate) service: &'a str,
}

/// `router.refusal`.
#[derive(Clone, PartialEq, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: String,
}

/// `router.decision`.
#[derive(Clone, PartialEq, Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum Decision {
    #[component(name = "monolith")]
    Monolith(Vec<HeaderOut>),
    #[component(name = "service")]
    Service(Vec<HeaderOut>),
    #[component(name = "by-strategy")]
    ByStrategy,
    #[component(name = "refuse")]
    Refuse(Refusal),
}

/// The parameters and results of each function.
pub(crate) type DescribeIn = ();
pub(crate) type DescribeOut = (Info,);
pub(crate) type OpenIn<'a> = (&'a str, &'a [Table<'a>]);
pub(crate) type OpenOut = (Result<(), Failure>,);
pub(crate) type ResolveIn<'a> = (Conflicts<'a>,);
pub(crate) type ResolveOut = (Result<Verdicts, Failure>,);
pub(crate) type TransformIn<'a> = (Direction, u32, Rows<'a>);
pub(crate) type TransformOut = (Result<Vec<RoutedRows>, Failure>,);
pub(crate) type ValidateIn<'a> = (Rows<'a>,);
pub(crate) type ValidateOut = (Result<Vec<Note>, Failure>,);
pub(crate) type RouteIn<'a> = (RequestHead<'a>,);
pub(crate) type RouteOut = (Result<Decision, Failure>,);

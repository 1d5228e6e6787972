//! The published table of types.
//!
//! `TYPES.md` in the folder above is written from [`MAPPINGS`]; a test fails when it is out of date.

use crate::database::Engine::{self, Mysql, Postgres, Sqlite};

use super::types::Mapping;
use super::types::When::{self, Any, Digits, Is, Most};

const fn row(
    from: Engine,
    name: &'static str,
    when: When,
    to: [&'static str; 2],
    note: &'static str,
) -> Mapping {
    Mapping {
        from,
        name,
        when,
        to,
        note,
    }
}

const RANGE: &str = "MySQL has the years 1 to 9999 and no infinity; others are refused";
const UTC_RANGE: &str = "MySQL has 1970 to 2038 and no infinity; others are refused. A `datetime` \
    would hold more, but without saying that it is UTC";
const AS_TEXT: &str = "as the text that PostgreSQL gives; a text that it would give back in another \
    form is refused";

/// The table, PostgreSQL first. The first row that fits counts.
pub(in crate::database) const MAPPINGS: &[Mapping] = &[
    row(
        Postgres,
        "boolean",
        Any,
        ["BOOLEAN", "tinyint(1)"],
        "0 and 1; other numbers are refused",
    ),
    row(Postgres, "smallint", Any, ["INTEGER", "smallint"], ""),
    row(Postgres, "integer", Any, ["INTEGER", "int"], ""),
    row(Postgres, "bigint", Any, ["INTEGER", "bigint"], ""),
    row(Postgres, "oid", Any, ["INTEGER", "int unsigned"], ""),
    row(
        Postgres,
        "numeric",
        Digits(65, 30),
        ["TEXT", "decimal({0},{1})"],
        "SQLite has no exact \
        decimals, so they are texts there; NaN is refused by MySQL",
    ),
    row(
        Postgres,
        "numeric",
        Any,
        ["TEXT", "decimal(65,30)"],
        "more than 35 digits before or 30 \
        behind the point, NaN and infinity are refused by MySQL",
    ),
    row(
        Postgres,
        "real",
        Any,
        ["REAL", "float"],
        "SQLite refuses NaN and -0, MySQL infinity as well",
    ),
    row(
        Postgres,
        "double precision",
        Any,
        ["REAL", "double"],
        "SQLite refuses NaN and -0, MySQL \
        infinity as well",
    ),
    row(
        Postgres,
        "character varying",
        Most(768),
        ["TEXT", "varchar({0})"],
        "SQLite has no limit; \
        what is too long for PostgreSQL is refused on its way there",
    ),
    row(
        Postgres,
        "character varying",
        Any,
        ["TEXT", "longtext"],
        "likewise; `varchar(255)` in a key \
        of MySQL",
    ),
    row(
        Postgres,
        "character",
        Most(255),
        ["TEXT", "char({0})"],
        "padded in PostgreSQL and in \
        SQLite, without the padding in MySQL",
    ),
    row(
        Postgres,
        "character",
        Any,
        ["TEXT", "longtext"],
        "padded everywhere",
    ),
    row(
        Postgres,
        "name",
        Any,
        ["TEXT", "varchar(63)"],
        "63 bytes; what is longer is refused",
    ),
    row(
        Postgres,
        "text",
        Any,
        ["TEXT", "longtext"],
        "PostgreSQL refuses U+0000; `varchar(255)` in \
        a key of MySQL",
    ),
    row(
        Postgres,
        "citext",
        Any,
        ["TEXT", "longtext"],
        "compared by its bytes elsewhere",
    ),
    row(
        Postgres,
        "bytea",
        Any,
        ["BLOB", "longblob"],
        "`varbinary(255)` in a key of MySQL",
    ),
    row(Postgres, "date", Any, ["TEXT", "date"], RANGE),
    row(
        Postgres,
        "time without time zone",
        Any,
        ["TEXT", "time({seconds})"],
        "negative times and \
        those beyond 24:00 are refused by PostgreSQL",
    ),
    row(
        Postgres,
        "timestamp without time zone",
        Any,
        ["TEXT", "datetime({seconds})"],
        RANGE,
    ),
    row(
        Postgres,
        "timestamp with time zone",
        Any,
        ["TEXT", "timestamp({seconds})"],
        UTC_RANGE,
    ),
    row(
        Postgres,
        "uuid",
        Any,
        ["TEXT", "char(36)"],
        "as text in lower case; `binary(16)` and \
        MariaDB's `uuid` fit as well",
    ),
    row(
        Postgres,
        "json",
        Any,
        ["TEXT", "longtext"],
        "the text as it is; MySQL's `json` would give \
        back another",
    ),
    row(
        Postgres,
        "jsonb",
        Any,
        ["TEXT", "json"],
        "MySQL's own form must be that of `jsonb`: \
        numbers as 1.50 or 1e2 are refused. MariaDB's `json` is a text; one that `jsonb` would give \
        back in another form is refused",
    ),
    row(
        Postgres,
        "bit",
        Most(64),
        ["TEXT", "bit({0})"],
        "a number in MySQL",
    ),
    row(Postgres, "bit", Any, ["TEXT", "longtext"], AS_TEXT),
    row(Postgres, "bit varying", Any, ["TEXT", "longtext"], AS_TEXT),
    row(Postgres, "interval", Any, ["TEXT", "varchar(100)"], AS_TEXT),
    row(
        Postgres,
        "time with time zone",
        Any,
        ["TEXT", "varchar(30)"],
        AS_TEXT,
    ),
    row(Postgres, "inet", Any, ["TEXT", "varchar(49)"], AS_TEXT),
    row(Postgres, "cidr", Any, ["TEXT", "varchar(49)"], AS_TEXT),
    row(Postgres, "macaddr", Any, ["TEXT", "varchar(17)"], AS_TEXT),
    row(Postgres, "macaddr8", Any, ["TEXT", "varchar(23)"], AS_TEXT),
    row(Postgres, "money", Any, ["TEXT", "varchar(30)"], AS_TEXT),
    row(Postgres, "*[]", Any, ["TEXT", "longtext"], AS_TEXT),
    row(
        Postgres,
        "*",
        Any,
        ["TEXT", "longtext"],
        "enums, ranges, geometry, `xml`, `tsvector` and \
        the like: as the text that PostgreSQL gives. What the other side writes must be in that \
        form: it is not checked",
    ),
    row(
        Mysql,
        "tinyint",
        Is(1),
        ["BOOLEAN", "boolean"],
        "0 and 1; other numbers are refused",
    ),
    row(Mysql, "tinyint", Any, ["INTEGER", "smallint"], ""),
    row(Mysql, "tinyint unsigned", Any, ["INTEGER", "smallint"], ""),
    row(Mysql, "smallint", Any, ["INTEGER", "smallint"], ""),
    row(Mysql, "smallint unsigned", Any, ["INTEGER", "integer"], ""),
    row(Mysql, "mediumint", Any, ["INTEGER", "integer"], ""),
    row(Mysql, "mediumint unsigned", Any, ["INTEGER", "integer"], ""),
    row(Mysql, "int", Any, ["INTEGER", "integer"], ""),
    row(Mysql, "int unsigned", Any, ["INTEGER", "bigint"], ""),
    row(Mysql, "bigint", Any, ["INTEGER", "bigint"], ""),
    row(
        Mysql,
        "bigint unsigned",
        Any,
        ["INTEGER", "numeric(20)"],
        "numbers above 2^63-1 are \
        refused by SQLite",
    ),
    row(
        Mysql,
        "decimal",
        Digits(65, 38),
        ["TEXT", "numeric({0},{1})"],
        "SQLite has no exact \
        decimals, so they are texts there",
    ),
    row(Mysql, "decimal", Any, ["TEXT", "numeric(10,0)"], ""),
    row(
        Mysql,
        "decimal unsigned",
        Digits(65, 38),
        ["TEXT", "numeric({0},{1})"],
        "negative numbers \
        are refused by MySQL",
    ),
    row(
        Mysql,
        "decimal unsigned",
        Any,
        ["TEXT", "numeric(10,0)"],
        "likewise",
    ),
    row(
        Mysql,
        "float",
        Any,
        ["REAL", "real"],
        "NaN, infinity and -0 are refused by MySQL",
    ),
    row(
        Mysql,
        "float unsigned",
        Any,
        ["REAL", "real"],
        "negative numbers as well",
    ),
    row(
        Mysql,
        "double",
        Any,
        ["REAL", "double precision"],
        "NaN, infinity and -0 are refused by MySQL",
    ),
    row(
        Mysql,
        "double unsigned",
        Any,
        ["REAL", "double precision"],
        "negative numbers as well",
    ),
    row(Mysql, "bit", Is(1), ["BOOLEAN", "boolean"], ""),
    row(
        Mysql,
        "bit",
        Most(64),
        ["INTEGER", "bit({0})"],
        "numbers above 2^63-1 are refused by \
        SQLite; digits in PostgreSQL",
    ),
    row(
        Mysql,
        "year",
        Any,
        ["INTEGER", "smallint"],
        "others than 0 and 1901 to 2155 are refused \
        by MySQL",
    ),
    row(
        Mysql,
        "char",
        Is(0),
        ["TEXT", "text"],
        "only the empty text",
    ),
    row(
        Mysql,
        "char",
        Any,
        ["TEXT", "character varying({0})"],
        "spaces at the end are refused by \
        MySQL, which would take them away",
    ),
    row(
        Mysql,
        "varchar",
        Most(65535),
        ["TEXT", "character varying({0})"],
        "characters that the \
        column's character set lacks are refused by MySQL, U+0000 by PostgreSQL",
    ),
    row(
        Mysql,
        "varchar",
        Any,
        ["TEXT", "text"],
        "only the empty text",
    ),
    row(
        Mysql,
        "tinytext",
        Any,
        ["TEXT", "text"],
        "likewise; texts that are too long as well",
    ),
    row(Mysql, "text", Any, ["TEXT", "text"], "likewise"),
    row(Mysql, "mediumtext", Any, ["TEXT", "text"], "likewise"),
    row(
        Mysql,
        "longtext",
        Any,
        ["TEXT", "text"],
        "likewise. MariaDB's `json` is such a column",
    ),
    row(
        Mysql,
        "enum",
        Any,
        ["TEXT", "text"],
        "with a CHECK of its labels; the empty text that \
        stands for a wrong label is none",
    ),
    row(
        Mysql,
        "set",
        Any,
        ["TEXT", "text"],
        "labels in another order or twice are refused by MySQL",
    ),
    row(
        Mysql,
        "binary",
        Any,
        ["BLOB", "bytea"],
        "what is shorter is refused by MySQL, which would \
        pad it",
    ),
    row(
        Mysql,
        "varbinary",
        Any,
        ["BLOB", "bytea"],
        "what is too long is refused by MySQL",
    ),
    row(Mysql, "tinyblob", Any, ["BLOB", "bytea"], "likewise"),
    row(Mysql, "blob", Any, ["BLOB", "bytea"], "likewise"),
    row(Mysql, "mediumblob", Any, ["BLOB", "bytea"], "likewise"),
    row(Mysql, "longblob", Any, ["BLOB", "bytea"], ""),
    row(
        Mysql,
        "date",
        Any,
        ["TEXT", "date"],
        "dates that are none (`0000-00-00`) are refused \
        by PostgreSQL, texts in SQLite",
    ),
    row(
        Mysql,
        "datetime",
        Any,
        ["TEXT", "timestamp({seconds}) without time zone"],
        "likewise",
    ),
    row(
        Mysql,
        "timestamp",
        Any,
        ["TEXT", "timestamp({seconds}) with time zone"],
        "likewise; times \
        outside 1970 to 2038 are refused by MySQL",
    ),
    row(
        Mysql,
        "time",
        Any,
        ["TEXT", "time({seconds}) without time zone"],
        "negative times and \
        those beyond 24:00 are refused by PostgreSQL",
    ),
    row(
        Mysql,
        "json",
        Any,
        ["TEXT", "jsonb"],
        "numbers that MySQL would write otherwise (1.50, \
        1e2) are refused by it",
    ),
    row(Mysql, "uuid", Any, ["TEXT", "uuid"], "MariaDB"),
    row(Mysql, "inet4", Any, ["TEXT", "text"], "MariaDB"),
    row(Mysql, "inet6", Any, ["TEXT", "text"], "MariaDB"),
    row(
        Mysql,
        "geometry",
        Any,
        ["BLOB", "bytea"],
        "and its kinds: as MySQL stores them",
    ),
    row(
        Sqlite,
        "BOOLEAN",
        Any,
        ["boolean", "tinyint(1)"],
        "0 and 1; other values are refused",
    ),
    row(
        Sqlite,
        "INTEGER",
        Any,
        ["bigint", "bigint"],
        "other values than integers are refused",
    ),
    row(
        Sqlite,
        "REAL",
        Any,
        ["double precision", "double"],
        "texts and bytes are refused, \
        infinity by MySQL",
    ),
    row(
        Sqlite,
        "NUMERIC",
        Any,
        ["numeric", "decimal(65,30)"],
        "texts that are no numbers, and \
        bytes, are refused; a float is the shortest decimal that is read as it",
    ),
    row(
        Sqlite,
        "DATE",
        Any,
        ["date", "date"],
        "texts `YYYY-MM-DD`; all others are refused",
    ),
    row(
        Sqlite,
        "TIME",
        Any,
        ["time(6) without time zone", "time(6)"],
        "texts `HH:MM:SS`, with six \
        digits of the fraction if there is one; all others are refused",
    ),
    row(
        Sqlite,
        "DATETIME",
        Any,
        ["timestamp(6) without time zone", "datetime(6)"],
        "texts \
        `YYYY-MM-DD HH:MM:SS`, with six digits of the fraction if there is one; all others, with \
        `T` or a zone or as numbers, are refused: create the column as text for them",
    ),
    row(
        Sqlite,
        "UUID",
        Any,
        ["uuid", "binary(16)"],
        "16 bytes; a text is refused: declare the \
        column TEXT for it",
    ),
    row(
        Sqlite,
        "JSON",
        Any,
        ["json", "longtext"],
        "the text as it is; `text` in a key of PostgreSQL, `varchar(255)` in one of MySQL",
    ),
    row(
        Sqlite,
        "TEXT",
        Any,
        ["text", "longtext"],
        "the limit of VARCHAR(n) is none in SQLite and \
        none there; text that is no UTF-8, and bytes, are refused, U+0000 by PostgreSQL; \
        `varchar(255)` in a key of MySQL",
    ),
    row(
        Sqlite,
        "BLOB",
        Any,
        ["bytea", "longblob"],
        "texts and numbers are refused; \
        `varbinary(255)` in a key of MySQL",
    ),
    row(
        Sqlite,
        "no type",
        Any,
        ["text", "longtext"],
        "texts; numbers and bytes are refused",
    ),
];

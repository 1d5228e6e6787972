//! Tables of one engine as another would have them.

use super::{Created, create_table};
use crate::data::{Column, ForeignKey, Generated, LogicalType, TableSchema, UniqueKey};
use crate::database::Engine::{self, Mysql, Postgres, Sqlite};

fn column(name: &str, declared: &str) -> Column {
    Column {
        name: name.to_owned(),
        declared_type: declared.to_owned(),
        logical: match declared {
            "TEXT" => LogicalType::Text,
            "INTEGER" => LogicalType::Int,
            _ => LogicalType::Any,
        },
        nullable: true,
        default: None,
        generated: Generated::No,
        collation: None,
    }
}

fn table(name: &str, columns: Vec<Column>) -> TableSchema {
    TableSchema {
        name: name.to_owned(),
        columns,
        key: vec![0],
        unique: Vec::new(),
        foreign_keys: Vec::new(),
        without_rowid: false,
        strict: false,
        encoding: None,
        triggers: Vec::new(),
    }
}

fn orders() -> TableSchema {
    let mut schema = table(
        "Orders",
        vec![
            column("id", "bigint"),
            column("customer \"x\"", "integer"),
            column("mail", "text"),
            column("total", "numeric(10,2)"),
            column("paid", "boolean"),
            column("at", "timestamp with time zone"),
            column("mood", "mood"),
            column("twice", "integer"),
        ],
    );
    schema.columns[0].default = Some("nextval('orders_id_seq'::regclass)".to_owned());
    schema.columns[1].nullable = false;
    schema.columns[2].collation = Some("de_DE".to_owned());
    schema.columns[3].default = Some("1.5".to_owned());
    schema.columns[4].default = Some("false".to_owned());
    schema.columns[7].generated = Generated::Stored;
    schema.unique = vec![
        UniqueKey {
            name: "orders_mail_key".to_owned(),
            columns: vec![Some(2), Some(1)],
            partial: false,
        },
        UniqueKey {
            name: "orders_lower".to_owned(),
            columns: vec![None],
            partial: false,
        },
        UniqueKey {
            name: "orders_partial".to_owned(),
            columns: vec![Some(2)],
            partial: true,
        },
    ];
    schema.foreign_keys = vec![
        ForeignKey {
            columns: vec![1],
            parent: "customers".to_owned(),
            parent_columns: vec!["id".to_owned()],
            on_delete: "CASCADE".to_owned(),
            on_update: "NO ACTION".to_owned(),
        },
        ForeignKey {
            columns: vec![3],
            parent: "elsewhere".to_owned(),
            parent_columns: vec!["id".to_owned()],
            on_delete: "NO ACTION".to_owned(),
            on_update: "NO ACTION".to_owned(),
        },
    ];
    schema.triggers = vec!["audit".to_owned()];
    schema
}

fn shown(created: &Created) -> String {
    let mut all = vec![created.table.clone()];
    all.extend(created.indexes.iter().map(|c| c.sql.clone()));
    all.extend(created.foreign_keys.iter().map(|c| c.sql.clone()));
    all.extend(created.left_out.iter().map(|l| format!("-- {l}")));
    all.join("\n")
}

fn create(schema: &TableSchema, from: Engine, to: Engine) -> String {
    let tables = [("customers", "clients")];
    shown(&create_table(schema, from, to, "orders", &tables).unwrap())
}

#[test]
fn a_table_of_postgresql_in_mysql() {
    insta::assert_snapshot!(create(&orders(), Postgres, Mysql), @r#"
    CREATE TABLE `orders` (
      `id` bigint NOT NULL,
      `customer "x"` int NOT NULL,
      `mail` varchar(255),
      `total` decimal(10,2) DEFAULT 1.50,
      `paid` tinyint(1) DEFAULT 0,
      `at` timestamp(6) NULL,
      `mood` longtext,
      PRIMARY KEY (`id`)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
    CREATE UNIQUE INDEX `orders_mail_customer "x"_key` ON `orders` (`mail`, `customer "x"`)
    ALTER TABLE `orders` ADD FOREIGN KEY (`customer "x"`) REFERENCES `clients` (`id`)
    -- values of column mail that are longer than varchar(255) allows: it is part of a key
    -- the type of column mood, mood: it is a text
    -- column twice, which is computed
    -- the default of column id, nextval('orders_id_seq'::regclass)
    -- the collation de_DE of mail: the new column compares texts by their bytes
    -- the unique key orders_lower, which is over an expression, a computed column or some of the rows
    -- the unique key orders_partial, which is over an expression, a computed column or some of the rows
    -- ON DELETE CASCADE of the foreign key of customer "x" to customers
    -- the foreign key of total to elsewhere, which is not created here
    -- a sequence, identity or AUTO_INCREMENT for column id: it is settled at cutover
    -- CHECK constraints, and indexes that are not unique: Banyan does not look at them
    -- the triggers audit
    "#);
}

#[test]
fn a_table_of_postgresql_in_sqlite() {
    insta::assert_snapshot!(create(&orders(), Postgres, Sqlite), @r#"
    CREATE TABLE "orders" (
      "id" INTEGER NOT NULL,
      "customer ""x""" INTEGER NOT NULL,
      "mail" TEXT,
      "total" TEXT DEFAULT '1.50',
      "paid" BOOLEAN DEFAULT 0,
      "at" TEXT,
      "mood" TEXT,
      PRIMARY KEY ("id"),
      FOREIGN KEY ("customer ""x""") REFERENCES "clients" ("id") ON DELETE CASCADE
    )
    CREATE UNIQUE INDEX "orders_mail_customer ""x""_key" ON "orders" ("mail", "customer ""x""")
    -- the type of column mood, mood: it is a text
    -- column twice, which is computed
    -- the default of column id, nextval('orders_id_seq'::regclass)
    -- the foreign key of total to elsewhere, which is not created here
    -- the collation de_DE of mail: the new column compares texts by their bytes
    -- the unique key orders_lower, which is over an expression, a computed column or some of the rows
    -- the unique key orders_partial, which is over an expression, a computed column or some of the rows
    -- CHECK constraints, and indexes that are not unique: Banyan does not look at them
    -- the triggers audit
    "#);
}

#[test]
fn a_table_of_postgresql_in_another_postgresql() {
    insta::assert_snapshot!(create(&orders(), Postgres, Postgres), @r#"
    CREATE TABLE "orders" (
      "id" bigint NOT NULL,
      "customer ""x""" integer NOT NULL,
      "mail" text,
      "total" numeric(10,2) DEFAULT 1.50,
      "paid" boolean DEFAULT FALSE,
      "at" timestamp with time zone,
      "mood" text,
      PRIMARY KEY ("id")
    )
    CREATE UNIQUE INDEX "orders_mail_customer ""x""_key" ON "orders" ("mail", "customer ""x""")
    ALTER TABLE "orders" ADD FOREIGN KEY ("customer ""x""") REFERENCES "clients" ("id") ON DELETE CASCADE
    -- the type of column mood, mood: it is a text
    -- column twice, which is computed
    -- the default of column id, nextval('orders_id_seq'::regclass)
    -- the collation de_DE of mail: the new column compares texts by their bytes
    -- the unique key orders_lower, which is over an expression, a computed column or some of the rows
    -- the unique key orders_partial, which is over an expression, a computed column or some of the rows
    -- the foreign key of total to elsewhere, which is not created here
    -- a sequence, identity or AUTO_INCREMENT for column id: it is settled at cutover
    -- CHECK constraints, and indexes that are not unique: Banyan does not look at them
    -- the triggers audit
    "#);
}

fn goods() -> TableSchema {
    let mut schema = table(
        "goods",
        vec![
            column("id", "int(10) unsigned"),
            column("kind", "enum('a','it''s')"),
            column("tags", "set('x','y')"),
            column("name", "varchar(20)"),
            column("made", "datetime(3)"),
            column("seen", "timestamp"),
            column("live", "tinyint(1)"),
            column("place", "point"),
        ],
    );
    schema.columns[1].default = Some("'a'".to_owned());
    schema.columns[3].nullable = false;
    schema.columns[3].default = Some("'it''s \\\\'".to_owned());
    schema.columns[3].collation = Some("latin1_swedish_ci".to_owned());
    schema.columns[4].default = Some("current_timestamp(3)".to_owned());
    schema.columns[6].default = Some("1".to_owned());
    schema.unique = vec![UniqueKey {
        name: "PRIMARY".to_owned(),
        columns: vec![Some(0)],
        partial: false,
    }];
    schema
}

#[test]
fn a_table_of_mysql_in_postgresql() {
    insta::assert_snapshot!(create(&goods(), Mysql, Postgres), @r#"
    CREATE TABLE "orders" (
      "id" bigint NOT NULL,
      "kind" text DEFAULT 'a' CHECK ("kind" IN ('a', 'it''s')),
      "tags" text,
      "name" character varying(20) NOT NULL DEFAULT 'it''s \',
      "made" timestamp(3) without time zone,
      "seen" timestamp(0) with time zone,
      "live" boolean DEFAULT TRUE,
      "place" bytea,
      PRIMARY KEY ("id")
    )
    -- the labels of column tags
    -- the default of column made, current_timestamp(3)
    -- the collation latin1_swedish_ci of name: the new column compares texts by their bytes
    -- a sequence, identity or AUTO_INCREMENT for column id: it is settled at cutover
    -- CHECK constraints, and indexes that are not unique: Banyan does not look at them
    "#);
}

#[test]
fn a_table_of_mysql_in_another_mysql() {
    insta::assert_snapshot!(create(&goods(), Mysql, Mysql), @r#"
    CREATE TABLE `orders` (
      `id` int(10) unsigned NOT NULL,
      `kind` enum('a','it''s') DEFAULT 'a',
      `tags` set('x','y'),
      `name` varchar(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci NOT NULL DEFAULT 'it''s \\',
      `made` datetime(3),
      `seen` timestamp NULL,
      `live` tinyint(1) DEFAULT 1,
      `place` point,
      PRIMARY KEY (`id`)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
    -- the default of column made, current_timestamp(3)
    -- a sequence, identity or AUTO_INCREMENT for column id: it is settled at cutover
    -- CHECK constraints, and indexes that are not unique: Banyan does not look at them
    "#);
}

#[test]
fn a_table_of_sqlite_in_both_servers() {
    let mut schema = table(
        "notes",
        vec![
            column("id", "INTEGER"),
            column("text", "TEXT"),
            column("any", ""),
        ],
    );
    schema.columns[1].default = Some("'x'".to_owned());
    schema.unique = vec![UniqueKey {
        name: "sqlite_autoindex_notes_1".to_owned(),
        columns: vec![Some(1)],
        partial: false,
    }];
    insta::assert_snapshot!(create(&schema, Sqlite, Postgres), @r#"
    CREATE TABLE "orders" (
      "id" bigint NOT NULL,
      "text" text DEFAULT 'x',
      "any" text,
      PRIMARY KEY ("id")
    )
    CREATE UNIQUE INDEX "orders_text_key" ON "orders" ("text")
    -- a sequence, identity or AUTO_INCREMENT for column id: it is settled at cutover
    -- CHECK constraints, and indexes that are not unique: Banyan does not look at them
    "#);
    insta::assert_snapshot!(create(&schema, Sqlite, Mysql), @r#"
    CREATE TABLE `orders` (
      `id` bigint NOT NULL,
      `text` varchar(255) DEFAULT 'x',
      `any` longtext,
      PRIMARY KEY (`id`)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
    CREATE UNIQUE INDEX `orders_text_key` ON `orders` (`text`)
    -- values of column text that are longer than varchar(255) allows: it is part of a key
    -- a sequence, identity or AUTO_INCREMENT for column id: it is settled at cutover
    -- CHECK constraints, and indexes that are not unique: Banyan does not look at them
    "#);
}

#[test]
fn a_row_that_is_too_long_for_mysql_gets_its_longest_texts_outside() {
    let columns = (0..30).map(|i| column(&format!("c{i}"), "character varying(700)"));
    let created = create_table(&table("t", columns.collect()), Postgres, Mysql, "t", &[]).unwrap();
    assert_eq!(created.table.matches("varchar(700)").count(), 21);
    assert_eq!(created.table.matches("longtext").count(), 9);
    assert_eq!(created.left_out.len(), 10);
    assert!(created.table.contains("`c0` varchar(700) NOT NULL"));
}

#[test]
fn what_has_no_counterpart_is_refused() {
    let refused = |schema: &TableSchema, from, to| {
        let error = create_table(schema, from, to, "t", &[]).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Refused);
        error.message().to_owned()
    };
    let vector = table("t", vec![column("v", "vector(3)")]);
    assert_eq!(
        refused(&vector, Mysql, Postgres),
        "table t cannot be created in PostgreSQL: there is no type there for column v, vector(3)"
    );
    let long = table("t", vec![column(&"x".repeat(64), "integer")]);
    assert!(refused(&long, Postgres, Postgres).contains("does not take the name"));
    let twice = table("t", vec![column("a", "integer"), column("A", "integer")]);
    assert!(refused(&twice, Postgres, Mysql).contains("upper and lower case"));
    let mut computed = table("t", vec![column("a", "integer"), column("b", "integer")]);
    computed.columns[0].generated = Generated::Stored;
    assert!(refused(&computed, Postgres, Mysql).contains("key column a is computed"));
}

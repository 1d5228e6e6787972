//! Installing, taking away, and what a role may do.

use super::*;
use crate::database::postgres::{preflight, publication};
use crate::error::ErrorKind;

async fn identity(client: &Client, table: &str) -> String {
    let sql = "SELECT relreplident::text FROM pg_class WHERE oid = $1::text::regclass";
    client.query_one(sql, &[&table]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server"]
async fn everything_is_put_back() {
    let place = Place::new("install").await;
    place
        .run(
            "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE \"B b.\" (id int NOT NULL UNIQUE); \
             CREATE TABLE c (id int PRIMARY KEY); CREATE TABLE d (id int PRIMARY KEY); \
             ALTER TABLE \"B b.\" REPLICA IDENTITY USING INDEX \"B b._id_key\"; \
             ALTER TABLE c REPLICA IDENTITY NOTHING",
        )
        .await;
    let mut tables = Vec::new();
    for (table, name) in [("a", "a"), ("\"B b.\"", "\"B b.\""), ("c", "c"), ("d", "d")] {
        let mut schema = place.schema(table).await;
        schema.schema.name = name.into();
        tables.push(schema);
    }
    let begin = capture::install(&place.client, &place.names, &tables)
        .await
        .unwrap();
    place.run("INSERT INTO a VALUES (1)").await;
    let again = capture::install(&place.client, &place.names, &tables)
        .await
        .unwrap();
    assert_eq!(begin, again);
    for table in ["a", "\"B b.\"", "c", "d"] {
        assert_eq!(identity(&place.client, table).await, "f");
    }
    let wrong = publication::verify(&place.client, &place.names, &tables);
    assert!(wrong.await.unwrap().is_empty());
    // What somebody else changed is mended.
    place
        .run("ALTER PUBLICATION \"_banyan_m\" DROP TABLE a; ALTER TABLE c REPLICA IDENTITY DEFAULT")
        .await;
    let wrong = publication::verify(&place.client, &place.names, &tables);
    assert_eq!(wrong.await.unwrap().len(), 2);
    capture::install(&place.client, &place.names, &tables)
        .await
        .unwrap();
    let wrong = publication::verify(&place.client, &place.names, &tables);
    assert!(wrong.await.unwrap().is_empty());
    // A second migration on one of the tables, which outlives the first.
    let second = CaptureNames::new("m2", &place.url.database);
    capture::install(&place.client, &second, &tables[..1])
        .await
        .unwrap();
    let stream = place.stream(&tables, begin).await;
    place.run("DROP TABLE d").await;
    capture::uninstall(&place.client, &place.names)
        .await
        .unwrap();
    capture::uninstall(&place.client, &place.names)
        .await
        .unwrap();
    drop(stream);
    for (table, was) in [("a", "f"), ("\"B b.\"", "i"), ("c", "n")] {
        assert_eq!(identity(&place.client, table).await, was, "{table}");
    }
    capture::uninstall(&place.client, &second).await.unwrap();
    assert_eq!(identity(&place.client, "a").await, "d");
    let left = "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE '\\_banyan%') \
                + (SELECT count(*) FROM pg_publication) \
                + (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())";
    let left: i64 = place.client.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server"]
async fn a_role_is_told_what_it_lacks() {
    let place = Place::new("roles").await;
    place
        .run("DROP ROLE IF EXISTS banyan_live_role; CREATE ROLE banyan_live_role LOGIN")
        .await;
    place
        .run("CREATE TABLE t (id int PRIMARY KEY); GRANT SELECT ON t TO banyan_live_role")
        .await;
    let tables = [place.schema("t").await];
    let mut url = place.url.clone();
    url.user = Some("banyan_live_role".into());
    let client = connect(&url).await;
    let names = &place.names;
    let problems = preflight::problems(&client, names, &tables, true, true)
        .await
        .unwrap();
    let all = format!("{problems:?}");
    for wanted in [
        "GRANT CREATE ON DATABASE",
        "ALTER ROLE \\\"banyan_live_role\\\" REPLICATION",
        "GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text)",
        "ALTER TABLE \\\"public\\\".\\\"t\\\" REPLICA IDENTITY FULL",
        "CREATE PUBLICATION \\\"_banyan_m\\\" FOR TABLE \\\"public\\\".\\\"t\\\" WITH",
    ] {
        assert!(all.contains(wanted), "{wanted} in {all}");
    }
    assert_eq!(problems.len(), 5, "{all}");
    let error = capture::install(&client, names, &tables).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.hints()[0].contains("CREATE SCHEMA"), "{error:?}");
    place
        .run("GRANT CREATE ON DATABASE banyan_live_roles TO banyan_live_role")
        .await;
    let error = capture::install(&client, names, &tables).await.unwrap_err();
    assert!(
        error.hints()[0].contains("ALTER TABLE \"public\".\"t\" REPLICA IDENTITY FULL"),
        "{error:?}"
    );
    let error = origin_error(&client, names).await;
    assert!(error.contains("GRANT EXECUTE"), "{error}");
    let error = PgStream::open(StreamRequest::new(url.clone(), names.clone(), vec![], 0)).await;
    let error = error.unwrap_err();
    assert!(error.hints()[0].contains("REPLICATION"), "{error:?}");
    // All that it was told, done.
    place.run("ALTER TABLE t OWNER TO banyan_live_role").await;
    place.run("ALTER ROLE banyan_live_role REPLICATION").await;
    place
        .run(
            "GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text), \
             pg_replication_origin_oid(text), pg_replication_origin_drop(text), \
             pg_replication_origin_session_setup(text), pg_replication_origin_session_reset() \
             TO banyan_live_role",
        )
        .await;
    let problems = preflight::problems(&client, names, &tables, true, true);
    assert_eq!(problems.await.unwrap(), []);
    let begin = capture::install(&client, names, &tables).await.unwrap();
    capture::install_origins(&client, names, 1).await.unwrap();
    slot::check_log(&client, names, begin).await.unwrap();
    let request = StreamRequest::new(url.clone(), names.clone(), tables.to_vec(), begin);
    let mut stream = PgStream::open(request).await.unwrap();
    client
        .batch_execute("INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    let end = slot::flush_log(&client).await.unwrap();
    assert_eq!(ints(&up_to(&mut stream, end).await.unwrap()), [1]);
    let snapshot = slot::export_snapshot(&url, names).await.unwrap();
    assert!(snapshot.position > begin);
    capture::uninstall(&client, names).await.unwrap();
    drop((stream, snapshot, client));
    place.run("DROP TABLE t").await;
    place
        .run("DROP OWNED BY banyan_live_role; DROP ROLE banyan_live_role")
        .await;
    place.done().await;
}

async fn origin_error(client: &Client, names: &CaptureNames) -> String {
    let error = capture::install_origins(client, names, 1).await;
    format!("{:?}", error.unwrap_err())
}

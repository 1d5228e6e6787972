//! Time, crowds and interruptions.

use std::time::Instant;

use super::*;
use crate::error::ErrorKind;

async fn counter(name: &str) -> (Place, Vec<SyncTable>, u64) {
    let place = Place::new(name).await;
    place
        .run("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE noise (v text)")
        .await;
    let (tables, begin) = place.install(&["t"]).await;
    (place, tables, begin)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server with wal_sender_timeout = 10s, and takes 70 s"]
async fn a_consumer_that_sleeps_is_not_cut_off() {
    let (idle, tables, begin) = counter("sleep_idle").await;
    let mut quiet = idle.stream(&tables, begin).await;
    let (busy, tables, begin) = counter("sleep_busy").await;
    busy.run("INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 1000) g")
        .await;
    let mut request = busy.request(&tables, begin);
    request.queue_bytes = 1000;
    let mut full = PgStream::open(request).await.unwrap();
    for i in 1..=40 {
        // Much more than all the buffers between the server and us hold.
        let sql = format!(
            "INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series({}, {}) g",
            i * 1000 + 1,
            (i + 1) * 1000
        );
        busy.run(&sql).await;
    }
    tokio::time::sleep(Duration::from_secs(70)).await;
    let sql = "SELECT count(*) FROM pg_stat_replication WHERE backend_start < now() - \
               interval '69 s'";
    let alive: i64 = busy.client.query_one(sql, &[]).await.unwrap().get(0);
    assert!(alive >= 2, "{alive}");
    idle.run("INSERT INTO t VALUES (1, 'x')").await;
    assert_eq!(ints(&idle.rest(&mut quiet).await), [1]);
    let events = busy.rest(&mut full).await;
    assert_eq!(ints(&events), (1..=41_000).collect::<Vec<_>>());
    drop((quiet, full));
    idle.done().await;
    busy.done().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server"]
async fn a_large_transaction_comes_whole_through_a_file() {
    let (place, tables, begin) = counter("large").await;
    let mut request = place.request(&tables, begin);
    request.spill_bytes = 1 << 20;
    let mut stream = PgStream::open(request).await.unwrap();
    place
        .run("INSERT INTO t SELECT g, 'row ' || g FROM generate_series(1, 200000) g")
        .await;
    place.run("INSERT INTO t VALUES (200001, '')").await;
    let events = place.rest(&mut stream).await;
    assert_eq!(events.len(), 2);
    assert_eq!(ints(&events), (1..=200_001).collect::<Vec<_>>());
    let LogEvent::Commit { end, changes } = &events[0] else {
        panic!();
    };
    assert!(changes.iter().all(|change| change.seq == *end));
    drop(stream);
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server"]
async fn every_position_is_a_place_to_go_on() {
    let (place, tables, begin) = counter("restart").await;
    for i in 1..=300 {
        // Transactions that overlap, others' tables, and rollbacks between them.
        place
            .run(&format!("INSERT INTO t VALUES ({i}, repeat('x', {i}))"))
            .await;
        place
            .run("INSERT INTO noise VALUES (repeat('y', 300)); BEGIN; DELETE FROM t; ROLLBACK")
            .await;
    }
    let mut stream = place.stream(&tables, begin).await;
    let all = place.rest(&mut stream).await;
    assert_eq!(ints(&all), (1..=300).collect::<Vec<_>>());
    drop(stream);
    let ends: Vec<u64> = all
        .iter()
        .map(|event| match event {
            LogEvent::Commit { end, .. } => *end,
            other => panic!("{other:?}"),
        })
        .collect();
    // From each end of a commit, and from just before it.
    for at in [0, 1, 37, 150, 298] {
        for (after, first) in [(ends[at], at + 2), (ends[at] - 1, at + 2)] {
            let mut stream = place.stream(&tables, after).await;
            let rest = place.rest(&mut stream).await;
            let first = i64::try_from(first).unwrap();
            assert_eq!(ints(&rest), (first..=300).collect::<Vec<_>>(), "{after}");
        }
    }
    // A confirmed position is where the log begins; before it there is a gap.
    let mut stream = place.stream(&tables, ends[100]).await;
    stream.confirm(ends[150]).await.unwrap();
    place.rest(&mut stream).await;
    let waited = Instant::now();
    loop {
        let state = slot::state(&place.client, &place.names).await.unwrap();
        if state.unwrap().confirmed == ends[150] {
            break;
        }
        assert!(waited.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(stream);
    slot::check_log(&place.client, &place.names, ends[150])
        .await
        .unwrap();
    let gap = slot::check_log(&place.client, &place.names, ends[149]).await;
    assert_eq!(gap.unwrap_err().kind(), ErrorKind::LogGap);
    let gap = PgStream::open(place.request(&tables, ends[149])).await;
    assert_eq!(gap.unwrap_err().kind(), ErrorKind::LogGap);
    let future = slot::check_log(&place.client, &place.names, u64::MAX).await;
    assert_eq!(future.unwrap_err().kind(), ErrorKind::LogGap);
    let mut stream = place.stream(&tables, ends[150]).await;
    assert_eq!(ints(&place.rest(&mut stream).await).len(), 149);
    drop(stream);
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server"]
async fn a_lost_slot_is_a_gap() {
    let (place, tables, begin) = counter("gap").await;
    let stream = place.stream(&tables, begin).await;
    // One reader at a time.
    let second = PgStream::open(place.request(&tables, begin)).await;
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Busy);
    drop(stream);
    slot::remove(&place.client, &place.names).await.unwrap();
    let gaps = [
        slot::check_log(&place.client, &place.names, begin)
            .await
            .unwrap_err(),
        PgStream::open(place.request(&tables, begin))
            .await
            .unwrap_err(),
        capture::install(&place.client, &place.names, &tables)
            .await
            .unwrap_err(),
    ];
    for gap in gaps {
        assert_eq!(gap.kind(), ErrorKind::LogGap, "{gap:?}");
    }
    // A slot of the same name that somebody else made is no better.
    place.run("INSERT INTO t VALUES (1, '')").await;
    let make = format!(
        "SELECT pg_create_logical_replication_slot('{}', 'pgoutput')",
        place.names.slot
    );
    place.run(&make).await;
    let gap = slot::check_log(&place.client, &place.names, begin).await;
    assert_eq!(gap.unwrap_err().kind(), ErrorKind::LogGap);
    place
        .run("UPDATE \"_banyan_m\".slot SET timeline = '000000FF'")
        .await;
    let end = slot::current_end(&place.client).await.unwrap();
    let gap = slot::check_log(&place.client, &place.names, end).await;
    assert!(gap.unwrap_err().message().contains("not the one"));
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server"]
async fn a_server_that_ends_the_session_is_unavailable() {
    let (place, tables, begin) = counter("killed").await;
    let mut stream = place.stream(&tables, begin).await;
    place.run("INSERT INTO t VALUES (1, '')").await;
    assert_eq!(ints(&place.rest(&mut stream).await), [1]);
    place
        .run(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
             WHERE active AND database = current_database()",
        )
        .await;
    let error = loop {
        match stream.next().await {
            Ok(LogEvent::Progress { .. }) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    drop(stream);
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server"]
async fn an_idle_tables_log_is_let_go() {
    let (place, tables, begin) = counter("idle").await;
    let mut stream = place.stream(&tables, begin).await;
    for _ in 0..20 {
        place
            .run("INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 2000)")
            .await;
        let end = slot::current_end(&place.client).await.unwrap();
        let events = up_to(&mut stream, end).await.unwrap();
        assert!(events.is_empty());
        stream.confirm(end).await.unwrap();
    }
    let waited = Instant::now();
    loop {
        place.run("CHECKPOINT").await;
        let end = slot::flush_log(&place.client).await.unwrap();
        up_to(&mut stream, end).await.unwrap();
        stream.confirm(end).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let kept = slot::retained_bytes(&place.client, &place.names);
        let kept = kept.await.unwrap().unwrap();
        if kept < 10 << 20 {
            break;
        }
        assert!(waited.elapsed() < Duration::from_secs(60), "{kept}");
    }
    drop(stream);
    place.done().await;
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server"]
async fn a_runtime_of_one_thread_does() {
    let (place, tables, begin) = counter("single").await;
    let mut stream = place.stream(&tables, begin).await;
    place.run("INSERT INTO t VALUES (1, '')").await;
    assert_eq!(ints(&place.rest(&mut stream).await), [1]);
    // Cancelled again and again.
    for i in 2..100 {
        place.run(&format!("INSERT INTO t VALUES ({i}, '')")).await;
        loop {
            let next = tokio::time::timeout(Duration::from_micros(300), stream.next());
            if let Ok(Ok(event @ LogEvent::Commit { .. })) = next.await {
                assert_eq!(ints(&[event]), [i]);
                break;
            }
        }
    }
    drop(stream);
    place.done().await;
}

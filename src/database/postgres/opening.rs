//! Beginning to read the log: what is checked before, and the command itself.

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};

use super::assemble::Assembler;
use super::capture_names::quoted;
use super::catalogue::{self, SlotState};
use super::failure::{self, TABLES_ANEW};
use super::queue::Queue;
use super::relation::Shape;
use super::replication::{Replication, format_lsn};
use super::stream::StreamRequest;

/// How long the reader before us may need to let go.
const PATIENCE: Duration = Duration::from_secs(10);

/// The log, being sent.
pub(super) struct Opened {
    /// The connection.
    pub(super) replication: Replication,
    /// What its messages go to.
    pub(super) assembler: Assembler,
    /// How long the server waits for a word from us; zero: for ever.
    pub(super) timeout: Duration,
}

/// Connects, checks, starts. Blocks.
pub(super) fn open(request: &StreamRequest, queue: &Queue) -> Result<Opened> {
    let mut replication = Replication::connect(&request.url)?;
    let slot = catalogue::slot(&mut replication, &request.names)?;
    check_slot(&request.names.slot, slot.as_ref(), request.after)?;
    let timeout = timeout(&mut replication)?;
    let captured = catalogue::captured(&mut replication, &request.names)?;
    let mut shapes = Vec::with_capacity(request.tables.len());
    let mut missing = Vec::new();
    for (index, table) in request.tables.iter().enumerate() {
        let name = &table.schema.name;
        let Some(found) = captured.iter().find(|captured| captured.name == *name) else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("{name} is not captured on {}", request.url),
            )
            .hint("start the migration on this store first"));
        };
        if !found.published {
            missing.push(index);
        }
        let schema = found.schema.clone();
        shapes.push(Shape::new(table, found.id, schema, found.relation.clone()));
    }
    let ids: Vec<u32> = shapes.iter().map(|shape| shape.id).collect();
    let types = catalogue::column_types(&mut replication, &ids)?;
    // Looked at behind that position: what a table lost later, it lost behind it.
    let seen_at = slot.as_ref().map_or(0, |slot| slot.end);
    let now = catalogue::logged_columns(&mut replication, &ids)?;
    for shape in &mut shapes {
        let columns = now.get(&shape.id).map_or(&[][..], Vec::as_slice);
        shape.seen(columns, seen_at);
    }
    let mut assembler = Assembler::new(
        request.names.clone(),
        shapes,
        types,
        request.after,
        request.spill_bytes,
    );
    for table in missing {
        let what = "is not in the publication any more (dropped and created anew?): its changes \
                    are not in the log, and it must be compared";
        assembler.schema(table, what.to_owned());
    }
    start(request, &mut replication, queue)?;
    Ok(Opened {
        replication,
        assembler,
        timeout,
    })
}

/// Fails with `LogGap` unless the slot holds everything after the position, of the log that was
/// remembered.
pub(super) fn check_slot(name: &str, slot: Option<&SlotState>, after: u64) -> Result<()> {
    let gap = match slot {
        None => format!("the replication slot {name} is gone"),
        Some(slot) if slot.lost => format!(
            "the server has given up the log that the replication slot {name} held back \
             (max_slot_wal_keep_size)"
        ),
        Some(slot) if !slot.same_log => format!(
            "the log of the replication slot {name} is not the one that was read before: the \
             server was restored, replaced or promoted, or the slot was created anew"
        ),
        Some(slot) if slot.confirmed > after => format!(
            "the replication slot {name} begins at {}, behind {}, up to where changes are applied",
            format_lsn(slot.confirmed),
            format_lsn(after)
        ),
        Some(slot) if slot.end < after => format!(
            "the server's log ends at {}, before {}, up to where it was read: the server has lost \
             its end",
            format_lsn(slot.end),
            format_lsn(after)
        ),
        Some(_) => return Ok(()),
    };
    Err(Error::new(ErrorKind::LogGap, gap).hint(TABLES_ANEW))
}

fn timeout(replication: &mut Replication) -> Result<Duration> {
    let rows =
        replication.run("SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'")?;
    let ms = rows
        .first()
        .and_then(|row| row.first()?.as_deref()?.parse().ok());
    Ok(Duration::from_millis(ms.unwrap_or(60_000)))
}

fn start(request: &StreamRequest, replication: &mut Replication, queue: &Queue) -> Result<()> {
    let publication = quoted(request.names.publication());
    let options = [
        ("proto_version", "1"),
        // What Banyan's own transactions begin with.
        ("messages", "true"),
        ("publication_names", publication.as_str()),
    ];
    let began = Instant::now();
    loop {
        let started =
            replication
                .connection
                .start_replication(&request.names.slot, request.after, &options);
        let error = match started {
            Ok(()) => return Ok(()),
            Err(cause) => failure::replication("the log cannot be read", cause),
        };
        if error.kind() != ErrorKind::Busy || queue.is_abandoned() || began.elapsed() > PATIENCE {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

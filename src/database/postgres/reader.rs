//! The thread that reads the log: see [`super::stream`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use pg_walstream::{CancellationToken, PgReplicationConnection};
use tokio::sync::oneshot;
use tracing::instrument::WithSubscriber;

use crate::config::ServerUrl;
use crate::error::{Error, ErrorKind, Result};

use super::assemble::Assembler;
use super::failure;
use super::pgoutput::{self, Message};
use super::queue::Queue;
use super::relation::TypeNames;
use super::replication::Replication;
use super::stream::StreamRequest;
use super::{catalogue, opening};

/// How often it is looked whether there is something to tell the server.
const TICK: Duration = Duration::from_secs(1);

/// The server hears from us at least so often.
const REPORT_MAX: Duration = Duration::from_secs(10);

/// After so long without a word the server is asked for one, and given up after the next span.
const SILENCE: Duration = Duration::from_secs(30);

/// The server sends each small transaction by itself. After a burst more is let come together, so
/// that waking up does not cost more than reading.
const NAP: Duration = Duration::from_micros(700);

/// The same while a backlog is read. Sending is cheaper, too, while nobody receives: measured on two
/// cores, a server needs half the time for small transactions that are taken every 40 ms.
const NAP_BEHIND: Duration = Duration::from_millis(40);

/// The same while nothing but Banyan's own rows, or rows of one large transaction, come in.
const NAP_UNHEARD: Duration = Duration::from_millis(20);

/// So many messages at once are a flood.
const FLOOD: u32 = 32;

/// What was committed so long before it was sent is a backlog, in microseconds.
const BEHIND_US: i64 = 200_000;

/// Messages between two looks at the clock.
const MESSAGES: u32 = 256;

/// Runs until the log fails or nobody wants it any more. Says on `ready` whether it began.
pub(super) fn run(request: StreamRequest, queue: &Arc<Queue>, ready: oneshot::Sender<Result<()>>) {
    // With a worker, so that the driver reads on this thread, and not on one of its own with a queue
    // of its own that no memory bound knows of.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("banyan-pg-log-io")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(cause) => {
            let error = Error::new(ErrorKind::Unavailable, "a reader of the log cannot start");
            drop(ready.send(Err(error.caused_by(cause))));
            return;
        }
    };
    // Blocking calls are in order here: this thread does nothing else.
    let _inside = runtime.enter();
    let opened = match opening::open(&request, queue) {
        Ok(opened) => opened,
        Err(error) => {
            drop(ready.send(Err(error)));
            return;
        }
    };
    if ready.send(Ok(())).is_err() {
        return;
    }
    let mut reader = Reader {
        connection: opened.replication.connection,
        assembler: opened.assembler,
        queue: Arc::clone(queue),
        url: request.url,
        report_every: report_every(opened.timeout),
        received: request.after,
        reported: 0,
        reported_at: Instant::now(),
        heard_at: Instant::now(),
        asked: false,
        age_us: 0,
        nap: NAP,
        since_nap: 0,
        heard: 0,
    };
    // On the worker: while it naps, nobody is woken for each packet (see `NAP`).
    let read = runtime.spawn(async move {
        let result = reader.read().await;
        reader.flush();
        result
    });
    let result = runtime.block_on(read).unwrap_or_else(|cause| {
        Err(Error::new(ErrorKind::Internal, "the reader of the log panicked").caused_by(cause))
    });
    queue.end(result);
}

/// A quarter of the server's patience.
fn report_every(timeout: Duration) -> Duration {
    if timeout.is_zero() {
        REPORT_MAX
    } else {
        (timeout / 4).clamp(Duration::from_millis(100), REPORT_MAX)
    }
}

struct Reader {
    connection: PgReplicationConnection,
    assembler: Assembler,
    queue: Arc<Queue>,
    url: ServerUrl,
    report_every: Duration,
    /// The furthest position that the server has spoken of, as far as it was taken in.
    received: u64,
    /// What was last reported as flushed.
    reported: u64,
    reported_at: Instant,
    heard_at: Instant,
    asked: bool,
    /// How long the last transaction had been committed when it was sent, in microseconds.
    age_us: i64,
    nap: Duration,
    /// Messages since the last nap.
    since_nap: u32,
    /// How many transactions of others had come before the last nap.
    heard: u64,
}

impl Reader {
    async fn read(&mut self) -> Result<()> {
        let never = CancellationToken::new();
        let tick = TICK.min(self.report_every);
        self.report(false).await?;
        let mut messages = 0;
        loop {
            if messages == MESSAGES {
                messages = 0;
                self.flush();
                self.tick().await?;
            }
            if messages == 0 && self.queue.is_abandoned() {
                // What is confirmed need not be sent again.
                return self.report(false).await;
            }
            if messages == 0 && self.queue.is_full() {
                tokio::select! {
                    () = self.queue.emptied() => {}
                    () = tokio::time::sleep(tick) => {}
                }
                self.heard_at = Instant::now();
                self.tick().await?;
                continue;
            }
            // What is there already is taken without a look at anything else.
            let payload = match self.connection.get_copy_data_async(&never).now_or_never() {
                Some(payload) => payload,
                None => {
                    self.flush();
                    if self.since_nap > 0 {
                        self.nap();
                    }
                    messages = 0;
                    let arrived = tokio::select! {
                        biased;
                        payload = self.connection.get_copy_data_async(&never) => Some(payload),
                        () = self.queue.emptied() => None,
                        () = tokio::time::sleep(tick) => None,
                    };
                    let Some(payload) = arrived else {
                        self.tick().await?;
                        if self.queue.is_abandoned() {
                            return self.report(false).await;
                        }
                        continue;
                    };
                    payload
                }
            };
            let payload =
                payload.map_err(|cause| failure::replication("reading the log", cause))?;
            messages += 1;
            self.since_nap = self.since_nap.saturating_add(1);
            self.heard_at = Instant::now();
            self.asked = false;
            if self.payload(&payload)? {
                self.report(false).await?;
            }
        }
    }

    /// Takes one payload in. Answers whether the server wants to hear from us at once.
    fn payload(&mut self, payload: &[u8]) -> Result<bool> {
        match payload {
            // Start, end, time of sending, and the message.
            [b'w', rest @ ..] if rest.len() > 24 => {
                let (head, bytes) = rest.split_at(24);
                let message = pgoutput::read(bytes)?;
                if let Message::Commit { time, .. } = &message {
                    let sent = head[16..].try_into().map_or(0, i64::from_be_bytes);
                    self.age_us = sent.saturating_sub(*time);
                }
                if let Message::Relation(relation) = &message {
                    let unknown = self.assembler.unknown_types(relation);
                    if !unknown.is_empty() {
                        self.assembler.learn(ask_types(&self.url, &unknown)?);
                    }
                }
                self.assembler.message(message, bytes.len())?;
                self.received = self.received.max(self.assembler.end());
                Ok(false)
            }
            // End, time of sending, whether an answer is wanted.
            [b'k', rest @ ..] if rest.len() == 17 => {
                let (end, rest) = rest.split_at(8);
                let end = end.try_into().map_or(0, u64::from_be_bytes);
                self.assembler.keepalive(end);
                self.received = self.received.max(self.assembler.end());
                Ok(rest[8] == 1)
            }
            other => Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "the log's stream holds {} bytes that its protocol does not know",
                    other.len()
                ),
            )),
        }
    }

    /// Lets more come together.
    fn nap(&mut self) {
        let messages = std::mem::take(&mut self.since_nap);
        let heard = self.assembler.delivered();
        let longest = if self.age_us >= BEHIND_US {
            NAP_BEHIND
        } else if messages >= FLOOD && heard == self.heard {
            NAP_UNHEARD
        } else {
            NAP
        };
        self.heard = heard;
        self.nap = longest.min(self.nap * 2);
        std::thread::sleep(self.nap);
    }

    /// Hands over what has come out.
    fn flush(&mut self) {
        self.queue.put(self.assembler.out());
    }

    /// Tells the server where we are when it is time.
    async fn tick(&mut self) -> Result<()> {
        let silent = self.heard_at.elapsed();
        if silent > 2 * SILENCE {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "{} has not been heard of for {} s",
                    self.url,
                    silent.as_secs()
                ),
            ));
        }
        let ask = silent > SILENCE && !self.asked;
        let since = self.reported_at.elapsed();
        let news = self.flushed() > self.reported && since >= TICK;
        if ask || news || since >= self.report_every {
            self.asked |= ask;
            self.report(ask).await?;
        }
        Ok(())
    }

    /// Never beyond what was received: the server would skip it.
    fn flushed(&self) -> u64 {
        self.queue.confirmed().min(self.received)
    }

    async fn report(&mut self, ask: bool) -> Result<()> {
        let flushed = self.flushed();
        // The driver writes a line into the program's own log for every report: not wanted.
        self.connection
            .send_standby_status_update(self.received, flushed, flushed, ask)
            .with_subscriber(tracing::subscriber::NoSubscriber::new())
            .await
            .map_err(|cause| failure::replication("reporting to the log's server", cause))?;
        self.reported = flushed;
        self.reported_at = Instant::now();
        Ok(())
    }
}

/// Asks the catalogue about types, on a connection for that alone.
fn ask_types(url: &ServerUrl, unknown: &[(u32, i32)]) -> Result<TypeNames> {
    let mut plain = Replication::connect_plain(url)?;
    catalogue::types(&mut plain, unknown)
}

//! The applications: they write all the while, each in its own database, and know nothing of
//! Banyan.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode};
use serde::Serialize;

use crate::error::Result;

use super::application::{open, store};
use super::latency::{Probe, Probes, Seen};
use super::random::Random;

/// What the other side is watched for: a row, its key, and the value it shall show.
type Watched = (Seen, i64, Option<String>);
use super::side::Side;
use super::sizes::Sizes;
use super::words;

/// What all writers share.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) sizes: Sizes,
    pub(super) probes: Probes,
    stop: AtomicBool,
    counts: [Counts; 2],
}

#[derive(Debug, Default)]
struct Counts {
    transactions: AtomicU64,
    changes: AtomicU64,
    refused: AtomicU64,
}

/// What an application wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Written {
    /// Transactions committed.
    pub(super) transactions: u64,
    /// Rows inserted, updated and deleted by them.
    pub(super) changes: u64,
    /// Transactions that a constraint refused, as happens to applications.
    pub(super) refused: u64,
}

impl Traffic {
    pub(super) fn new(sizes: Sizes) -> Self {
        Self {
            sizes,
            probes: Probes::default(),
            stop: AtomicBool::new(false),
            counts: Default::default(),
        }
    }

    /// All writers finish the transaction they are at.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A transaction with so many changes is committed.
    pub(super) fn count(&self, side: Side, changes: u64) {
        let counts = &self.counts[side.index()];
        counts.transactions.fetch_add(1, Ordering::Relaxed);
        counts.changes.fetch_add(changes, Ordering::Relaxed);
    }

    /// What a side's applications wrote so far.
    pub(super) fn written(&self, side: Side) -> Written {
        let counts = &self.counts[side.index()];
        Written {
            transactions: counts.transactions.load(Ordering::Relaxed),
            changes: counts.changes.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
        }
    }
}

/// One statement with its values.
type Step = (&'static str, Vec<Value>);

/// One application.
pub(super) struct Writer<'a> {
    side: Side,
    connection: Connection,
    random: Random,
    traffic: &'a Traffic,
    /// For ids and tokens of its own.
    number: i64,
}

/// Behind by more than this, a writer gives up catching up: a long pause is no reason to flood.
const CATCH_UP_MAX: Duration = Duration::from_millis(500);

impl<'a> Writer<'a> {
    pub(super) fn new(side: Side, path: &Path, traffic: &'a Traffic, seed: u64) -> Result<Self> {
        Ok(Self {
            side,
            connection: open(path)?,
            random: Random::new(seed.wrapping_add(side.index() as u64 + 1)),
            traffic,
            number: 0,
        })
    }

    /// Writes about `changes_per_s` changes each second until told to stop.
    pub(super) fn run(mut self, changes_per_s: f64) -> Result<()> {
        let mut due = Instant::now();
        while !self.traffic.is_stopped() {
            let (steps, probe) = self.something();
            let changes = self.commit(&steps, probe)?;
            // A transaction that changed nothing takes its turn too.
            due += Duration::from_secs_f64(changes.max(1) as f64 / changes_per_s);
            let now = Instant::now();
            match due.checked_duration_since(now) {
                Some(early) => std::thread::sleep(early),
                None if now - due > CATCH_UP_MAX => due = now,
                None => {}
            }
        }
        Ok(())
    }

    /// One transaction; answers its changes.
    fn commit(&mut self, steps: &[Step], probe: Option<Watched>) -> Result<u64> {
        let connection = &self.connection;
        let result = connection.execute_batch("BEGIN IMMEDIATE").and_then(|()| {
            let mut changes = 0;
            for (sql, values) in steps {
                let mut statement = connection.prepare_cached(sql)?;
                changes += statement.execute(rusqlite::params_from_iter(values))?;
            }
            connection.execute_batch("COMMIT")?;
            Ok(changes as u64)
        });
        let at = Instant::now();
        match result {
            Ok(changes) => {
                self.traffic.count(self.side, changes);
                if let Some((seen, key, token)) = probe
                    && changes > 0
                {
                    let probe = Probe {
                        seen,
                        key,
                        token,
                        at,
                    };
                    self.traffic.probes.note(self.side, probe);
                }
                Ok(changes)
            }
            Err(error) => {
                if !connection.is_autocommit() {
                    connection
                        .execute_batch("ROLLBACK")
                        .map_err(store("roll a transaction back"))?;
                }
                match error.sqlite_error_code() {
                    // A parent that is not there (yet), a number that is taken: as in real life.
                    Some(ErrorCode::ConstraintViolation | ErrorCode::DatabaseBusy) => {
                        self.traffic.counts[self.side.index()]
                            .refused
                            .fetch_add(1, Ordering::Relaxed);
                        Ok(0)
                    }
                    _ => Err(store(format!("write to the {:?}", self.side))(error)),
                }
            }
        }
    }

    fn something(&mut self) -> (Vec<Step>, Option<Watched>) {
        self.number += 1;
        let sizes = self.traffic.sizes;
        match self.random.below(100) {
            0..25 => {
                let (id, steps) = self.order();
                (steps, Some((Seen::Order, id, None)))
            }
            25..40 => {
                let id = self.random.between(1, sizes.customers);
                (vec![self.login(id)], None)
            }
            40..52 => {
                let id = self.random.between(1, sizes.products);
                let cents = self.random.between(50, 250_000);
                let sql = self.side.choose(
                    "UPDATE products SET price = ?2 / 100.0 WHERE id = ?1",
                    "UPDATE products SET price_cents = ?2 WHERE id = ?1",
                );
                (vec![(sql, vec![id.into(), cents.into()])], None)
            }
            52..64 => {
                let id = self.random.between(1, sizes.orders);
                let sql = self.side.choose(
                    "UPDATE orders SET status = min(status + 1, 3) WHERE id = ?1 AND status < 3",
                    "UPDATE orders SET status = CASE status WHEN 'new' THEN 'paid' WHEN 'paid' \
                     THEN 'packed' ELSE 'shipped' END WHERE id = ?1 AND status IN ('new', 'paid', \
                     'packed')",
                );
                (vec![(sql, vec![id.into()])], None)
            }
            64..72 => {
                let id = self.random.between(1, sizes.payments);
                let sql = self.side.choose(
                    "UPDATE payments SET state = 'captured', paid_at = strftime('%Y-%m-%d \
                     %H:%M:%f', 'now') WHERE id = ?1 AND state <> 'captured'",
                    "UPDATE payments SET state = 'captured', settled_at = strftime('%Y-%m-%d \
                     %H:%M:%f', 'now') WHERE id = ?1 AND state <> 'captured'",
                );
                (vec![(sql, vec![id.into()])], None)
            }
            72..86 => self.track(),
            86..94 => {
                let sql = self.side.choose(
                    "INSERT INTO reviews (product_id, customer_id, stars, body, written_at) \
                     VALUES (?1, ?2, ?3, ?4, datetime('now'))",
                    "INSERT INTO reviews (product_id, client_id, stars, body, written_at) \
                     VALUES (?1, ?2, ?3, ?4, datetime('now'))",
                );
                let values = vec![
                    self.random.between(1, sizes.products).into(),
                    self.random.between(1, sizes.customers).into(),
                    self.random.between(1, 5).into(),
                    self.random.pick(words::OPINIONS).to_owned().into(),
                ];
                (vec![(sql, values)], None)
            }
            94..98 => {
                let id = self.random.between(1, sizes.addresses);
                let street = format!("{} {}", self.random.pick(words::STREETS), self.number);
                let sql = self.side.choose(
                    "UPDATE addresses SET street = ?2 WHERE id = ?1",
                    "UPDATE client_addresses SET street = ?2 WHERE id = ?1",
                );
                (vec![(sql, vec![id.into(), street.into()])], None)
            }
            _ => {
                // The last of the generated ones stays: it tells that everything is copied.
                let id = self.random.between(1, sizes.reviews - 1);
                (
                    vec![("DELETE FROM reviews WHERE id = ?1", vec![id.into()])],
                    None,
                )
            }
        }
    }

    fn login(&self, customer: i64) -> Step {
        let sql = self.side.choose(
            "UPDATE customers SET last_login = strftime('%Y-%m-%d %H:%M:%f', 'now') WHERE id = ?1",
            "UPDATE clients SET last_login = strftime('%Y-%m-%d %H:%M:%f', 'now') WHERE id = ?1",
        );
        (sql, vec![customer.into()])
    }

    /// An order with its lines, its payment, and the stock that it takes.
    fn order(&mut self) -> (i64, Vec<Step>) {
        let sizes = self.traffic.sizes;
        // Each side gives out numbers of its own, as two shops with one order book must.
        let id = 10_000_000 + 2 * self.number + self.side.index() as i64;
        let customer = self.random.between(1, sizes.customers);
        let number = format!("{}-{id:08}", self.side.choose("M", "S"));
        let cents = self.random.between(500, 90_000);
        let (city, _, zip) = self.random.pick(words::CITIES);
        let street = format!(
            "{} {}",
            self.random.pick(words::STREETS),
            self.random.between(1, 99)
        );
        let address = self.random.chance(90);
        let mut steps: Vec<Step> = Vec::with_capacity(8);
        match self.side {
            Side::Monolith => {
                let some = |v: Value| if address { v } else { Value::Null };
                steps.push((
                    "INSERT INTO orders (id, number, customer_id, total, placed_at, ship_street, \
                     ship_city, ship_zip) VALUES (?1, ?2, ?3, ?4 / 100.0, datetime('now'), ?5, \
                     ?6, ?7)",
                    vec![
                        id.into(),
                        number.into(),
                        customer.into(),
                        cents.into(),
                        some(street.into()),
                        some(city.to_owned().into()),
                        some(zip.to_string().into()),
                    ],
                ));
            }
            Side::Service => {
                steps.push((
                    "INSERT INTO orders (id, number, customer_id, total_cents, placed_at) VALUES \
                     (?1, ?2, ?3, ?4, datetime('now'))",
                    vec![id.into(), number.into(), customer.into(), cents.into()],
                ));
                if address {
                    steps.push((
                        "INSERT INTO order_addresses VALUES (?1, ?2, ?3, ?4)",
                        vec![
                            id.into(),
                            street.into(),
                            city.to_owned().into(),
                            zip.to_string().into(),
                        ],
                    ));
                }
            }
        }
        for line in 1..=self.random.between(1, 2) {
            let product = self.random.between(1, sizes.products);
            let quantity = self.random.between(1, 3);
            let cents = self.random.between(50, 90_000);
            steps.push((
                self.side.choose(
                    "INSERT INTO order_items VALUES (?1, ?2, ?3, ?4, ?5 / 100.0)",
                    "INSERT INTO order_lines VALUES (?1, ?2, ?3, ?4, ?5 / 100.0)",
                ),
                vec![
                    id.into(),
                    line.into(),
                    product.into(),
                    quantity.into(),
                    cents.into(),
                ],
            ));
            steps.push((
                self.side.choose(
                    "UPDATE stock SET on_hand = on_hand - ?2 WHERE product_id = ?1 AND \
                     warehouse_id = ?3",
                    "UPDATE stock_levels SET available = available - ?2 WHERE product_id = ?1 AND \
                     depot_id = ?3",
                ),
                vec![
                    product.into(),
                    quantity.into(),
                    sizes.warehouse_of(product, 0).into(),
                ],
            ));
        }
        steps.push((
            "INSERT INTO payments (id, order_id, method, amount, state, reference) VALUES (?1, \
             ?1, ?2, ?3 / 100.0, 'authorized', ?4)",
            vec![
                id.into(),
                self.random.pick(words::METHODS).to_owned().into(),
                cents.into(),
                format!("PAY-{id}").into(),
            ],
        ));
        (id, steps)
    }

    /// A tracking code for the next parcel. Each side has parcels of its own here, and takes them
    /// in turn, so that a code stays long enough to be looked for.
    fn track(&mut self) -> (Vec<Step>, Option<Watched>) {
        let parcels = self.traffic.sizes.shipments / 4;
        let id = 1 + self.side.index() as i64 * parcels + self.number % parcels;
        let token = format!("{}{:09}", self.side.choose("M", "S"), self.number);
        let sql = self.side.choose(
            "UPDATE shipments SET tracking = ?2 WHERE id = ?1",
            "UPDATE deliveries SET track_code = ?2 WHERE id = ?1",
        );
        let steps = vec![(sql, vec![id.into(), token.clone().into()])];
        (steps, Some((Seen::Parcel, id, Some(token))))
    }
}

//! Trouble on purpose: both sides write the same rows at the same moment.
//!
//! Each clash is a transaction on both sides, and both are open at once: nobody can carry a change
//! across before the other side's is committed, so the sync always meets a real conflict.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode};

use crate::error::Result;

use super::application::{open, store};
use super::generate::coupon;
use super::random::Random;
use super::side::Side;
use super::sizes::Sizes;
use super::traffic::Traffic;

/// What both sides do to the row (or rows) that `pick` chooses: `?1`, `?2`, … are its values.
struct Clash {
    name: &'static str,
    pick: fn(&mut Random, &Sizes, i64) -> Vec<Value>,
    monolith: &'static str,
    service: &'static str,
}

fn customer(random: &mut Random, sizes: &Sizes, number: i64) -> Vec<Value> {
    vec![random.between(1, sizes.customers).into(), number.into()]
}

fn product(random: &mut Random, sizes: &Sizes, number: i64) -> Vec<Value> {
    vec![random.between(1, sizes.products).into(), number.into()]
}

fn used_coupon(random: &mut Random, sizes: &Sizes, number: i64) -> Vec<Value> {
    vec![
        coupon(random.between(1, sizes.coupons * 3 / 4)).into(),
        number.into(),
    ]
}

fn order(random: &mut Random, sizes: &Sizes, number: i64) -> Vec<Value> {
    vec![random.between(1, sizes.orders).into(), number.into()]
}

fn address(random: &mut Random, sizes: &Sizes, number: i64) -> Vec<Value> {
    vec![random.between(1, sizes.addresses).into(), number.into()]
}

/// The first half of the parcels is where latency is measured.
fn parcel(random: &mut Random, sizes: &Sizes, number: i64) -> Vec<Value> {
    let half = sizes.shipments / 2;
    vec![
        random.between(half + 1, sizes.shipments).into(),
        number.into(),
    ]
}

const CLASHES: &[Clash] = &[
    Clash {
        name: "customer: different columns on both sides",
        pick: customer,
        monolith: "UPDATE customers SET loyalty_tier = 'gold', last_login = strftime('%Y-%m-%d \
                   %H:%M:%f', 'now') WHERE id = ?1",
        service: "UPDATE clients SET phone = '+41 ' || ?2, last_login = strftime('%Y-%m-%d \
                  %H:%M:%f', 'now') WHERE id = ?1",
    },
    Clash {
        name: "customer: two new e-mail addresses",
        pick: customer,
        monolith: "UPDATE customers SET email = 'm' || ?2 || '@example.com' WHERE id = ?1",
        service: "UPDATE clients SET email = 's' || ?2 || '@example.com' WHERE id = ?1",
    },
    Clash {
        name: "product: price here, title there",
        pick: product,
        monolith: "UPDATE products SET price = (100 + ?2) / 100.0 WHERE id = ?1",
        service: "UPDATE products SET title = title || ' ' || ?2 WHERE id = ?1",
    },
    Clash {
        name: "product: two prices",
        pick: product,
        monolith: "UPDATE products SET price = (300 + ?2) / 100.0 WHERE id = ?1",
        service: "UPDATE products SET price_cents = 200000 + ?2 WHERE id = ?1",
    },
    Clash {
        name: "stock: both sides sell",
        pick: |random, sizes, _| {
            let product = random.between(1, sizes.products);
            vec![
                product.into(),
                sizes.warehouse_of(product, 1).into(),
                random.between(1, 9).into(),
            ]
        },
        monolith: "UPDATE stock SET on_hand = on_hand - ?3 WHERE product_id = ?1 AND warehouse_id = ?2",
        service: "UPDATE stock_levels SET available = available - 10 - ?3, reserved = reserved + 1 \
                  WHERE product_id = ?1 AND depot_id = ?2",
    },
    Clash {
        name: "coupon: counted on both sides",
        pick: used_coupon,
        monolith: "UPDATE coupons SET used = used + 2 + 0 * ?2 WHERE code = ?1",
        service: "UPDATE coupons SET used = used + 5 + 0 * ?2 WHERE code = ?1",
    },
    Clash {
        name: "payment: captured here, refunded there",
        pick: |random, sizes, number| vec![random.between(1, sizes.payments).into(), number.into()],
        monolith: "UPDATE payments SET state = 'captured', paid_at = 'at ' || ?2 WHERE id = ?1",
        service: "UPDATE payments SET state = 'refunded', settled_at = 'then ' || ?2 WHERE id = ?1",
    },
    Clash {
        name: "order: two notes",
        pick: order,
        monolith: "UPDATE orders SET note = 'monolith ' || ?2 WHERE id = ?1",
        service: "UPDATE orders SET note = 'service ' || ?2 WHERE id = ?1",
    },
    Clash {
        name: "order: two addresses",
        pick: order,
        monolith: "UPDATE orders SET ship_street = 'Old Lane ' || ?2 WHERE id = ?1 AND ship_city \
                   IS NOT NULL",
        service: "UPDATE order_addresses SET ship_street = 'New Road ' || ?2 WHERE id = ?1",
    },
    Clash {
        name: "review: two new ones under one number",
        pick: |random, sizes, number| {
            let product = random.between(1, sizes.products).into();
            vec![
                product,
                random.between(1, sizes.customers).into(),
                number.into(),
            ]
        },
        monolith: "INSERT INTO reviews (product_id, customer_id, stars, body, written_at) VALUES \
                   (?1, ?2, 4, 'monolith ' || ?3, datetime('now'))",
        service: "INSERT INTO reviews (product_id, client_id, stars, body, written_at) VALUES (?1, \
                  ?2, 2, 'service ' || ?3, datetime('now'))",
    },
    Clash {
        name: "address: deleted here, changed there",
        pick: address,
        monolith: "DELETE FROM addresses WHERE id = ?1",
        service: "UPDATE client_addresses SET street = 'New Road ' || ?2 WHERE id = ?1",
    },
    Clash {
        name: "parcel: changed here, deleted there",
        pick: parcel,
        monolith: "UPDATE shipments SET carrier = 'carrier ' || ?2 WHERE id = ?1",
        service: "DELETE FROM deliveries WHERE id = ?1",
    },
    Clash {
        name: "address: deleted on both sides",
        pick: address,
        monolith: "DELETE FROM addresses WHERE id = ?1",
        service: "DELETE FROM client_addresses WHERE id = ?1",
    },
    Clash {
        name: "coupon: the same change on both sides",
        pick: used_coupon,
        monolith: "UPDATE coupons SET valid_until = '2028-01-' || (10 + ?2 % 18) WHERE code = ?1",
        service: "UPDATE coupons SET valid_until = '2028-01-' || (10 + ?2 % 18) WHERE code = ?1",
    },
];

/// With those that need more than two statements.
const KINDS: i64 = CLASHES.len() as i64 + 4;

/// After this time somebody notices two customers with one e-mail address, and asks.
const STAFF_AFTER: Duration = Duration::from_millis(800);

/// So long a new category may take to the service before nobody waits for it any more.
const ARRIVES_WITHIN: Duration = Duration::from_secs(2);

/// Makes the clashes.
pub(super) struct Clashes<'a> {
    connections: [Connection; 2],
    random: Random,
    traffic: &'a Traffic,
    number: i64,
    provoked: BTreeMap<&'static str, u64>,
    /// Customers of the monolith whose e-mail address a client of the service has, and since when.
    twins: VecDeque<(Instant, i64)>,
}

type Work<'w> = &'w [(&'w str, &'w [Value])];

impl<'a> Clashes<'a> {
    pub(super) fn new(paths: [&Path; 2], traffic: &'a Traffic, seed: u64) -> Result<Self> {
        Ok(Self {
            connections: [open(paths[0])?, open(paths[1])?],
            random: Random::new(seed ^ 0xC1A5),
            traffic,
            number: 0,
            provoked: BTreeMap::new(),
            twins: VecDeque::new(),
        })
    }

    /// One clash after the other until the writers are told to stop; then what only a person can
    /// put right is put right. Answers how many there were of each kind.
    pub(super) fn run(mut self, pause: Duration) -> Result<BTreeMap<&'static str, u64>> {
        // Every kind comes up at least twice, however slow the machine.
        while !self.traffic.is_stopped() || self.number < 2 * KINDS {
            self.number += 1;
            self.next()?;
            self.staff(STAFF_AFTER)?;
            std::thread::sleep(pause);
        }
        self.staff(Duration::ZERO)?;
        Ok(self.provoked)
    }

    fn next(&mut self) -> Result<()> {
        let turn = self.number % KINDS;
        let (name, done) = match usize::try_from(turn).ok().and_then(|i| CLASHES.get(i)) {
            Some(clash) => {
                let values = (clash.pick)(&mut self.random, &self.traffic.sizes, self.number);
                let done = self.both(&[(clash.monolith, &values)], &[(clash.service, &values)])?;
                (clash.name, done)
            }
            None => match KINDS - turn {
                1 => ("product: two article numbers swapped", self.swap()?),
                2 => ("coupon: renamed", self.rename()?),
                3 => ("customer: one e-mail address given twice", self.twin()?),
                _ => ("category: deleted here, used there", self.late_parent()?),
            },
        };
        if done {
            *self.provoked.entry(name).or_insert(0) += 1;
        }
        Ok(())
    }

    /// Writes on both sides in two transactions that are open at once. `false`, with nothing
    /// written, when a row is not there (yet) or a constraint refuses.
    fn both(&self, monolith: Work<'_>, service: Work<'_>) -> Result<bool> {
        // Always in this order, as the sync takes its locks.
        let work = [monolith, service];
        let result: rusqlite::Result<Option<[u64; 2]>> = (|| {
            let mut changes = [0_u64; 2];
            for (connection, steps) in self.connections.iter().zip(work) {
                if !steps.is_empty() {
                    connection.execute_batch("BEGIN IMMEDIATE")?;
                }
            }
            for ((connection, steps), changes) in
                self.connections.iter().zip(work).zip(&mut changes)
            {
                for (sql, values) in steps {
                    let mut statement = connection.prepare_cached(sql)?;
                    let used = statement.parameter_count().min(values.len());
                    let changed = statement.execute(rusqlite::params_from_iter(&values[..used]))?;
                    if changed == 0 {
                        return Ok(None);
                    }
                    *changes += changed as u64;
                }
            }
            for (connection, steps) in self.connections.iter().zip(work) {
                if !steps.is_empty() {
                    connection.execute_batch("COMMIT")?;
                }
            }
            Ok(Some(changes))
        })();
        for connection in &self.connections {
            if !connection.is_autocommit() {
                connection
                    .execute_batch("ROLLBACK")
                    .map_err(store("roll a clash back"))?;
            }
        }
        match result {
            Ok(None) => Ok(false),
            Ok(Some(changes)) => {
                for (side, changes) in Side::BOTH.into_iter().zip(changes) {
                    if changes > 0 {
                        self.traffic.count(side, changes);
                    }
                }
                Ok(true)
            }
            Err(error) => match error.sqlite_error_code() {
                Some(ErrorCode::ConstraintViolation | ErrorCode::DatabaseBusy) => Ok(false),
                _ => Err(store("make both sides clash")(error)),
            },
        }
    }

    /// Two values of a unique column change places in one transaction.
    fn swap(&mut self) -> Result<bool> {
        let sizes = &self.traffic.sizes;
        let a = self.random.between(1, sizes.products);
        let b = self.random.between(1, sizes.products);
        if a == b {
            return Ok(false);
        }
        let sku = |id: i64| -> Result<Value> {
            self.connections[0]
                .query_row("SELECT sku FROM products WHERE id = ?1", [id], |row| {
                    row.get(0)
                })
                .map_err(store("read an article number"))
        };
        let (of_a, of_b) = (sku(a)?, sku(b)?);
        let set = "UPDATE products SET sku = ?2 WHERE id = ?1";
        let between = format!("moving {}", self.number).into();
        self.both(
            &[
                (set, &[a.into(), between]),
                (set, &[b.into(), of_a]),
                (set, &[a.into(), of_b]),
            ],
            &[],
        )
    }

    /// A key changes: for the other side a row goes and another one comes.
    fn rename(&mut self) -> Result<bool> {
        let coupons = self.traffic.sizes.coupons;
        let code = coupon(self.random.between(coupons * 3 / 4 + 1, coupons));
        let new = format!("{code}-{}", self.number);
        let rename = "UPDATE coupons SET code = ?2 WHERE code = ?1";
        self.both(&[(rename, &[code.into(), new.into()])], &[])
    }

    /// Both sides take on a customer with the same e-mail address: a unique value that only a
    /// person can sort out. The monolith's has an address, which must wait for its parent.
    fn twin(&mut self) -> Result<bool> {
        let (ours, theirs) = (20_000_000 + 2 * self.number, 20_000_001 + 2 * self.number);
        let email: Value = format!("twin{}@example.com", self.number).into();
        let done = self.both(
            &[
                (
                    "INSERT INTO customers (id, first_name, last_name, email) VALUES (?1, 'Castor', \
                     'Gemini', ?2)",
                    &[ours.into(), email.clone()],
                ),
                (
                    "INSERT INTO addresses VALUES (?1, ?1, 'home', 'Sky 1', 'Bern', NULL, 'CH')",
                    &[ours.into()],
                ),
            ],
            &[(
                "INSERT INTO clients (id, full_name, email) VALUES (?1, 'Pollux Gemini', ?2)",
                &[theirs.into(), email],
            )],
        )?;
        if done {
            self.twins.push_back((Instant::now(), ours));
        }
        Ok(done)
    }

    /// The shop's staff corrects the e-mail addresses of customers taken on longer ago than this.
    fn staff(&mut self, longer_than: Duration) -> Result<()> {
        while let Some(&(since, id)) = self.twins.front() {
            if since.elapsed() < longer_than {
                break;
            }
            let sql = "UPDATE customers SET email = 'castor' || id || '@example.com' WHERE id = ?1";
            if self.both(&[(sql, &[id.into()])], &[])? {
                *self
                    .provoked
                    .entry("customer: e-mail address corrected by the staff")
                    .or_insert(0) += 1;
            }
            self.twins.pop_front();
        }
        Ok(())
    }

    /// The monolith deletes a category just as the service puts a product into it. The category
    /// has to come back.
    fn late_parent(&mut self) -> Result<bool> {
        let id = 1_000_000 + self.number;
        let made = self.both(
            &[(
                "INSERT INTO categories (id, slug, name) VALUES (?1, 'new-' || ?1, 'New')",
                &[id.into()],
            )],
            &[],
        )?;
        if !made || !self.reached_service(id)? {
            return Ok(false);
        }
        self.both(
            &[("DELETE FROM categories WHERE id = ?1", &[id.into()])],
            &[(
                "INSERT INTO products (id, sku, title, category_id, price_cents) VALUES (?1, \
                 'NEW-' || ?1, 'New', ?1, 990)",
                &[id.into()],
            )],
        )
    }

    /// Whether the category is there within a time that is enough while the sync runs.
    fn reached_service(&self, category: i64) -> Result<bool> {
        let deadline = Instant::now() + ARRIVES_WITHIN;
        loop {
            let there = self.connections[1]
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM categories WHERE id = ?1)")
                .and_then(|mut s| s.query_row([category], |row| row.get(0)))
                .map_err(store("look for a category"))?;
            if there || Instant::now() > deadline {
                return Ok(there);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

//! The shop as it is before the move: both databases with their schemas, the monolith's full.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::error::Result;

use super::application::{create, store};
use super::random::Random;
use super::sizes::Sizes;
use super::words;

const SHOP: &str = include_str!("../../../examples/shop/schema/shop.sql");
const ORDERS: &str = include_str!("../../../examples/shop/schema/orders.sql");

/// Makes both databases; `seed` decides what the rows hold.
pub(super) fn generate(shop: &Path, orders: &Path, sizes: &Sizes, seed: u64) -> Result<()> {
    create(orders, ORDERS)?;
    let connection = create(shop, SHOP)?;
    let mut maker = Maker {
        connection: &connection,
        random: Random::new(seed),
        sizes,
    };
    connection
        .execute_batch("PRAGMA synchronous = OFF; BEGIN")
        .and_then(|()| maker.fill())
        .and_then(|()| connection.execute_batch("COMMIT; ANALYZE"))
        .map_err(store("fill the demo's shop.db"))
}

struct Maker<'a> {
    connection: &'a Connection,
    random: Random,
    sizes: &'a Sizes,
}

type Done = rusqlite::Result<()>;

impl Maker<'_> {
    /// Parents first.
    fn fill(&mut self) -> Done {
        self.suppliers()?;
        self.categories()?;
        self.products()?;
        self.warehouses()?;
        self.stock()?;
        self.customers()?;
        self.addresses()?;
        self.coupons()?;
        self.orders()?;
        self.order_items()?;
        self.payments()?;
        self.shipments()?;
        self.reviews()
    }

    fn date(&mut self, year: i64) -> String {
        let (month, day) = (self.random.between(1, 12), self.random.between(1, 28));
        format!("{year}-{month:02}-{day:02}")
    }

    fn moment(&mut self) -> String {
        let year = self.random.between(2023, 2025);
        let date = self.date(year);
        let (h, m, s) = (
            self.random.below(24),
            self.random.below(60),
            self.random.below(60),
        );
        format!("{date} {h:02}:{m:02}:{s:02}")
    }

    fn street(&mut self) -> String {
        format!(
            "{} {}",
            self.random.pick(words::STREETS),
            self.random.between(1, 180)
        )
    }

    /// City, zip, country. Zips are text: some begin with a zero.
    fn place(&mut self) -> (&'static str, String, &'static str) {
        let (city, country, zip) = self.random.pick(words::CITIES);
        let width = if country == "CH" || country == "NL" {
            4
        } else {
            5
        };
        let zip = zip + self.random.below(60);
        (city, format!("{zip:0width$}"), country)
    }

    fn suppliers(&mut self) -> Done {
        let mut insert = self
            .connection
            .prepare("INSERT INTO suppliers VALUES (?1, ?2, ?3, ?4)")?;
        for id in 1..=self.sizes.suppliers {
            let name = format!("{} & Co. {id}", self.random.pick(words::LAST_NAMES));
            let (_, _, country) = self.place();
            let rating = self
                .random
                .chance(80)
                .then(|| self.random.between(10, 50) as f64 / 10.0);
            insert.execute(params![id, name, country, rating])?;
        }
        Ok(())
    }

    fn categories(&mut self) -> Done {
        let mut insert = self
            .connection
            .prepare("INSERT INTO categories VALUES (?1, ?2, ?3, ?4)")?;
        for id in 1..=self.sizes.categories {
            let parent = (id > 8).then(|| self.random.between(1, id - 1));
            let name = format!(
                "{} {}",
                self.random.pick(words::KINDS),
                self.random.pick(words::THINGS)
            );
            insert.execute(params![id, parent, format!("category-{id}"), name])?;
        }
        Ok(())
    }

    fn products(&mut self) -> Done {
        let mut insert = self.connection.prepare(
            "INSERT INTO products (id, sku, name, category_id, supplier_id, price, discontinued, \
             description) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        for id in 1..=self.sizes.products {
            let random = &mut self.random;
            let name = format!(
                "{} {}",
                random.pick(words::KINDS),
                random.pick(words::THINGS)
            );
            let description = random.chance(70).then(|| random.pick(words::OPINIONS));
            let supplier = random
                .chance(95)
                .then(|| random.between(1, self.sizes.suppliers));
            insert.execute(params![
                id,
                format!("SKU-{id:06}"),
                name,
                random.between(1, self.sizes.categories),
                supplier,
                random.money(50, 250_000),
                i64::from(random.chance(5)),
                description,
            ])?;
        }
        Ok(())
    }

    fn warehouses(&mut self) -> Done {
        let mut insert = self
            .connection
            .prepare("INSERT INTO warehouses VALUES (?1, ?2, ?3, ?4)")?;
        for id in 1..=self.sizes.warehouses {
            let (city, _, country) = self.place();
            let capacity = self
                .random
                .chance(80)
                .then(|| self.random.money(100_000, 5_000_000).round());
            insert.execute(params![id, format!("{country}-{id:02}"), city, capacity])?;
        }
        Ok(())
    }

    fn stock(&mut self) -> Done {
        let mut insert = self
            .connection
            .prepare("INSERT INTO stock VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for n in 0..self.sizes.stock {
            // Each product lies in as many warehouses as it takes, all different.
            let product = n % self.sizes.products + 1;
            let warehouse = self.sizes.warehouse_of(product, n / self.sizes.products);
            let on_hand = self.random.between(50, 5_000);
            let counted = self.random.chance(90).then(|| self.moment());
            insert.execute(params![
                product,
                warehouse,
                on_hand,
                self.random.below(20),
                counted
            ])?;
        }
        Ok(())
    }

    fn customers(&mut self) -> Done {
        let mut insert = self
            .connection
            .prepare("INSERT INTO customers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
        for id in 1..=self.sizes.customers {
            let first = self.random.pick(words::FIRST_NAMES);
            let last = self.random.pick(words::LAST_NAMES);
            let phone = self
                .random
                .chance(60)
                .then(|| format!("+41 {:07}", self.random.below(10_000_000)));
            let login = self.random.chance(85).then(|| self.moment());
            let born = self.random.between(1940, 2007);
            let birthday = self.random.chance(50).then(|| self.date(born));
            insert.execute(params![
                id,
                first,
                last,
                format!("customer{id}@example.com"),
                phone,
                self.random.pick(words::TIERS),
                i64::from(!self.random.chance(10)),
                login,
                birthday,
            ])?;
        }
        Ok(())
    }

    fn addresses(&mut self) -> Done {
        let mut insert = self
            .connection
            .prepare("INSERT INTO addresses VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        for id in 1..=self.sizes.addresses {
            let customer = (id - 1) % self.sizes.customers + 1;
            let kind = if id <= self.sizes.customers {
                "home"
            } else {
                "work"
            };
            let street = self.street();
            let (city, zip, country) = self.place();
            let zip = self.random.chance(97).then_some(zip);
            insert.execute(params![id, customer, kind, street, city, zip, country])?;
        }
        Ok(())
    }

    fn coupons(&mut self) -> Done {
        let mut insert = self
            .connection
            .prepare("INSERT INTO coupons VALUES (?1, ?2, ?3, ?4)")?;
        for id in 1..=self.sizes.coupons {
            let until = self.random.chance(80).then(|| self.date(2027));
            let percent = self.random.between(2, 60) as f64 / 2.0;
            insert.execute(params![coupon(id), percent, self.random.below(400), until])?;
        }
        Ok(())
    }

    fn orders(&mut self) -> Done {
        let mut insert = self
            .connection
            .prepare("INSERT INTO orders VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?;
        for id in 1..=self.sizes.orders {
            // The last quarter of the coupons was never used: those can be renamed.
            let used = self.sizes.coupons * 3 / 4;
            let with_coupon = self
                .random
                .chance(20)
                .then(|| coupon(self.random.between(1, used)));
            let placed = self.moment();
            // Orders that are fetched have no address.
            let (street, city, zip) = if self.random.chance(92) {
                let street = self.street();
                let (city, zip, _) = self.place();
                (Some(street), Some(city), Some(zip))
            } else {
                (None, None, None)
            };
            let note = self
                .random
                .chance(15)
                .then(|| self.random.pick(words::OPINIONS));
            insert.execute(params![
                id,
                format!("M-{id:08}"),
                self.random.between(1, self.sizes.customers),
                with_coupon,
                self.random.between(0, 4),
                self.random.money(500, 90_000),
                placed,
                street,
                city,
                zip,
                note,
            ])?;
        }
        Ok(())
    }

    fn order_items(&mut self) -> Done {
        let mut insert = self
            .connection
            .prepare("INSERT INTO order_items VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for n in 0..self.sizes.order_items {
            let (order, line) = (n % self.sizes.orders + 1, n / self.sizes.orders + 1);
            insert.execute(params![
                order,
                line,
                self.random.between(1, self.sizes.products),
                self.random.between(1, 5),
                // Some are whole: an integer in the service's DECIMAL column, a real here.
                self.random.money(50, 90_000),
            ])?;
        }
        Ok(())
    }

    fn payments(&mut self) -> Done {
        let mut insert = self
            .connection
            .prepare("INSERT INTO payments VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        for id in 1..=self.sizes.payments {
            let state = self.random.pick(&words::PAYMENT_STATES[..3]);
            let paid = (state == "captured").then(|| self.moment());
            let reference = self.random.chance(90).then(|| format!("PAY-{id:08}"));
            insert.execute(params![
                id,
                (id - 1) % self.sizes.orders + 1,
                self.random.pick(words::METHODS),
                self.random.money(500, 90_000),
                state,
                reference,
                paid,
            ])?;
        }
        Ok(())
    }

    fn shipments(&mut self) -> Done {
        let mut insert = self
            .connection
            .prepare("INSERT INTO shipments VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        for id in 1..=self.sizes.shipments {
            let weight = self
                .random
                .chance(90)
                .then(|| self.random.between(1, 40_000) as f64 / 1000.0);
            let shipped = self.random.chance(80).then(|| self.moment());
            insert.execute(params![
                id,
                self.random.between(1, self.sizes.orders),
                self.random.between(1, self.sizes.warehouses),
                self.random.pick(words::CARRIERS),
                self.random.chance(70).then(|| format!("TRK{id:09}")),
                weight,
                shipped,
            ])?;
        }
        Ok(())
    }

    fn reviews(&mut self) -> Done {
        let mut insert = self
            .connection
            .prepare("INSERT INTO reviews VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        for id in 1..=self.sizes.reviews {
            let written = self.moment();
            let body = self
                .random
                .chance(85)
                .then(|| self.random.pick(words::OPINIONS));
            insert.execute(params![
                id,
                self.random.between(1, self.sizes.products),
                self.random.between(1, self.sizes.customers),
                self.random.between(1, 5),
                body,
                self.random.below(50),
                written,
            ])?;
        }
        Ok(())
    }
}

/// The code of a generated coupon.
pub(super) fn coupon(number: i64) -> String {
    format!("SAVE-{number:05}")
}

//! Gives orders another shape on the other side, and takes it back without losing anything.
//!
//! | source (table 0) | target (table 1) |
//! |---|---|
//! | `first_name`, `last_name` | `full_name` |
//! | `price` REAL | `price_cents` INTEGER |
//! | `status` INTEGER | `status` TEXT |
//!
//! Columns listed in `address` go into table 2, under the same key; an order without an address
//! has no row there. All other columns are kept under their names. A value that would not come
//! back the same (a first name with a space, a price with half a cent, a status without a name) is
//! refused: its row is parked, nothing is rounded.
//!
//! Settings, all optional: `first_name`, `last_name`, `full_name`, `price`, `price_cents`,
//! `status` (column names), `statuses` (names, from 0), `address` (columns).

use banyan_rule::{Failure, Info, Output, Row, Rule, Settings, Table, Transformer, Value};

const STATUSES: [&str; 5] = ["new", "paid", "packed", "shipped", "cancelled"];
/// Doubles hold every integer up to here; beyond it cents would be guessed.
const CENTS_MAX: u64 = 9_007_199_254_740_992;

/// The rule with its settings.
pub struct ReshapeOrders {
    first_name: String,
    last_name: String,
    full_name: String,
    price: String,
    price_cents: String,
    status: String,
    statuses: Vec<String>,
    address: Vec<String>,
    /// Which of the three changes the tables have columns for.
    names: bool,
    prices: bool,
    states: bool,
    /// The key's names.
    key: Vec<String>,
}

impl Rule for ReshapeOrders {
    fn info() -> Info {
        banyan_rule::info!()
    }

    fn new(settings: &Settings) -> Result<Self, Failure> {
        let name = |setting: &str| -> Result<String, Failure> {
            Ok(settings.text_or(setting, setting)?.to_owned())
        };
        let list = |setting: &str, default: &[&str]| -> Result<Vec<String>, Failure> {
            let texts = settings.texts(setting)?;
            let texts = texts.unwrap_or_else(|| default.to_vec());
            Ok(texts.into_iter().map(str::to_owned).collect())
        };
        Ok(Self {
            first_name: name("first_name")?,
            last_name: name("last_name")?,
            full_name: name("full_name")?,
            price: name("price")?,
            price_cents: name("price_cents")?,
            status: name("status")?,
            statuses: list("statuses", &STATUSES)?,
            address: list("address", &[])?,
            names: false,
            prices: false,
            states: false,
            key: Vec::new(),
        })
    }

    fn open(&mut self, tables: &[Table]) -> Result<(), Failure> {
        let [source, order, rest @ ..] = tables else {
            return Err(Failure::fatal("there must be a source and a target table"));
        };
        self.names = order.find(&self.full_name).is_some();
        if self.names {
            source.column(&self.first_name)?;
            source.column(&self.last_name)?;
        }
        self.prices = order.find(&self.price_cents).is_some();
        if self.prices {
            source.column(&self.price)?;
        }
        self.states = order.find(&self.status).is_some() && source.find(&self.status).is_some();
        self.key = source
            .key()
            .iter()
            .map(|&k| source.columns()[k].name.clone())
            .collect();
        match (rest, self.address.is_empty()) {
            ([], true) => Ok(()),
            ([address], false) => {
                for column in self.key.iter().chain(&self.address) {
                    source.column(column)?;
                    address.column(column)?;
                }
                Ok(())
            }
            ([], false) => Err(Failure::fatal(
                "setting \"address\" is set, but there is no second target table",
            )),
            _ => Err(Failure::fatal(
                "there is a second target table; name its columns in setting \"address\"",
            )),
        }
    }
}

impl Transformer for ReshapeOrders {
    fn forward<'a>(&self, row: &Row<'a>, out: &mut Output<'a>) -> Result<(), Failure> {
        let mut order = out.row(1);
        if self.names {
            order.set(&self.full_name, self.join(row)?);
        }
        if self.prices {
            order.set(&self.price_cents, cents(row.get(&self.price))?);
        }
        if self.states {
            order.set(&self.status, self.status_name(row.get(&self.status))?);
        }
        order.copy_same_names(row);
        if self.address.iter().any(|column| !row.is_null(column)) {
            let mut address = out.row(2);
            for column in self.key.iter().chain(&self.address) {
                address.set(column, row.get(column));
            }
        }
        Ok(())
    }

    fn backward<'a>(
        &self,
        table: usize,
        row: &Row<'a>,
        out: &mut Output<'a>,
    ) -> Result<(), Failure> {
        let mut source = out.row(0);
        if table == 1 {
            if self.names {
                let (first, last) = split(row.get(&self.full_name))?;
                source.set(&self.first_name, first).set(&self.last_name, last);
            }
            if self.prices {
                source.set(&self.price, price(row.get(&self.price_cents))?);
            }
            if self.states {
                source.set(&self.status, self.status_number(row.get(&self.status))?);
            }
        }
        source.copy_same_names(row);
        Ok(())
    }
}

impl ReshapeOrders {
    fn join<'a>(&self, row: &Row<'a>) -> Result<Value<'a>, Failure> {
        let (first, last) = (row.get(&self.first_name), row.get(&self.last_name));
        let joined = match (&first, &last) {
            (Value::Null, Value::Null) => Value::Null,
            (Value::Text(first), Value::Text(last)) => format!("{first} {last}").into(),
            _ => {
                return Err(Failure::reject(format!(
                    "{} and {} cannot be joined to a full name",
                    first, last
                )));
            }
        };
        let back = split(joined.clone())?;
        if back == (first.clone(), last.clone()) {
            Ok(joined)
        } else {
            Err(Failure::reject(format!(
                "the names {first} and {last} could not be told apart again"
            )))
        }
    }

    fn status_name<'a>(&self, status: Value<'a>) -> Result<Value<'a>, Failure> {
        match &status {
            Value::Null => Ok(Value::Null),
            Value::Int(number) => usize::try_from(*number)
                .ok()
                .and_then(|n| self.statuses.get(n))
                .map(|name| name.clone().into())
                .ok_or_else(|| self.unknown(&status)),
            _ => Err(self.unknown(&status)),
        }
    }

    fn status_number<'a>(&self, status: Value<'a>) -> Result<Value<'a>, Failure> {
        if status.is_null() {
            return Ok(Value::Null);
        }
        let position = self.statuses.iter().position(|name| status == name.as_str());
        match position {
            Some(number) => Ok((number as i64).into()),
            None => Err(self.unknown(&status)),
        }
    }

    fn unknown(&self, status: &Value<'_>) -> Failure {
        Failure::reject(format!(
            "status {status} has no counterpart; there are {}",
            self.statuses.join(", ")
        ))
    }
}

/// At the first space, so that a last name may have several words.
fn split<'a>(full: Value<'a>) -> Result<(Value<'a>, Value<'a>), Failure> {
    match &full {
        Value::Null => Ok((Value::Null, Value::Null)),
        Value::Text(text) => match text.split_once(' ') {
            Some((first, last)) => Ok((first.to_owned().into(), last.to_owned().into())),
            None => Err(Failure::reject(format!(
                "the full name {full} has no space between first and last name"
            ))),
        },
        _ => Err(Failure::reject(format!("{full} is no name"))),
    }
}

fn cents<'a>(price: Value<'a>) -> Result<Value<'a>, Failure> {
    let amount = match &price {
        Value::Null => return Ok(Value::Null),
        Value::Int(_) | Value::Float(_) => price.as_float(),
        _ => None,
    };
    let whole = amount.map(|a| (a * 100.0).round() as i64);
    match (amount, whole) {
        // Only what comes back as the same double may go.
        (Some(amount), Some(whole)) if back(whole).map(f64::to_bits) == Some(amount.to_bits()) => {
            Ok(whole.into())
        }
        _ => Err(Failure::reject(format!("{price} is no price in whole cents"))),
    }
}

fn price<'a>(cents: Value<'a>) -> Result<Value<'a>, Failure> {
    match cents {
        Value::Null => Ok(Value::Null),
        Value::Int(whole) if back(whole).is_some() => Ok(back(whole).into()),
        other => Err(Failure::reject(format!("{other} is no amount in cents"))),
    }
}

/// Cents as a price, where a double can hold it.
fn back(cents: i64) -> Option<f64> {
    (cents.unsigned_abs() < CENTS_MAX).then_some(cents as f64 / 100.0)
}

banyan_rule::export_transformer!(ReshapeOrders);

#[cfg(test)]
mod tests;

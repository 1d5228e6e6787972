//! What every rule is.

use crate::bindings::lifecycle::banyan::rules::types as wire;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::table::Table;

/// Who a rule is. [`crate::info!`] takes it from `Cargo.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in a sentence.
    pub summary: String,
}

/// What every rule is. A rule is made anew for each batch; it keeps nothing from one to the next.
pub trait Rule: Sized + 'static {
    /// Who it is: `banyan_rule::info!()`.
    fn info() -> Info;

    /// Reads the settings. They are checked when the configuration is; settings that this never
    /// asks for are refused.
    fn new(settings: &Settings) -> Result<Self, Failure>;

    /// Prepares for the tables of a batch: look up columns here. One table for a resolver or a
    /// validator; the source's and then the target's for a transformer; never called for a router.
    fn open(&mut self, tables: &[Table]) -> Result<(), Failure> {
        let _ = tables;
        Ok(())
    }
}

/// A rule with its settings and tables.
#[doc(hidden)]
#[derive(Debug)]
pub struct Opened<R> {
    pub rule: R,
    pub tables: Vec<Table>,
}

impl<R: Rule> Opened<R> {
    #[doc(hidden)]
    pub fn open(settings: &str, tables: Vec<Table>) -> Result<Self, Failure> {
        let settings = Settings::parse(settings)?;
        let mut rule = R::new(&settings)?;
        settings.finish()?;
        if !tables.is_empty() {
            rule.open(&tables)?;
        }
        Ok(Self { rule, tables })
    }

    #[doc(hidden)]
    pub fn open_wire(settings: &str, tables: Vec<wire::Table>) -> Result<Self, wire::Failure> {
        crate::log::install_panic_hook();
        let tables = tables.into_iter().map(Table::from_wire).collect();
        Self::open(settings, tables).map_err(|failure| failure.at_row(None))
    }

    #[doc(hidden)]
    pub fn table(&self) -> Result<&Table, wire::Failure> {
        self.tables
            .first()
            .ok_or_else(|| wire::Failure::Fatal("opened without a table".to_owned()))
    }
}

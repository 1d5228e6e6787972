//! What people, streets and things are called.

/// Without spaces: a full name is taken apart at the first one.
pub(super) const FIRST_NAMES: &[&str] = &[
    "Ada",
    "Aïcha",
    "Anna",
    "Björn",
    "Chloé",
    "Dmitri",
    "Elif",
    "Émile",
    "Fatima",
    "Grace",
    "Hana",
    "Ivan",
    "Jean-Luc",
    "José",
    "Kenji",
    "Łukasz",
    "Mai",
    "Noor",
    "Olga",
    "Pía",
    "Quentin",
    "Ravi",
    "Søren",
    "Tomás",
    "Ursula",
    "Vera",
    "Wei",
    "Ximena",
    "Yusuf",
    "Zoë",
    "李",
    "さくら",
];

/// Some of several words.
pub(super) const LAST_NAMES: &[&str] = &[
    "Lovelace",
    "Müller",
    "van Dijk",
    "de la Cruz",
    "O'Brien",
    "Nguyễn",
    "Kowalska",
    "Rossi",
    "García Márquez",
    "Hopper",
    "Turing",
    "Yılmaz",
    "Ōe",
    "Smith-Jones",
    "Dvořák",
    "Ng",
    "Öberg",
    "d'Alembert",
    "Papadopoulos",
    "Ivanova",
    "al-Khwarizmi",
    "Noether",
    "Zhang",
    "Ferreira",
];

pub(super) const STREETS: &[&str] = &[
    "Hauptstrasse",
    "Rue de la Gare",
    "High Street",
    "Via Roma",
    "Calle Mayor",
    "Storgatan",
    "Kerkstraat",
    "Ulica Długa",
    "Bahnhofweg",
    "Rosengasse",
];

/// City, country, first digits of the zip.
pub(super) const CITIES: &[(&str, &str, i64)] = &[
    ("Bern", "CH", 3000),
    ("Zürich", "CH", 8000),
    ("Lyon", "FR", 69000),
    ("Malmö", "SE", 21000),
    ("Kraków", "PL", 30000),
    ("Torino", "IT", 10100),
    ("Utrecht", "NL", 3500),
    ("Köln", "DE", 50667),
    ("Cádiz", "ES", 11000),
    ("Dresden", "DE", 1067),
];

pub(super) const TIERS: &[&str] = &[
    "bronze", "bronze", "bronze", "silver", "silver", "gold", "platinum",
];

pub(super) const THINGS: &[&str] = &[
    "Lamp",
    "Kettle",
    "Chair",
    "Notebook",
    "Backpack",
    "Bicycle bell",
    "Umbrella",
    "Teapot",
    "Headphones",
    "Desk",
    "Plant pot",
    "Blanket",
    "Compass",
    "Puzzle",
    "Screwdriver",
    "Candle",
];

pub(super) const KINDS: &[&str] = &[
    "Small", "Blue", "Oak", "Folding", "Classic", "Nº 5", "½ litre", "Nordic",
];

pub(super) const CARRIERS: &[&str] = &["Post", "DHL", "GLS", "Bike courier"];

pub(super) const METHODS: &[&str] = &["card", "invoice", "transfer", "voucher"];

/// How far a payment is, in order.
pub(super) const PAYMENT_STATES: &[&str] = &["pending", "authorized", "captured", "refunded"];

pub(super) const OPINIONS: &[&str] = &[
    "Does what it should.",
    "Broke after a week :-(",
    "",
    "Beautiful! \u{1F600}",
    "NULL",
    "\"Solid\", as they say; would buy again",
    "Arrived late,\nbut works.",
    "5 stars | no, 4",
];

-- The orders service. The same data in another shape: money in cents, states by name, one name for
-- a client, an order's address in a table of its own. Suppliers stay in the monolith.

CREATE TABLE categories (
    id        INTEGER PRIMARY KEY,
    parent_id INTEGER REFERENCES categories (id),
    slug      TEXT NOT NULL UNIQUE,
    name      TEXT NOT NULL
);
CREATE INDEX categories_by_parent ON categories (parent_id);

CREATE TABLE products (
    id          INTEGER PRIMARY KEY,
    sku         TEXT NOT NULL UNIQUE,
    title       TEXT NOT NULL,
    category_id INTEGER NOT NULL REFERENCES categories (id),
    price_cents INTEGER NOT NULL CHECK (price_cents >= 0),
    state       TEXT NOT NULL DEFAULT 'active',
    description TEXT
);
CREATE INDEX products_by_category ON products (category_id);

CREATE TABLE depots (
    id        INTEGER PRIMARY KEY,
    code      TEXT NOT NULL UNIQUE,
    town      TEXT NOT NULL,
    volume_m3 DECIMAL(10, 2)
);

CREATE TABLE stock_levels (
    product_id INTEGER NOT NULL REFERENCES products (id),
    depot_id   INTEGER NOT NULL REFERENCES depots (id),
    available  INTEGER NOT NULL,
    reserved   INTEGER NOT NULL DEFAULT 0,
    counted_at TEXT,
    PRIMARY KEY (product_id, depot_id)
);
CREATE INDEX stock_levels_by_depot ON stock_levels (depot_id);

CREATE TABLE clients (
    id           INTEGER PRIMARY KEY,
    full_name    TEXT NOT NULL,
    email        TEXT NOT NULL UNIQUE,
    phone        TEXT,
    loyalty_tier TEXT NOT NULL DEFAULT 'bronze',
    status       TEXT NOT NULL DEFAULT 'active',
    last_login   TEXT,
    birthday     TEXT,
    avatar       BLOB                            -- the service's own; not mapped
);

CREATE TABLE client_addresses (
    id        INTEGER PRIMARY KEY,
    client_id INTEGER NOT NULL REFERENCES clients (id),
    kind      TEXT NOT NULL,
    street    TEXT NOT NULL,
    town      TEXT NOT NULL,
    postcode  TEXT,
    country   TEXT NOT NULL,
    UNIQUE (client_id, kind)
);

CREATE TABLE coupons (
    code        TEXT PRIMARY KEY NOT NULL,
    percent     REAL NOT NULL,
    used        INTEGER NOT NULL DEFAULT 0,
    valid_until TEXT
);

CREATE TABLE orders (
    id          INTEGER PRIMARY KEY,
    number      TEXT NOT NULL UNIQUE,
    customer_id INTEGER NOT NULL REFERENCES clients (id),
    coupon_code TEXT REFERENCES coupons (code),
    status      TEXT NOT NULL DEFAULT 'new',
    total_cents INTEGER NOT NULL,
    placed_at   TEXT NOT NULL,
    note        TEXT
);
CREATE INDEX orders_by_customer ON orders (customer_id);
CREATE INDEX orders_by_coupon ON orders (coupon_code);

CREATE TABLE order_addresses (
    id          INTEGER PRIMARY KEY REFERENCES orders (id),
    ship_street TEXT,
    ship_city   TEXT,
    ship_zip    TEXT
);

CREATE TABLE order_lines (
    order_id   INTEGER NOT NULL REFERENCES orders (id),
    line       INTEGER NOT NULL,
    product_id INTEGER NOT NULL REFERENCES products (id),
    quantity   INTEGER NOT NULL CHECK (quantity > 0),
    unit_price DECIMAL(10, 2) NOT NULL,
    PRIMARY KEY (order_id, line)
) WITHOUT ROWID;
CREATE INDEX order_lines_by_product ON order_lines (product_id);

CREATE TABLE payments (
    id         INTEGER PRIMARY KEY,
    order_id   INTEGER NOT NULL REFERENCES orders (id),
    method     TEXT NOT NULL,
    amount     REAL NOT NULL,
    state      TEXT NOT NULL,
    reference  TEXT UNIQUE,
    settled_at TEXT
);
CREATE INDEX payments_by_order ON payments (order_id);

CREATE TABLE deliveries (
    id         INTEGER PRIMARY KEY,
    order_id   INTEGER NOT NULL REFERENCES orders (id),
    depot_id   INTEGER NOT NULL REFERENCES depots (id),
    carrier    TEXT NOT NULL,
    track_code TEXT,
    weight_kg  REAL,
    left_at    TEXT
);
CREATE INDEX deliveries_by_order ON deliveries (order_id);
CREATE INDEX deliveries_by_depot ON deliveries (depot_id);

CREATE TABLE reviews (
    id         INTEGER PRIMARY KEY,
    product_id INTEGER NOT NULL REFERENCES products (id),
    client_id  INTEGER NOT NULL REFERENCES clients (id),
    stars      INTEGER NOT NULL,
    body       TEXT,
    helpful    INTEGER NOT NULL DEFAULT 0,
    written_at TEXT NOT NULL
);
CREATE INDEX reviews_by_product ON reviews (product_id);
CREATE INDEX reviews_by_client ON reviews (client_id);

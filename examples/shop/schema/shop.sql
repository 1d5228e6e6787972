-- The monolith. Money is REAL, states are numbers, an order carries its address with it.

CREATE TABLE suppliers (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    country TEXT NOT NULL,
    rating  REAL
);

CREATE TABLE categories (
    id        INTEGER PRIMARY KEY,
    parent_id INTEGER REFERENCES categories (id),
    slug      TEXT NOT NULL UNIQUE,
    name      TEXT NOT NULL
);
CREATE INDEX categories_by_parent ON categories (parent_id);

CREATE TABLE products (
    id             INTEGER PRIMARY KEY,
    sku            TEXT NOT NULL UNIQUE,
    name           TEXT NOT NULL,
    category_id    INTEGER NOT NULL REFERENCES categories (id),
    supplier_id    INTEGER REFERENCES suppliers (id),
    price          REAL NOT NULL CHECK (price >= 0),
    price_with_tax REAL GENERATED ALWAYS AS (round(price * 1.081, 2)) VIRTUAL,
    discontinued   INTEGER NOT NULL DEFAULT 0,
    description    TEXT
);
CREATE INDEX products_by_category ON products (category_id);
CREATE INDEX products_by_supplier ON products (supplier_id);

CREATE TABLE warehouses (
    id       INTEGER PRIMARY KEY,
    code     TEXT NOT NULL UNIQUE,
    city     TEXT NOT NULL,
    capacity REAL
);

CREATE TABLE stock (
    product_id   INTEGER NOT NULL REFERENCES products (id),
    warehouse_id INTEGER NOT NULL REFERENCES warehouses (id),
    on_hand      INTEGER NOT NULL,
    reserved     INTEGER NOT NULL DEFAULT 0,
    counted_at   TEXT,
    PRIMARY KEY (product_id, warehouse_id)
) WITHOUT ROWID;
CREATE INDEX stock_by_warehouse ON stock (warehouse_id);

CREATE TABLE customers (
    id           INTEGER PRIMARY KEY,
    first_name   TEXT NOT NULL,
    last_name    TEXT NOT NULL,
    email        TEXT NOT NULL UNIQUE,
    phone        TEXT,
    loyalty_tier TEXT NOT NULL DEFAULT 'bronze',
    status       INTEGER NOT NULL DEFAULT 1,   -- 0 new, 1 active, 2 blocked
    last_login   TEXT,
    birthday     TEXT
);

CREATE TABLE addresses (
    id          INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    kind        TEXT NOT NULL,
    street      TEXT NOT NULL,
    city        TEXT NOT NULL,
    zip         TEXT,
    country     TEXT NOT NULL,
    UNIQUE (customer_id, kind)
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
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    coupon_code TEXT REFERENCES coupons (code),
    status      INTEGER NOT NULL DEFAULT 0,    -- 0 new, 1 paid, 2 packed, 3 shipped, 4 cancelled
    total       REAL NOT NULL,
    placed_at   TEXT NOT NULL,
    ship_street TEXT,
    ship_city   TEXT,
    ship_zip    TEXT,
    note        TEXT
);
CREATE INDEX orders_by_customer ON orders (customer_id);
CREATE INDEX orders_by_coupon ON orders (coupon_code);

CREATE TABLE order_items (
    order_id   INTEGER NOT NULL REFERENCES orders (id),
    line       INTEGER NOT NULL,
    product_id INTEGER NOT NULL REFERENCES products (id),
    quantity   INTEGER NOT NULL CHECK (quantity > 0),
    unit_price REAL NOT NULL,
    PRIMARY KEY (order_id, line)
);
CREATE INDEX order_items_by_product ON order_items (product_id);

CREATE TABLE payments (
    id        INTEGER PRIMARY KEY,
    order_id  INTEGER NOT NULL REFERENCES orders (id),
    method    TEXT NOT NULL,
    amount    REAL NOT NULL,
    state     TEXT NOT NULL,                   -- pending, authorized, captured, refunded
    reference TEXT UNIQUE,
    paid_at   TEXT
);
CREATE INDEX payments_by_order ON payments (order_id);

CREATE TABLE shipments (
    id           INTEGER PRIMARY KEY,
    order_id     INTEGER NOT NULL REFERENCES orders (id),
    warehouse_id INTEGER NOT NULL REFERENCES warehouses (id),
    carrier      TEXT NOT NULL,
    tracking     TEXT,
    weight_kg    REAL,
    shipped_at   TEXT
);
CREATE INDEX shipments_by_order ON shipments (order_id);
CREATE INDEX shipments_by_warehouse ON shipments (warehouse_id);

CREATE TABLE reviews (
    id          INTEGER PRIMARY KEY,
    product_id  INTEGER NOT NULL REFERENCES products (id),
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    stars       INTEGER NOT NULL,
    body        TEXT,
    helpful     INTEGER NOT NULL DEFAULT 0,
    written_at  TEXT NOT NULL
);
CREATE INDEX reviews_by_product ON reviews (product_id);
CREATE INDEX reviews_by_customer ON reviews (customer_id);

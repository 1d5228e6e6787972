//! How many rows each table of the shop gets.

/// Rows by table; they add up to what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) suppliers: i64,
    pub(super) categories: i64,
    pub(super) products: i64,
    pub(super) warehouses: i64,
    pub(super) stock: i64,
    pub(super) customers: i64,
    pub(super) addresses: i64,
    pub(super) coupons: i64,
    pub(super) orders: i64,
    pub(super) order_items: i64,
    pub(super) payments: i64,
    pub(super) shipments: i64,
    pub(super) reviews: i64,
}

impl Sizes {
    /// Shares out `rows`.
    pub(super) fn of(rows: u32) -> Self {
        let rows = i64::from(rows);
        let mut sizes = Self {
            suppliers: (rows / 1000).max(5),
            categories: 60,
            products: rows * 2 / 100,
            warehouses: 12,
            stock: rows * 6 / 100,
            customers: rows * 8 / 100,
            addresses: rows * 9 / 100,
            coupons: (rows / 200).max(20),
            orders: rows * 16 / 100,
            order_items: rows * 34 / 100,
            payments: rows * 14 / 100,
            shipments: rows * 5 / 100,
            reviews: 0,
        };
        sizes.reviews = rows - sizes.total();
        sizes
    }

    /// The warehouse in which the product lies for the `layer`th time.
    pub(super) fn warehouse_of(&self, product: i64, layer: i64) -> i64 {
        (layer + product) % self.warehouses + 1
    }

    /// All rows.
    pub(super) fn total(&self) -> i64 {
        self.suppliers
            + self.categories
            + self.products
            + self.warehouses
            + self.stock
            + self.customers
            + self.addresses
            + self.coupons
            + self.orders
            + self.order_items
            + self.payments
            + self.shipments
            + self.reviews
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_add_up() {
        for rows in [2_000, 12_345, 200_000, 5_000_000] {
            let sizes = Sizes::of(rows);
            assert_eq!(sizes.total(), i64::from(rows));
            assert!(sizes.reviews > 0, "{sizes:?}");
        }
    }
}

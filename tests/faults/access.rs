//! What the server does not allow is said, with what would allow it, before anything is touched.

use crate::support::servers::{Kind, Server, Variant};
use crate::support::sides::{Side, Sides};

use super::{BOTH, Place, TABLES, assert_refused, assert_same, each_server, server_side, sides};

each_server!(
    a_wrong_password,
    a_user_who_may_not_read_the_log,
    a_user_who_may_not_write_the_tables,
    a_server_that_wants_tls,
    a_server_without_a_log,
);

/// The program as another user.
fn configure_as(sides: &Sides, place: Place, user: &str, password: &str) {
    let url = server_side(sides, place).database().url_as(user, password);
    match place {
        Place::Source => sides.configure_urls(&url, &sides.target.url(), TABLES),
        Place::Target => sides.configure_urls(&sides.source.url(), &url, TABLES),
    }
}

/// `check` and `sync` say it, and neither leaves anything behind.
fn assert_refused_before_anything(sides: &Sides, cures: &[&str]) {
    let before = sides.both().map(Side::catalog);
    for arguments in [&["check"][..], &["sync", "shop", "--until-idle"]] {
        assert_refused(&sides.shop.run(arguments), cures);
    }
    for (side, before) in sides.both().into_iter().zip(before) {
        assert_eq!(side.catalog(), before);
    }
    assert_eq!(super::count(&sides.target, "id > 0"), 0);
}

fn a_wrong_password(kind: Kind) {
    for place in BOTH {
        let sides = sides(Server::shared(kind), place);
        let app = server_side(&sides, place).database().app();
        configure_as(&sides, place, app, "s3cret-but-wrong");
        assert_refused_before_anything(&sides, &["password", "Access denied"]);
    }
}

/// A user that these statements make; they call it `@user@`, and the database `@database@`.
fn limited_user(sides: &Sides, place: Place, postgres: &[&str], mysql: &[&str]) -> String {
    let database = server_side(sides, place).database();
    let user = format!("u_{}", database.name());
    let name = database.name();
    let statements = match database.kind() {
        Kind::Postgres => postgres,
        Kind::Mysql => mysql,
    };
    let mut admin = database.admin();
    for sql in statements {
        let sql = sql.replace("@user@", &user).replace("@database@", name);
        admin.execute(&sql).unwrap_or_else(|e| panic!("{e}: {sql}"));
    }
    user
}

fn a_user_who_may_not_read_the_log(kind: Kind) {
    let sides = sides(Server::shared(kind), Place::Source);
    let app = sides.source.database().app();
    let user = limited_user(
        &sides,
        Place::Source,
        &[
            "CREATE ROLE @user@ LOGIN PASSWORD 's3cret'",
            "ALTER TABLE items OWNER TO @user@",
            "ALTER TABLE counters OWNER TO @user@",
            "GRANT ALL ON DATABASE @database@ TO @user@",
            "GRANT ALL ON SCHEMA public TO @user@",
        ],
        &[
            "CREATE USER '@user@'@'%' IDENTIFIED BY 's3cret'",
            "GRANT ALL PRIVILEGES ON @database@.* TO '@user@'@'%'",
        ],
    );
    configure_as(&sides, Place::Source, &user, "s3cret");
    // Left to itself, it would capture by triggers.
    let path = sides.shop.path("banyan.toml");
    let told = std::fs::read_to_string(&path).unwrap();
    let told = told.replacen(
        "\n[stores.service]",
        "capture = \"log\"\n\n[stores.service]",
        1,
    );
    assert!(told.contains("capture"));
    std::fs::write(&path, told).unwrap();
    assert_refused_before_anything(&sides, &["REPLICATION"]);
    let cleanup = match kind {
        Kind::Postgres => {
            format!("REASSIGN OWNED BY {user} TO {app}; DROP OWNED BY {user}; DROP ROLE {user}")
        }
        Kind::Mysql => format!("DROP USER '{user}'@'%'"),
    };
    sides.source.database().admin().execute(&cleanup).unwrap();
}

fn a_user_who_may_not_write_the_tables(kind: Kind) {
    let sides = sides(Server::shared(kind), Place::Target);
    let user = limited_user(
        &sides,
        Place::Target,
        &[
            "CREATE ROLE @user@ LOGIN REPLICATION PASSWORD 's3cret'",
            "GRANT ALL ON DATABASE @database@ TO @user@",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO @user@",
        ],
        &[
            "CREATE USER '@user@'@'%' IDENTIFIED BY 's3cret'",
            "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '@user@'@'%'",
            "GRANT SELECT ON @database@.* TO '@user@'@'%'",
        ],
    );
    configure_as(&sides, Place::Target, &user, "s3cret");
    assert_refused_before_anything(&sides, &["GRANT", "own", "privilege"]);
    let cleanup = match kind {
        Kind::Postgres => format!("DROP OWNED BY {user}; DROP ROLE {user}"),
        Kind::Mysql => format!("DROP USER '{user}'@'%'"),
    };
    sides.target.database().admin().execute(&cleanup).unwrap();
}

/// Applications write as before; only the program must use TLS.
fn a_server_that_wants_tls(kind: Kind) {
    let Some(server) = Server::own(kind, Variant::TlsOnly) else {
        return;
    };
    let shop = crate::support::program::Shop::empty();
    let file = Side::file(shop.path("other.db"));
    let database = server.database();
    let mut admin = database.admin();
    // The owner is the program's user, who cannot come without TLS, as the tests' own connections do.
    admin.execute(super::SCHEMA).unwrap();
    if kind == Kind::Postgres {
        for table in ["items", "counters"] {
            admin
                .execute(&format!("ALTER TABLE {table} OWNER TO {}", database.app()))
                .unwrap();
        }
    }
    file.sql(super::SCHEMA);
    super::insert(&file, 1..101);
    let configure = |url: &str| {
        shop.configure(&format!(
            "[stores.monolith]\nurl = \"{}\"\n[stores.service]\nurl = \"{url}\"\n\
             [migrations.shop]\nsource = \"monolith\"\ntarget = \"service\"\nmode = \"two-way\"\n{TABLES}",
            file.url()
        ));
    };
    let (without, with) = match kind {
        Kind::Postgres => ("sslmode=disable", "sslmode=require"),
        Kind::Mysql => ("ssl-mode=DISABLED", "ssl-mode=REQUIRED"),
    };
    configure(&format!("{}?{without}", database.url()));
    assert_refused(&shop.run(&["check"]), &["TLS", "SSL", "pg_hba.conf"]);
    configure(&format!("{}?{with}", database.url()));
    shop.json(&["sync", "shop", "--until-idle"]);
    assert_eq!(admin.number("SELECT count(*) FROM items"), 100);
    admin
        .execute("UPDATE items SET name = 'over TLS' WHERE id = 1")
        .unwrap();
    shop.json(&["sync", "shop", "--until-idle"]);
    assert_eq!(super::count(&file, "name = 'over TLS'"), 1);
}

/// Either there is another way, or the setting is named.
fn a_server_without_a_log(kind: Kind) {
    let Some(server) = Server::own(kind, Variant::NoLog) else {
        return;
    };
    let sides = sides(&server, Place::Source);
    let shown = sides.shop.run(&["sync", "shop", "--until-idle"]);
    if shown.code == 0 {
        assert_same(&sides);
    } else {
        assert_refused_before_anything(&sides, &["wal_level", "log_bin", "log-bin"]);
    }
}

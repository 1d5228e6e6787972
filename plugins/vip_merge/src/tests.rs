use banyan_rule::testing::{ConflictCase, open, table};
use banyan_rule::{Table, Value, Verdict};

use super::VipMerge;

fn customers() -> Table {
    table(
        "customers",
        &[
            ("id", "INTEGER"),
            ("email", "TEXT"),
            ("loyalty_tier", "TEXT"),
            ("last_login", "TEXT"),
            ("city", "TEXT"),
            ("zip", "TEXT"),
        ],
        &["id"],
    )
}

type Row<'a> = [(&'a str, Value<'a>); 6];

fn row<'a>(email: &'a str, tier: &'a str, login: &'a str, city: &'a str, zip: &'a str) -> Row<'a> {
    [
        ("id", 7.into()),
        ("email", email.into()),
        ("loyalty_tier", tier.into()),
        ("last_login", login.into()),
        ("city", city.into()),
        ("zip", zip.into()),
    ]
}

fn base() -> Row<'static> {
    row("a@x", "silver", "2026-01-01", "Bern", "3000")
}

#[test]
fn the_higher_tier_and_the_later_login_win_whichever_side_has_them() {
    let case = ConflictCase::new(&customers())
        .base(&base())
        .source(&row("a@x", "gold", "2026-01-02", "Bern", "3000"))
        .target(&row("a@x", "silver", "2026-03-01", "Bern", "3000"));
    for case in [case.clone(), case.mirrored()] {
        let decided = case.resolve::<VipMerge>("{}").unwrap();
        assert_eq!(decided.merged("loyalty_tier"), "gold");
        assert_eq!(decided.merged("last_login"), "2026-03-01");
        assert_eq!(decided.merged("id"), &7);
    }
}

#[test]
fn no_tier_falls_below_the_floor() {
    let case = ConflictCase::new(&customers())
        .base(&base())
        .source(&row("a@x", "bronze", "2026-01-02", "Bern", "3000"))
        .target(&row("a@x", "silver", "2026-01-02", "Bern", "3000"));
    let decided = case.resolve::<VipMerge>(r#"{"floor": "gold"}"#).unwrap();
    assert_eq!(decided.merged("loyalty_tier"), "gold");
}

#[test]
fn address_columns_are_merged_one_by_one() {
    let case = ConflictCase::new(&customers())
        .base(&base())
        .source(&row("a@x", "silver", "2026-01-01", "Thun", "3000"))
        .target(&row("b@x", "silver", "2026-01-01", "Bern", "3600"));
    let decided = case.resolve::<VipMerge>("{}").unwrap();
    assert_eq!(decided.merged("city"), "Thun");
    assert_eq!(decided.merged("zip"), "3600");
    assert_eq!(decided.merged("email"), "b@x");
}

#[test]
fn the_source_wins_the_email_where_both_changed_it() {
    let case = ConflictCase::new(&customers())
        .base(&base())
        .source(&row("s@x", "silver", "2026-01-01", "Bern", "3000"))
        .target(&row("t@x", "silver", "2026-01-01", "Bern", "3000"));
    let decided = case.resolve::<VipMerge>("{}").unwrap();
    assert_eq!(decided.merged("email"), "s@x");
}

#[test]
fn a_clash_goes_by_the_setting() {
    let case = ConflictCase::new(&customers())
        .base(&base())
        .source(&row("a@x", "silver", "2026-01-01", "Thun", "3000"))
        .target(&row("a@x", "silver", "2026-01-01", "Biel", "3000"));
    let parked = case.resolve::<VipMerge>("{}").unwrap();
    assert_eq!(
        parked.verdict(),
        &Verdict::park(r#"both sides changed city: "Thun" and "Biel""#)
    );
    let city = |settings: &str, source, target| {
        let case = case.clone().committed_us(source, target);
        case.resolve::<VipMerge>(settings).unwrap().merged("city").to_string()
    };
    assert_eq!(city(r#"{"on_clash": "source"}"#, None, None), "\"Thun\"");
    assert_eq!(city(r#"{"on_clash": "target"}"#, None, None), "\"Biel\"");
    assert_eq!(city(r#"{"on_clash": "newest"}"#, Some(1), Some(2)), "\"Biel\"");
    assert_eq!(city(r#"{"on_clash": "newest"}"#, Some(3), Some(2)), "\"Thun\"");
}

#[test]
fn equal_or_unknown_times_decide_nothing() {
    for times in [(Some(5), Some(5)), (None, Some(5)), (Some(5), None)] {
        let case = ConflictCase::new(&customers())
            .base(&base())
            .source(&row("a@x", "silver", "2026-01-01", "Thun", "3000"))
            .target(&row("a@x", "silver", "2026-01-01", "Biel", "3000"))
            .committed_us(times.0, times.1);
        let decided = case.resolve::<VipMerge>(r#"{"on_clash": "newest"}"#).unwrap();
        assert!(matches!(decided.verdict(), Verdict::Park(_)), "{times:?}");
    }
}

#[test]
fn a_deleted_customer_lives_on_only_from_the_tier_that_is_kept() {
    let gold = ConflictCase::new(&customers())
        .base(&base())
        .target(&row("a@x", "gold", "2026-01-01", "Bern", "3000"));
    let settings = r#"{"keep_from": "gold"}"#;
    assert_eq!(gold.resolve::<VipMerge>(settings).unwrap().verdict(), &Verdict::Target);
    assert_eq!(gold.resolve::<VipMerge>("{}").unwrap().verdict(), &Verdict::Delete);
    let source = gold.mirrored();
    assert_eq!(source.resolve::<VipMerge>(settings).unwrap().verdict(), &Verdict::Source);
}

#[test]
fn settings_are_checked() {
    let refused = |settings: &str| match open::<VipMerge>(settings, &[&customers()]) {
        Ok(_) => panic!("{settings} was taken"),
        Err(failure) => failure.to_string(),
    };
    assert_eq!(
        refused(r#"{"floor": "diamond"}"#),
        "setting \"floor\" is \"diamond\"; the tiers are bronze, silver, gold, platinum"
    );
    assert!(refused(r#"{"flor": "gold"}"#).starts_with("unknown setting \"flor\""));
    assert_eq!(
        refused(r#"{"tier_column": "level"}"#),
        "table customers has no column \"level\"; it has id, email, loyalty_tier, last_login, \
         city, zip"
    );
}

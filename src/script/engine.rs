//! The closed engine: what scripts can call, and what stops them.
//!
//! Rhai is not closed by default. Here:
//! - packages are named one by one; the one with the clock is not among them, and `sleep` and
//!   `timestamp()` are defined to fail, also when they are reached through `Fn("sle" + "ep")`;
//! - `eval`, `import` and `export` do not compile; `print` and `debug` go to the log;
//! - closures, `curry` and `this` are off: through them a script could build values nested without
//!   end (whose destruction would exhaust the stack) or doubling in size, unseen by [`super::meter`];
//! - functions whose result can be much larger than their arguments check that first ([`super::guard`]);
//! - operations, call depth, sizes, variables, time and memory are limited.
//!
//! The functions that are left stand in `allowed.txt`; a test compares, so that a new version of
//! Rhai cannot open the engine unnoticed.

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage,
    BasicMathPackage, BasicStringPackage, BitFieldPackage, LanguageCorePackage, LogicPackage,
    MoreStringPackage, Package as _,
};
use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Map};

use super::answer::Built;
use super::diagnose::Refusal;
use super::log::{self, Level};
use super::spec::Limits;
use super::types::raise;
use super::{guard, meter, types, view};

/// Calls of functions within functions.
const CALL_LEVELS_MAX: usize = 16;
/// Expressions within expressions, outside and inside of functions.
const EXPRESSION_DEPTH_MAX: usize = 64;
const FUNCTION_EXPRESSION_DEPTH_MAX: usize = 32;
/// Variables of a function.
const VARIABLES_MAX: usize = 128;
/// Functions of a script.
const FUNCTIONS_MAX: usize = 256;
/// Elements of an array with all arrays inside it.
pub(super) const ARRAY_MAX: usize = 10_000;
/// Entries of a map with all maps inside it.
pub(super) const MAP_MAX: usize = 10_000;
/// Arrays and maps inside each other: deeper ones could exhaust the stack when they are compared,
/// printed or dropped.
pub(super) const DEPTH_MAX: usize = 64;

rhai::def_package! {
    /// Rhai's own functions. One package, since every call looks through all of them.
    RulePackage(_module) : LanguageCorePackage, ArithmeticPackage, BasicStringPackage,
        BasicIteratorPackage, BasicFnPackage, BitFieldPackage, LogicPackage, BasicMathPackage,
        BasicArrayPackage, BasicMapPackage, MoreStringPackage
    {
    }
}

/// An engine for the script of that name.
pub(super) fn build(rule: &str, limits: &Limits, words: &view::Words, script: &str) -> Engine {
    let mut engine = Engine::new_raw();
    engine.register_global_module(RulePackage::new().as_shared_module());
    limit(&mut engine, limits);
    close(&mut engine);
    logging(&mut engine, rule);
    types::register(&mut engine);
    view::register(&mut engine, words, script);
    guard::register(&mut engine, limits);
    answers(&mut engine);
    meter::watch(&mut engine, limits);
    engine
}

fn limit(engine: &mut Engine, limits: &Limits) {
    engine
        .set_max_operations(0) // the meter counts them
        .set_max_call_levels(CALL_LEVELS_MAX)
        .set_max_expr_depths(EXPRESSION_DEPTH_MAX, FUNCTION_EXPRESSION_DEPTH_MAX)
        .set_max_string_size(limits.text_bytes())
        .set_max_array_size(ARRAY_MAX)
        .set_max_map_size(MAP_MAX)
        .set_max_variables(VARIABLES_MAX)
        .set_max_functions(FUNCTIONS_MAX)
        .set_max_modules(0)
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        .set_allow_anonymous_fn(false);
}

fn close(engine: &mut Engine) {
    fn no_sleep() -> Result<(), Box<EvalAltResult>> {
        raise("a rule cannot sleep: a conflict is waiting for its answer")
    }
    fn no_list() -> Result<(), Box<EvalAltResult>> {
        raise("a rule cannot list functions")
    }
    for symbol in ["eval", "import", "export", "curry", "this"] {
        engine.disable_symbol(symbol);
    }
    engine
        .register_fn("sleep", |_: i64| no_sleep())
        .register_fn("sleep", |_: f64| no_sleep())
        .register_fn("timestamp", || -> Result<(), Box<EvalAltResult>> {
            raise(
                "a rule cannot read the clock: the same rows must always get the same answer; \
                 commit times are in the conflict",
            )
        })
        // The order of the list depends on hashes that differ from run to run.
        .register_fn("get_fn_metadata_list", no_list)
        .register_fn("get_fn_metadata_list", |_: ImmutableString| no_list())
        .register_fn("get_fn_metadata_list", |_: ImmutableString, _: i64| {
            no_list()
        });
}

fn logging(engine: &mut Engine, rule: &str) {
    for (name, level) in [
        ("log_debug", Level::Debug),
        ("log_info", Level::Info),
        ("log_warn", Level::Warn),
        ("log_error", Level::Error),
    ] {
        let rule = rule.to_owned();
        engine.register_fn(name, move |text: &str| log::line(&rule, level, text));
    }
    let printed = rule.to_owned();
    engine.on_print(move |text| log::line(&printed, Level::Info, text));
    let debugged = rule.to_owned();
    engine.on_debug(move |text, _, at| {
        log::line(&debugged, Level::Debug, &format!("{text} ({at})"));
    });
}

/// The functions that answers are built with.
fn answers(engine: &mut Engine) {
    fn refuse(fatal: bool, message: &str) -> Result<(), Box<EvalAltResult>> {
        let refusal = Refusal {
            fatal,
            message: message.to_owned(),
        };
        let thrown = Dynamic::from(refusal);
        Err(EvalAltResult::ErrorRuntime(thrown, rhai::Position::NONE).into())
    }
    engine
        .register_type_with_name::<Built>("answer")
        .register_type_with_name::<Refusal>("refusal")
        .register_fn("park", |why: ImmutableString| Built::Park(why))
        .register_fn("error", |text: ImmutableString| Built::Note {
            error: true,
            text,
        })
        .register_fn("warning", |text: ImmutableString| Built::Note {
            error: false,
            text,
        })
        .register_fn("refuse", |status: i64, message: ImmutableString| {
            Built::Refuse { status, message }
        })
        .register_fn("to_service", |headers: Map| Built::To {
            service: true,
            headers,
        })
        .register_fn("to_monolith", |headers: Map| Built::To {
            service: false,
            headers,
        })
        .register_fn("reject", |why: &str| refuse(false, why))
        .register_fn("fatal", |why: &str| refuse(true, why));
}

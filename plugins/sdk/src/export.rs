//! The macros that make a component of a rule.

/// Who the rule is, from its `Cargo.toml`: name, version, description.
#[macro_export]
macro_rules! info {
    () => {
        $crate::Info {
            name: ::std::env!("CARGO_PKG_NAME").to_owned(),
            version: ::std::env!("CARGO_PKG_VERSION").to_owned(),
            summary: ::std::env!("CARGO_PKG_DESCRIPTION").to_owned(),
        }
    };
}

/// Makes a component of a [`Resolver`](crate::Resolver).
#[macro_export]
macro_rules! export_resolver {
    ($rule:ty) => {
        $crate::export_rule!($rule: resolver);
    };
}

/// Makes a component of a [`Transformer`](crate::Transformer).
#[macro_export]
macro_rules! export_transformer {
    ($rule:ty) => {
        $crate::export_rule!($rule: transformer);
    };
}

/// Makes a component of a [`Validator`](crate::Validator).
#[macro_export]
macro_rules! export_validator {
    ($rule:ty) => {
        $crate::export_rule!($rule: validator);
    };
}

/// Makes a component of a [`Router`](crate::Router).
#[macro_export]
macro_rules! export_router {
    ($rule:ty) => {
        $crate::export_rule!($rule: router);
    };
}

/// Makes a component of a rule that fulfils several roles:
/// `export_rule!(MyRule: resolver, validator);`.
#[macro_export]
macro_rules! export_rule {
    ($rule:ty: $($role:ident),+ $(,)?) => {
        #[doc(hidden)]
        #[allow(dead_code)]
        mod __banyan_export {
            use super::*;

            pub struct Exported;

            ::std::thread_local! {
                static OPENED: ::std::cell::RefCell<::std::option::Option<$crate::Opened<$rule>>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            /// Runs a question on the rule that `open` made.
            fn opened<T>(
                ask: impl FnOnce(&$crate::Opened<$rule>) -> ::std::result::Result<T, $crate::wire::Failure>,
            ) -> ::std::result::Result<T, $crate::wire::Failure> {
                OPENED.with_borrow(|opened| match opened {
                    ::std::option::Option::Some(opened) => ask(opened),
                    ::std::option::Option::None => ::std::result::Result::Err(
                        $crate::wire::Failure::Fatal("asked before it was opened".to_owned()),
                    ),
                })
            }

            impl $crate::bindings::lifecycle::exports::banyan::rules::lifecycle::Guest for Exported {
                fn describe() -> $crate::bindings::lifecycle::exports::banyan::rules::lifecycle::Info {
                    $crate::install_panic_hook();
                    let info = <$rule as $crate::Rule>::info();
                    $crate::bindings::lifecycle::exports::banyan::rules::lifecycle::Info {
                        name: info.name,
                        version: info.version,
                        summary: info.summary,
                    }
                }

                fn open(
                    settings: ::std::string::String,
                    tables: ::std::vec::Vec<$crate::wire::Table>,
                ) -> ::std::result::Result<(), $crate::wire::Failure> {
                    let opened = $crate::Opened::<$rule>::open_wire(&settings, tables)?;
                    OPENED.set(::std::option::Option::Some(opened));
                    ::std::result::Result::Ok(())
                }
            }

            #[cfg(target_arch = "wasm32")]
            $crate::bindings::lifecycle::export_lifecycle!(
                Exported with_types_in $crate::bindings::lifecycle
            );
            $($crate::__export_role!($role);)+
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_role {
    (resolver) => {
        impl $crate::bindings::resolver::exports::banyan::rules::resolver::Guest for Exported {
            fn resolve(
                batch: $crate::bindings::resolver::exports::banyan::rules::resolver::Conflicts,
            ) -> ::std::result::Result<
                $crate::bindings::resolver::exports::banyan::rules::resolver::Verdicts,
                $crate::wire::Failure,
            > {
                opened(|opened| $crate::run_resolver(&opened.rule, opened.table()?, &batch))
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::resolver::export_resolver_part!(
            Exported with_types_in $crate::bindings::resolver
        );
    };
    (transformer) => {
        impl $crate::bindings::transformer::exports::banyan::rules::transformer::Guest for Exported {
            fn transform(
                direction: $crate::wire::Direction,
                table: u32,
                batch: $crate::wire::Rows,
            ) -> ::std::result::Result<
                ::std::vec::Vec<
                    $crate::bindings::transformer::exports::banyan::rules::transformer::RoutedRows,
                >,
                $crate::wire::Failure,
            > {
                opened(|opened| {
                    $crate::run_transformer(&opened.rule, &opened.tables, direction, table, &batch)
                })
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::transformer::export_transformer_part!(
            Exported with_types_in $crate::bindings::transformer
        );
    };
    (validator) => {
        impl $crate::bindings::validator::exports::banyan::rules::validator::Guest for Exported {
            fn validate(
                batch: $crate::wire::Rows,
            ) -> ::std::result::Result<::std::vec::Vec<$crate::wire::Note>, $crate::wire::Failure>
            {
                opened(|opened| $crate::run_validator(&opened.rule, opened.table()?, &batch))
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::validator::export_validator_part!(
            Exported with_types_in $crate::bindings::validator
        );
    };
    (router) => {
        impl $crate::bindings::router::exports::banyan::rules::router::Guest for Exported {
            fn route(
                request: $crate::bindings::router::exports::banyan::rules::router::RequestHead,
            ) -> ::std::result::Result<
                $crate::bindings::router::exports::banyan::rules::router::Decision,
                $crate::wire::Failure,
            > {
                opened(|opened| $crate::run_router(&opened.rule, request))
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::router::export_router_part!(
            Exported with_types_in $crate::bindings::router
        );
    };
}

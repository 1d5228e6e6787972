//! Generated from `wit/`. One world for each interface, so that a rule may export any set of them:
//! the worlds are merged when the component is made.

#![allow(missing_docs, missing_debug_implementations, clippy::all)]

/// The log and `lifecycle`.
pub mod lifecycle {
    wit_bindgen::generate!({
        inline: r#"
            package banyan:sdk@0.1.0;
            world lifecycle-part {
                import banyan:rules/host@0.1.0;
                export banyan:rules/lifecycle@0.1.0;
            }
        "#,
        path: "wit",
        world: "banyan:sdk/lifecycle-part",
        generate_all,
        additional_derives: [Clone, PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
        default_bindings_module: "banyan_rule::bindings::lifecycle",
    });
}

/// `resolver`.
pub mod resolver {
    wit_bindgen::generate!({
        inline: r#"
            package banyan:sdk@0.1.0;
            world resolver-part { export banyan:rules/resolver@0.1.0; }
        "#,
        path: "wit",
        world: "banyan:sdk/resolver-part",
        with: { "banyan:rules/types@0.1.0": super::lifecycle::banyan::rules::types },
        generate_all,
        additional_derives: [Clone, PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_resolver_part",
        default_bindings_module: "banyan_rule::bindings::resolver",
    });
}

/// `transformer`.
pub mod transformer {
    wit_bindgen::generate!({
        inline: r#"
            package banyan:sdk@0.1.0;
            world transformer-part { export banyan:rules/transformer@0.1.0; }
        "#,
        path: "wit",
        world: "banyan:sdk/transformer-part",
        with: { "banyan:rules/types@0.1.0": super::lifecycle::banyan::rules::types },
        generate_all,
        additional_derives: [Clone, PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_transformer_part",
        default_bindings_module: "banyan_rule::bindings::transformer",
    });
}

/// `validator`.
pub mod validator {
    wit_bindgen::generate!({
        inline: r#"
            package banyan:sdk@0.1.0;
            world validator-part { export banyan:rules/validator@0.1.0; }
        "#,
        path: "wit",
        world: "banyan:sdk/validator-part",
        with: { "banyan:rules/types@0.1.0": super::lifecycle::banyan::rules::types },
        generate_all,
        additional_derives: [Clone, PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_validator_part",
        default_bindings_module: "banyan_rule::bindings::validator",
    });
}

/// `router`.
pub mod router {
    wit_bindgen::generate!({
        inline: r#"
            package banyan:sdk@0.1.0;
            world router-part { export banyan:rules/router@0.1.0; }
        "#,
        path: "wit",
        world: "banyan:sdk/router-part",
        with: { "banyan:rules/types@0.1.0": super::lifecycle::banyan::rules::types },
        generate_all,
        additional_derives: [Clone, PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_router_part",
        default_bindings_module: "banyan_rule::bindings::router",
    });
}

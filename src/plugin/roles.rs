//! The four questions that a component may answer.

use std::fmt;

/// A question that a component may answer; one may answer several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Role {
    /// These rows conflict: which one lives?
    Resolver,
    /// What is this row on the other side?
    Transformer,
    /// May this row be there?
    Validator,
    /// Where does this request go?
    Router,
}

impl Role {
    /// All, in order.
    pub const ALL: [Self; 4] = [
        Self::Resolver,
        Self::Transformer,
        Self::Validator,
        Self::Router,
    ];

    /// The name of the WIT interface, on the command line and in output.
    #[must_use]
    pub fn interface(self) -> &'static str {
        match self {
            Self::Resolver => "resolver",
            Self::Transformer => "transformer",
            Self::Validator => "validator",
            Self::Router => "router",
        }
    }

    /// The name of its function.
    #[must_use]
    pub fn function(self) -> &'static str {
        match self {
            Self::Resolver => "resolve",
            Self::Transformer => "transform",
            Self::Validator => "validate",
            Self::Router => "route",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.interface() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.interface())
    }
}

//! Routers: where does this request go?

use crate::bindings::lifecycle::banyan::rules::types as wire;
use crate::bindings::router::exports::banyan::rules::router as abi;
use crate::failure::Failure;
use crate::rule::Rule;

/// Decides where requests go.
pub trait Router: Rule {
    /// The decision for one request.
    fn route(&self, request: &Request) -> Result<Decision, Failure>;
}

/// The head of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, …
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query without `?`; empty when there is none.
    pub query: String,
    /// Header names in lower case, and values, in the order of the request.
    pub headers: Vec<(String, String)>,
    /// The client's address.
    pub client: String,
    /// The service that the request matched.
    pub service: String,
}

impl Request {
    /// The first header of that name, which is given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Where a request goes. The lists are headers to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// To the monolith.
    Monolith(Vec<(String, String)>),
    /// To the service.
    Service(Vec<(String, String)>),
    /// Whatever the strategy of the route says.
    ByStrategy,
    /// Nowhere.
    Refuse {
        /// An HTTP status, 400 to 599.
        status: u16,
        /// The body.
        message: String,
    },
}

#[doc(hidden)]
pub fn run<R: Router>(rule: &R, head: abi::RequestHead) -> Result<abi::Decision, wire::Failure> {
    let request = Request {
        method: head.method,
        path: head.path,
        query: head.query,
        headers: head
            .headers
            .into_iter()
            .map(|h| (h.name, h.value))
            .collect(),
        client: head.client,
        service: head.service,
    };
    let headers = |set: Vec<(String, String)>| {
        set.into_iter()
            .map(|(name, value)| abi::Header { name, value })
            .collect()
    };
    match rule.route(&request) {
        Err(failure) => Err(failure.at_row(None)),
        Ok(Decision::Monolith(set)) => Ok(abi::Decision::Monolith(headers(set))),
        Ok(Decision::Service(set)) => Ok(abi::Decision::Service(headers(set))),
        Ok(Decision::ByStrategy) => Ok(abi::Decision::ByStrategy),
        Ok(Decision::Refuse { status, message }) => {
            Ok(abi::Decision::Refuse(abi::Refusal { status, message }))
        }
    }
}

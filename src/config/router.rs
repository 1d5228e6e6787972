//! `[router]`: which requests go to the monolith and which to a service.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::document::{Section, Text};
use super::name;
use super::rule::{RuleConfig, RuleSource};

/// The router, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its services, in the order in which requests are matched.
    pub services: Vec<ServiceConfig>,
}

/// One service behind the router, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
    /// Its name.
    pub name: String,
    /// Which requests are its.
    pub matches: RouteMatch,
    /// Base URLs of the monolith.
    pub monolith: Vec<String>,
    /// Base URLs of the service.
    pub service: Vec<String>,
    /// How requests are divided.
    pub strategy: RouteStrategy,
    /// The service's share, in percent.
    pub weight: u8,
    /// What keeps a client on its side.
    pub sticky: Option<Sticky>,
    /// The rule that decides, for [`RouteStrategy::Rule`]; with others it is asked first.
    pub rule: Option<String>,
}

/// Which requests a service answers. All conditions that are given must hold.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RouteMatch {
    /// The path begins with this, at a `/`.
    pub path_prefix: Option<String>,
    /// The host is this.
    pub host: Option<String>,
}

/// How requests are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RouteStrategy {
    /// By a share of all requests.
    #[default]
    Percentage,
    /// By a share that grows while the service does well.
    Canary,
    /// All or nothing.
    BlueGreen,
    /// By a flag.
    Flag,
    /// By groups of clients, for comparison.
    Ab,
    /// By a rule.
    Rule,
}

/// What keeps a client on its side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// The cookie of this name.
    Cookie(String),
    /// The header of this name.
    Header(String),
}

/// Reads `[router]`.
pub(super) fn read(
    section: Section<'_>,
    rules: &BTreeMap<String, Option<RuleConfig>>,
) -> Option<RouterConfig> {
    let listen = address(&section, "127.0.0.1:8080");
    let services: Vec<_> = section
        .section_list("services")
        .into_iter()
        .map(|service| read_service(service, rules))
        .collect();
    let services: Option<Vec<_>> = services.into_iter().collect();
    if let Some(services) = &services {
        for (i, service) in services.iter().enumerate() {
            if services[..i].iter().any(|other| other.name == service.name) {
                let mut place = section.place_of("services");
                place.path = format!("{}[{i}].name", place.path);
                section.report(place.problem(format!(
                    "found \"{}\", which an earlier service has",
                    service.name
                )));
            }
        }
    }
    section.finish();
    Some(RouterConfig {
        listen: listen?,
        services: services?,
    })
}

/// Reads `listen`, or takes the default.
pub(super) fn address(section: &Section<'_>, default: &str) -> Option<SocketAddr> {
    let found = section.filled_text("listen");
    match &found {
        None if section.has("listen") => None,
        None => default.parse().ok(),
        Some(text) => {
            let parsed = text.value.parse().ok();
            if parsed.is_none() {
                section.report(text.place.problem(format!(
                    "found \"{}\", wanted an address and a port, like {default}",
                    text.shown()
                )));
            }
            parsed
        }
    }
}

fn read_service(
    section: Section<'_>,
    rules: &BTreeMap<String, Option<RuleConfig>>,
) -> Option<ServiceConfig> {
    let service_name = section.required_text("name", "a name");
    if let Some(text) = &service_name
        && !name::is_allowed(&text.value)
    {
        section.report(text.place.problem(format!(
            "found \"{}\"; a name is made of {}",
            text.shown(),
            name::ALLOWED
        )));
    }
    let matches = section.section("match").map(read_match).unwrap_or_default();
    let monolith = upstreams(&section, "monolith");
    let service = upstreams(&section, "service");
    let strategy = section.choice(
        "strategy",
        &[
            ("percentage", RouteStrategy::Percentage),
            ("canary", RouteStrategy::Canary),
            ("blue-green", RouteStrategy::BlueGreen),
            ("flag", RouteStrategy::Flag),
            ("ab", RouteStrategy::Ab),
            ("rule", RouteStrategy::Rule),
        ],
    );
    let weight = section.integer("weight", 0, 100);
    let sticky = section.section("sticky").and_then(read_sticky);
    let rule = section.filled_text("rule").and_then(|text| {
        let usable = match rules.get(&text.value) {
            Some(Some(rule)) => !matches!(rule.source, RuleSource::Strategy(_)),
            Some(None) => true,
            None => false,
        };
        if !usable {
            section.report(text.place.unknown(
                format!("found \"{}\", wanted a plugin or a script", text.shown()),
                &text.template,
                rules.keys().map(String::as_str),
            ));
        }
        usable.then_some(text.value)
    });
    if strategy == Some(RouteStrategy::Rule) && !section.has("rule") {
        section.report(
            section
                .place_of("strategy")
                .problem("found \"rule\", but no rule is named; add rule = \"NAME\""),
        );
    }
    section.finish();
    Some(ServiceConfig {
        name: service_name?.value,
        matches,
        monolith,
        service,
        strategy: strategy.unwrap_or_default(),
        weight: weight.and_then(|w| u8::try_from(w).ok()).unwrap_or(0),
        sticky,
        rule,
    })
}

fn read_match(section: Section<'_>) -> RouteMatch {
    let path_prefix = section.filled_text("path_prefix");
    if let Some(text) = &path_prefix
        && !text.value.starts_with('/')
    {
        section.report(text.place.problem(format!(
            "found \"{}\", wanted a path that begins with /",
            text.shown()
        )));
    }
    let host = section.filled_text("host");
    section.finish();
    RouteMatch {
        path_prefix: path_prefix.map(|text| text.value),
        host: host.map(|text| text.value),
    }
}

fn read_sticky(section: Section<'_>) -> Option<Sticky> {
    let value = |text: Text| text.value;
    let cookie = section.filled_text("cookie").map(value).map(Sticky::Cookie);
    let header = section.filled_text("header").map(value).map(Sticky::Header);
    if section.has("cookie") == section.has("header") {
        section.report(
            section
                .place
                .problem("wants either cookie or header, the name of one"),
        );
    }
    section.finish();
    cookie.or(header)
}

fn upstreams(section: &Section<'_>, key: &'static str) -> Vec<String> {
    let texts = section.texts(key);
    if texts.is_empty() {
        let place = section.place_of(key);
        let problem =
            place.problem("names no upstream; wanted a list like [\"http://127.0.0.1:9001\"]");
        section.report(problem);
    }
    texts
        .into_iter()
        .filter_map(|text| {
            let authority = ["http://", "https://"]
                .iter()
                .find_map(|scheme| text.value.strip_prefix(scheme));
            let good = authority.is_some_and(|a| !a.is_empty() && !a.starts_with('/'));
            if !good {
                section.report(text.place.problem(format!(
                    "found \"{}\", wanted http://HOST:PORT",
                    text.shown()
                )));
            }
            good.then_some(text.value)
        })
        .collect()
}

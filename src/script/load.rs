//! From a file to a compiled and checked script.

use std::path::Path;
use std::sync::Arc;

use rhai::{AST, Dynamic, Engine, Scope};

use crate::error::{Error, ErrorKind, Result};
use crate::rule::nearest;

use super::diagnose::Source;
use super::spec::{Roles, ScriptSpec};
use super::{convert, engine, meter, view};

/// The longest script that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The functions that the host calls.
const FUNCTIONS: [(&str, &[&str]); 4] = [
    ("resolve", &["conflict"]),
    ("transform", &["row", "direction"]),
    ("validate", &["row"]),
    ("route", &["request"]),
];

/// A script ready to run.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) engine: Engine,
    pub(super) ast: AST,
    pub(super) source: Source,
    pub(super) roles: Roles,
    pub(super) digest: String,
    pub(super) version: String,
    pub(super) summary: String,
}

/// The bytes of a script's file.
pub(super) fn read(spec: &ScriptSpec) -> Result<Vec<u8>> {
    let io = |e: std::io::Error| {
        let kind = if e.kind() == std::io::ErrorKind::NotFound {
            ErrorKind::NotFound
        } else {
            ErrorKind::Io
        };
        Error::new(
            kind,
            format!("script {} cannot be read", spec.path.display()),
        )
        .caused_by(e)
    };
    let size = std::fs::metadata(&spec.path).map_err(io)?.len();
    if size > FILE_BYTES_MAX {
        return Err(refused(
            &spec.path,
            format!("has {size} bytes; a script has {FILE_BYTES_MAX} at most"),
        ));
    }
    std::fs::read(&spec.path).map_err(io)
}

/// blake3 in hex.
pub(super) fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn refused(path: &Path, message: String) -> Error {
    Error::new(
        ErrorKind::Rule,
        format!("script {} {message}", path.display()),
    )
}

/// Compiles and checks what was read.
pub(super) fn compile(spec: &ScriptSpec, bytes: Vec<u8>) -> Result<Loaded> {
    let found = digest(&bytes);
    if let Some(pin) = &spec.blake3
        && !pin.eq_ignore_ascii_case(&found)
    {
        return Err(refused(
            &spec.path,
            format!("has the digest {found}, the configuration pins {pin}"),
        )
        .hint("if the change is meant, put the new digest into the configuration"));
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        refused(
            &spec.path,
            format!("is not UTF-8 at byte {}", e.utf8_error().valid_up_to()),
        )
    })?;
    let source = Source {
        file: spec.path.display().to_string(),
        text,
    };
    let rule =
        |message: String| Error::new(ErrorKind::Rule, format!("rule {}: {message}", spec.name));

    let words = view::Words::new();
    let mut engine = engine::build(&spec.name, &spec.limits, &words, &source.text);
    let given: Vec<(&str, Dynamic)> = vec![
        ("settings", settings(spec)?),
        ("source", words.source.into()),
        ("target", words.target.into()),
        ("delete_row", words.delete_row.into()),
        ("monolith", "monolith".into()),
        ("service", "service".into()),
        ("default_route", "default".into()),
    ];
    let constants = constants(&mut engine, &source, &given, spec).map_err(rule)?;
    let mut scope = Scope::new();
    let mut globals = meter::Globals::new();
    let own = constants.iter().map(|(name, value)| (name.as_str(), value));
    for (name, value) in given.iter().map(|(name, value)| (*name, value)).chain(own) {
        // For the strict compiler, which must know the name and not the value.
        scope.push(name.to_owned(), ());
        globals.insert(name.to_owned(), value.clone());
    }
    meter::watch_variables(&mut engine, &spec.limits, globals);
    let mut ast = engine
        .compile_with_scope(&scope, &source.text)
        .map_err(|e| rule(source.parse_error(&e)))?;
    let summary = summary(&ast);
    let roles = roles(&ast, &source).map_err(rule)?;
    ast.clear_statements();
    let version = constants
        .iter()
        .find(|(name, _)| name == "VERSION")
        .map_or_else(
            || "unversioned".to_owned(),
            |(_, version)| version.to_string(),
        );
    Ok(Loaded {
        engine,
        ast,
        source,
        roles,
        digest: found,
        version,
        summary,
    })
}

fn settings(spec: &ScriptSpec) -> Result<Dynamic> {
    match &spec.settings {
        serde_json::Value::Null => Ok(Dynamic::from(view::Settings(Arc::default()))),
        json @ serde_json::Value::Object(_) => {
            let map = convert::json_to_script(json).try_cast::<rhai::Map>();
            Ok(Dynamic::from(view::Settings(Arc::new(
                map.unwrap_or_default(),
            ))))
        }
        other => Err(Error::new(
            ErrorKind::Config,
            format!(
                "rule {}: settings must be a table, found {other}",
                spec.name
            ),
        )),
    }
}

/// The script's own constants: its top level runs once, here, and never again. Functions see
/// constants, as everywhere in Rhai; variables of the top level they do not.
fn constants(
    engine: &mut Engine,
    source: &Source,
    given: &[(&str, Dynamic)],
    spec: &ScriptSpec,
) -> std::result::Result<Vec<(String, Dynamic)>, String> {
    let mut scope = Scope::new();
    for (name, value) in given {
        scope.push_constant_dynamic(*name, value.clone());
    }
    let before = scope.len();
    engine.set_strict_variables(false);
    let compiled = engine.compile_with_scope(&scope, &source.text);
    engine.set_strict_variables(true);
    let ast = compiled.map_err(|e| source.parse_error(&e))?;
    let _running = meter::Running::until(super::call::deadline(&spec.limits));
    super::log::begin();
    engine
        .run_ast_with_scope(&mut scope, &ast)
        .map_err(|e| source.failure(*e, "the top level", &spec.limits).message)?;
    super::log::end(&spec.name);
    let mut out: Vec<(String, Dynamic)> = Vec::new();
    for (name, constant, value) in scope.iter().skip(before) {
        if let Some((word, _)) = given.iter().find(|(word, _)| *word == name) {
            return Err(format!(
                "{}: {word} is a word of rules; give the constant another name",
                source.file
            ));
        }
        if constant {
            out.push((name.to_owned(), value));
        }
    }
    Ok(out)
}

/// The text of the `//!` lines, in one line.
fn summary(ast: &AST) -> String {
    ast.doc()
        .lines()
        .map(|line| line.trim_start_matches("//!").trim())
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Which of the host's functions the script has. A known name with other parameters, and a script
/// that answers nothing, are mistakes.
fn roles(ast: &AST, source: &Source) -> std::result::Result<Roles, String> {
    let functions: Vec<_> = ast.iter_functions().collect();
    let has = |name: &str, params: usize| {
        functions
            .iter()
            .any(|f| f.name == name && f.params.len() == params)
    };
    for (name, params) in FUNCTIONS {
        if let Some(f) = functions.iter().find(|f| f.name == name)
            && !has(name, params.len())
        {
            return Err(format!(
                "{}: found {name}({}), expected {name}({})",
                source.file,
                f.params.join(", "),
                params.join(", ")
            ));
        }
    }
    let roles = Roles {
        resolve: has("resolve", 1),
        transform: has("transform", 2),
        validate: has("validate", 1),
        route: has("route", 1),
    };
    if roles == Roles::default() {
        let expected = FUNCTIONS
            .map(|(name, params)| format!("{name}({})", params.join(", ")))
            .join(", ");
        let mut message = format!("{}: has none of the functions {expected}", source.file);
        let mut names: Vec<&str> = functions.iter().map(|f| f.name).collect();
        names.sort_unstable();
        for name in names {
            if let Some(near) = nearest(name, FUNCTIONS.map(|(n, _)| n)) {
                message.push_str(&format!("; found {name}, did you mean {near}?"));
                break;
            }
        }
        return Err(message);
    }
    Ok(roles)
}

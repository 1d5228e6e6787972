//! The floors of the house: a module imports only from floors below it, never upward and never
//! sideways. Reads every path of every file (`use` with nested groups, inline `crate::` paths,
//! paths inside macros), and holds a few other rules about files.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// The top-level modules, floor by floor.
const FLOORS: &[&[&str]] = &[
    &["error"],
    &["data"],
    &["lifecycle", "runtime"],
    &["config", "rule", "telemetry"],
    &["database", "plugin", "script", "state"],
    &["boundary", "rest", "router", "sync", "verify"],
    &["migration"],
    &["control"],
    &["app"],
    &["cli"],
];

const FILE_BYTES_MAX: usize = 25 * 1024;
const FILE_LINES_MAX: usize = 600;
const MAIN_LINES_MAX: usize = 40;

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// A rule that is broken, and where.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// Collects what a file names of other modules.
struct Paths<'a> {
    file: &'a str,
    module: &'a str,
    /// Whether the file is the root of a top-level module, where `super` is the crate.
    is_root: bool,
    /// How many inline modules deep we are.
    depth: usize,
    found: Vec<Violation>,
}

impl Paths<'_> {
    fn report(&mut self, line: usize, what: String) {
        self.found.push(Violation {
            file: self.file.to_owned(),
            line,
            what,
        });
    }

    fn check(&mut self, segments: &[String], line: usize) {
        let [first, second, ..] = segments else {
            return;
        };
        match (first.as_str(), second.as_str()) {
            ("crate", name) if name != self.module => self.check_import(name, line),
            ("super", "super") => {
                self.report(line, "super::super; write the path from crate".to_owned());
            }
            ("super", name) if self.is_root && self.depth == 0 => {
                self.report(line, format!("super::{name}; write crate::{name}"));
            }
            _ => {}
        }
    }

    fn check_import(&mut self, name: &str, line: usize) {
        let module = self.module;
        let (Some(own), Some(other)) = (floor(module), floor(name)) else {
            self.report(
                line,
                format!("{module} imports {name}, and one of them has no floor"),
            );
            return;
        };
        if other >= own {
            let way = if other == own { "sideways" } else { "upward" };
            self.report(
                line,
                format!("{module} (floor {own}) imports {way} from {name} (floor {other})"),
            );
        }
    }

    fn check_tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        match tree {
            syn::UseTree::Path(path) => {
                let mut segments = before.to_vec();
                segments.push(path.ident.to_string());
                self.check_tree(&path.tree, &segments);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.check_tree(tree, before);
                }
            }
            syn::UseTree::Name(name) => self.check_end(before, &name.ident),
            syn::UseTree::Rename(rename) => self.check_end(before, &rename.ident),
            syn::UseTree::Glob(glob) => {
                let mut segments = before.to_vec();
                segments.push("*".to_owned());
                if segments.first().is_some_and(|first| first != "super") {
                    self.check(&segments, glob.star_token.spans[0].start().line);
                }
            }
        }
    }

    fn check_end(&mut self, before: &[String], last: &proc_macro2::Ident) {
        let mut segments = before.to_vec();
        segments.push(last.to_string());
        self.check(&segments, last.span().start().line);
    }

    /// Paths inside a macro are not parsed: look for `crate :: name` among the tokens.
    fn check_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (i, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.check_tokens(group.stream()),
                TokenTree::Ident(ident) if ident == "crate" || ident == "super" => {
                    if let Some(TokenTree::Ident(next)) = tokens.get(i + 3) {
                        let is_path = tokens[i + 1..i + 3]
                            .iter()
                            .all(|t| matches!(t, TokenTree::Punct(p) if p.as_char() == ':'));
                        if is_path {
                            let segments = [ident.to_string(), next.to_string()];
                            self.check(&segments, ident.span().start().line);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.check_tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if let Some(first) = path.segments.first() {
            self.check(&segments, first.ident.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.check_tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.depth += 1;
        visit::visit_item_mod(self, item);
        self.depth -= 1;
    }
}

/// What is wrong with a file of `src/`; `name` is its path from there.
fn check_source(name: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut report = |line, what| {
        found.push(Violation {
            file: name.to_owned(),
            line,
            what,
        });
    };
    let lines = text.lines().count();
    if text.len() > FILE_BYTES_MAX || lines > FILE_LINES_MAX {
        let bytes = text.len();
        report(
            lines,
            format!(
                "{bytes} bytes and {lines} lines; at most {FILE_BYTES_MAX} and {FILE_LINES_MAX}"
            ),
        );
    }
    if name == "main.rs" && lines >= MAIN_LINES_MAX {
        report(lines, format!("main.rs stays under {MAIN_LINES_MAX} lines"));
    }
    if name == "main.rs" || name == "lib.rs" {
        return found;
    }
    let (module, inner) = name
        .trim_end_matches(".rs")
        .split_once('/')
        .map_or((name.trim_end_matches(".rs"), "mod"), |parts| parts);
    if floor(module).is_none() {
        report(
            1,
            format!("the module {module} has no floor; give it one in tests/layering.rs"),
        );
    }
    let parsed = match syn::parse_file(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            report(
                error.span().start().line,
                format!("cannot be parsed: {error}"),
            );
            return found;
        }
    };
    let mut paths = Paths {
        file: name,
        module,
        is_root: inner == "mod",
        depth: 0,
        found,
    };
    paths.visit_file(&parsed);
    paths.found
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// All Rust files below a folder, by their path from it, in order.
fn rust_files(root: &Path) -> Vec<(String, String)> {
    fn walk(root: &Path, folder: &Path, out: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root).unwrap();
                let name = name.to_str().unwrap().replace('\\', "/");
                out.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut out = Vec::new();
    walk(root, root, &mut out);
    out.sort();
    out
}

fn joined(violations: &[Violation]) -> String {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn every_module_imports_only_from_floors_below() {
    let files = rust_files(&folder("src"));
    assert!(files.iter().any(|(name, _)| name == "main.rs"));
    assert!(files.len() > 20, "found only {} files", files.len());
    let violations: Vec<Violation> = files
        .iter()
        .flat_map(|(name, text)| check_source(name, text))
        .collect();
    assert!(violations.is_empty(), "\n{}\n", joined(&violations));
}

#[test]
fn every_test_file_is_named_in_main() {
    let main = fs::read_to_string(folder("tests/main.rs")).unwrap();
    let modules: Vec<&str> = main
        .lines()
        .filter_map(|line| line.trim().strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    assert!(modules.is_sorted(), "in alphabetical order, please");
    let mut found = 0;
    for entry in fs::read_dir(folder("tests")).unwrap() {
        let path = entry.unwrap().path();
        let is_module = path.extension().is_some_and(|e| e == "rs") || path.join("mod.rs").exists();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if is_module && name != "main" {
            assert!(
                modules.contains(&name),
                "{} is not in tests/main.rs",
                path.display()
            );
            found += 1;
        }
    }
    assert_eq!(found, modules.len());
}

/// The checker itself: each of these must be found, with its line.
#[test]
fn planted_violations_are_found() {
    let text = "\
use std::fmt;
use crate::error::{Error, Result};
use crate::{data::{Row, Value}, sync::Pipeline};
use crate::plugin;
use crate::state as memory;
use super::super::data;
use super::data::Row;
use crate::unheard_of::Thing;
use crate::*;

fn inline() -> crate::cli::Printer {
    let row = crate::data::Row::new();
    println!(\"{}\", crate::verify::LEVELS);
    super::router::forward(row)
}

mod tests {
    use super::*;
    use super::inline;
    use crate::database::inline as _;
}
";
    let found = check_source("database/mod.rs", text);
    insta::assert_snapshot!(joined(&found), @r"
database/mod.rs:3: database (floor 4) imports upward from sync (floor 5)
database/mod.rs:4: database (floor 4) imports sideways from plugin (floor 4)
database/mod.rs:5: database (floor 4) imports sideways from state (floor 4)
database/mod.rs:6: super::super; write the path from crate
database/mod.rs:7: super::data; write crate::data
database/mod.rs:8: database imports unheard_of, and one of them has no floor
database/mod.rs:9: database imports *, and one of them has no floor
database/mod.rs:11: database (floor 4) imports upward from cli (floor 9)
database/mod.rs:13: database (floor 4) imports upward from verify (floor 5)
database/mod.rs:14: super::router; write crate::router
");
}

#[test]
fn files_in_order_pass() {
    let text =
        "use crate::data::Row;\nuse super::read::Reader;\nuse crate::database::Reader as R;\n";
    assert_eq!(check_source("database/sqlite.rs", text), []);
    assert_eq!(check_source("lib.rs", "pub mod cli;\n"), []);
}

#[test]
fn files_out_of_order_are_named() {
    let long = "// x\n".repeat(FILE_LINES_MAX + 1);
    let wide = format!("// {}\n", "x".repeat(FILE_BYTES_MAX));
    for (name, text) in [
        ("data/row.rs", long.as_str()),
        ("data/row.rs", &wide),
        ("main.rs", &"// x\n".repeat(MAIN_LINES_MAX)),
        ("utils.rs", ""),
        ("data/row.rs", "fn ("),
    ] {
        let found = check_source(name, text);
        assert_eq!(found.len(), 1, "{name}: {}", joined(&found));
    }
}

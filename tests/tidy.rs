//! Rules about the source itself: allowed arrows between crates, a header in every file, error codes with a page each,
//! licences of what we depend on.
#![expect(
    clippy::unwrap_used,
    reason = "what goes wrong here is the test's failure"
)]

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Who may depend on whom. Everything else is a wrong arrow, above all: planner → providers, executor → planner,
/// executor → policy-schema, providers → catalog.
const ARROWS: &[(&str, &[&str])] = &[
    ("mainstay-model", &[]),
    ("mainstay-policy-schema", &["mainstay-model"]),
    ("mainstay-catalog", &["mainstay-model"]),
    ("mainstay-providers", &["mainstay-model"]),
    ("mainstay-reports", &["mainstay-model"]),
    (
        "mainstay-planner",
        &["mainstay-model", "mainstay-policy-schema"],
    ),
    (
        "mainstay-executor",
        &["mainstay-model", "mainstay-providers", "mainstay-catalog"],
    ),
    (
        "mainstay",
        &[
            "mainstay-model",
            "mainstay-policy-schema",
            "mainstay-catalog",
            "mainstay-providers",
            "mainstay-planner",
            "mainstay-executor",
            "mainstay-reports",
        ],
    ),
];

const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What cargo knows of the workspace, for this platform: crates of others need not be there to be read.
fn metadata() -> Metadata {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--offline", "--locked", "--filter-platform", &host].map(str::to_owned))
        .exec()
        .unwrap()
}

/// All Rust files that git would commit: not those under `target`.
fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && !name.starts_with("target") {
                walk(&path, out);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                out.push(path);
            }
        }
    }
    let mut out = Vec::new();
    walk(&root(), &mut out);
    out.sort();
    out
}

#[test]
fn crates_depend_only_downward() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let members: BTreeSet<String> = metadata
        .workspace_packages()
        .iter()
        .map(|package| package.name.to_string())
        .collect();
    for package in metadata.workspace_packages() {
        let may = allowed
            .get(package.name.as_str())
            .unwrap_or_else(|| panic!("`{}` has no line in ARROWS", package.name));
        for dependency in &package.dependencies {
            let normal = dependency.kind == DependencyKind::Normal;
            if normal && members.contains(dependency.name.as_str()) {
                assert!(
                    may.contains(&dependency.name.as_str()),
                    "wrong arrow: {} -> {}",
                    package.name,
                    dependency.name
                );
            }
        }
    }
}

#[test]
fn dependencies_have_licences_that_we_may_ship() {
    for package in metadata()
        .packages
        .iter()
        .filter(|package| package.source.is_some())
    {
        let licence = package
            .license
            .clone()
            .unwrap_or_default()
            .replace('/', " OR ");
        // An expression is fine if one alternative of each AND-ed part is on the list.
        let fine = licence.split(" AND ").all(|part| {
            part.trim_matches(['(', ')', ' '])
                .split(" OR ")
                .any(|one| LICENCES.contains(&one.trim_matches(['(', ')', ' '])))
        });
        assert!(fine, "{} has the licence `{licence}`", package.name);
    }
}

#[test]
fn every_file_says_what_it_does() {
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("//!"),
            "{} does not begin with a header",
            path.display()
        );
        assert!(
            !text.starts_with("//! placeholder"),
            "{} is a placeholder",
            path.display()
        );
    }
}

/// Error codes as they stand in string literals: `mainstay::area::name` and `area::name` of findings.
fn codes() -> BTreeMap<String, BTreeSet<PathBuf>> {
    let mut codes: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for path in sources() {
        let relative = path.strip_prefix(root()).unwrap().to_owned();
        if relative.components().any(|part| {
            ["tests", "tests.rs"]
                .iter()
                .any(|name| part.as_os_str() == *name)
        }) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code_part = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for literal in code_part.split('"').skip(1).step_by(2) {
            let segments: Vec<&str> = literal.split("::").collect();
            let word = |text: &&str| {
                !text.is_empty()
                    && text
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            };
            let is_code = match segments.as_slice() {
                ["mainstay", area, name] => word(area) && word(name),
                [
                    "policy" | "postgres" | "sqlite" | "barman" | "files" | "filesystem" | "aws"
                    | "key" | "s3",
                    name,
                ] => word(name),
                _ => false,
            };
            if is_code {
                codes
                    .entry(literal.to_owned())
                    .or_default()
                    .insert(relative.clone());
            }
        }
    }
    codes
}

/// `mainstay::tier::full` → `tier-full.md`.
fn page(code: &str) -> String {
    format!(
        "{}.md",
        code.trim_start_matches("mainstay::").replace("::", "-")
    )
}

#[test]
fn every_error_code_has_a_page_and_every_page_a_code() {
    let codes = codes();
    assert!(
        codes.len() > 20,
        "the scan found only {} codes: is it still reading them?",
        codes.len()
    );
    let pages: BTreeSet<String> = fs::read_dir(root().join("docs/errors"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name != "README.md")
        .collect();
    let wanted: BTreeMap<String, &str> = codes
        .keys()
        .map(|code| (page(code), code.as_str()))
        .collect();
    assert_eq!(wanted.len(), codes.len(), "two codes share a page");
    let missing: Vec<_> = wanted
        .iter()
        .filter(|(page, _)| !pages.contains(*page))
        .collect();
    assert!(
        missing.is_empty(),
        "codes without a page in docs/errors: {missing:#?}"
    );
    let orphans: Vec<_> = pages
        .iter()
        .filter(|page| !wanted.contains_key(*page))
        .collect();
    assert!(
        orphans.is_empty(),
        "pages in docs/errors whose code no longer exists: {orphans:#?}"
    );
}

#[test]
fn every_error_page_names_its_code() {
    for code in codes().keys() {
        let path = root().join("docs/errors").join(page(code));
        if let Ok(text) = fs::read_to_string(&path) {
            assert!(
                text.contains(code.as_str()),
                "{} does not name `{code}`",
                path.display()
            );
        }
    }
}

#[test]
fn only_the_binary_prints() {
    for path in sources() {
        let relative = path
            .strip_prefix(root())
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let library = [
            "model/src",
            "policy-schema/src",
            "planner/src",
            "providers/src",
            "catalog/src",
            "executor/src",
        ]
        .iter()
        .any(|folder| relative.starts_with(folder));
        if library {
            let text = fs::read_to_string(&path).unwrap();
            for forbidden in ["println!(", "eprintln!(", "print!(", "dbg!("] {
                assert!(
                    !text.contains(forbidden),
                    "{relative} prints with {forbidden}"
                );
            }
        }
    }
}

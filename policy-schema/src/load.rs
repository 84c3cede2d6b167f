//! From sources to a [`Loaded`] policy: syntax, shape and meaning, all findings together.
//!
//! Invariants: every file is looked at whatever is wrong with the others; a [`Policy`] comes out only when no finding is
//! an error; the same sources give the same findings in the same order.

use crate::{
    approval::read_approval,
    archives::check_archives,
    checks,
    database::DatabaseReader,
    files::{self, Files, Source},
    inherit::Inheritance,
    meaning,
    policy::Policy,
    providers::ProviderKinds,
    recipients::{Whole, check_recipients},
    report::{Draft, Report},
    resolved, secrets,
    sections::Sections,
    shape::{self, At, Schema},
    tree::{self, Node, Place, SyntaxError},
    written::Language,
};
use model::{Finding, Severity};
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What came of loading a policy.
#[derive(Debug)]
pub struct Loaded {
    /// The policy, unless a finding is an error.
    pub policy: Option<Policy>,
    /// All findings, sorted by file and place.
    pub findings: Vec<Finding>,
    /// The files, for showing findings.
    pub sources: Vec<Source>,
    /// Bytes of each file that hold a secret: whoever shows a source line must show `*` in their place.
    pub masked: BTreeMap<PathBuf, Vec<Range<usize>>>,
    pub(crate) sections: Sections,
    pub(crate) merged: BTreeMap<String, Arc<Node>>,
}

impl Loaded {
    /// Whether a finding is an error.
    pub fn has_errors(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }

    /// Calls the files otherwise, everywhere: those of a Git revision are known to people by its name.
    pub fn rename_sources(&mut self, name: impl Fn(&Path) -> PathBuf) {
        for source in &mut self.sources {
            source.path = name(&source.path);
        }
        let labels = self.findings.iter_mut().flat_map(|found| &mut found.labels);
        for label in labels {
            label.file = name(&label.file);
        }
        let masked = std::mem::take(&mut self.masked);
        self.masked = masked
            .into_iter()
            .map(|(path, ranges)| (name(&path), ranges))
            .collect();
    }

    /// The text of a source with its secrets replaced by `*`, byte for byte, so that places stay right.
    pub fn shown_text(&self, path: &Path) -> Option<String> {
        let source = self.sources.iter().find(|source| source.path == path)?;
        let mut bytes = source.text.clone().into_bytes();
        for range in self.masked.get(path).into_iter().flatten() {
            for byte in bytes.get_mut(range.clone()).into_iter().flatten() {
                if *byte != b'\n' && *byte != b'\r' {
                    *byte = b'*';
                }
            }
        }
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Reads the file or folder `policy` with what it includes, and loads it.
pub fn load_path(policy: &Path, files: &dyn Files, kinds: &ProviderKinds) -> Loaded {
    let (sources, mut findings) = files::gather(policy, files);
    if sources.is_empty() {
        return Loaded {
            policy: None,
            findings,
            sources,
            masked: BTreeMap::new(),
            sections: Sections::default(),
            merged: BTreeMap::new(),
        };
    }
    let mut loaded = load(sources, kinds);
    if !findings.is_empty() {
        findings.append(&mut loaded.findings);
        loaded.findings = findings;
        if loaded.has_errors() {
            loaded.policy = None;
        }
    }
    loaded
}

/// Reports what the TOML parser found. A section that is declared twice in one file is an error of TOML too, but said as for
/// two files, with both places; the parser's complaints about the keys of the second one are no further mistakes.
fn report_syntax(report: &mut Report<'_>, text: &str, errors: Vec<SyntaxError>) {
    let mut second_section = 0..0;
    for error in errors {
        let start = error.place.start as usize;
        let duplicate = error.message == "duplicate key";
        if duplicate && second_section.contains(&start) {
            continue;
        }
        if duplicate && let Some((name, first, end)) = first_section(text, &error.place) {
            second_section = start..end;
            let draft = Draft::error(
                "policy::declared-twice",
                format!("`{name}` is declared twice"),
            )
            .at(error.place, "declared again here")
            .at(first, "first declared here")
            .help("rename one of them, or move its keys into the other");
            report.add(draft);
            continue;
        }
        report.add(
            Draft::error("policy::syntax", format!("not TOML: {}", error.message))
                .at(error.place, "here"),
        );
    }
}

/// If a header `[a.b]` stands at a byte: its name, where the same one stood before, and where its section ends.
fn first_section(text: &str, at: &Place) -> Option<(String, Place, usize)> {
    let start = at.start as usize;
    let line_start = text
        .get(..start)?
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let name = header(text.get(line_start..)?.lines().next()?)?;
    let mut line_at = 0;
    for line in text.get(..line_start)?.split_inclusive('\n') {
        if header(line).as_ref() == Some(&name) {
            let last = name.rsplit('.').next()?;
            let place = Place {
                file: at.file,
                start: u32::try_from(
                    line_at + line.find(']').and_then(|end| line[..end].rfind(last))?,
                )
                .ok()?,
                end: 0,
            };
            let end = place.start + u32::try_from(last.len()).ok()?;
            let next = text.get(start..)?.find("\n[");
            let section_end = next.map_or(text.len(), |next| start + next + 1);
            return Some((name, Place { end, ..place }, section_end));
        }
        line_at += line.len();
    }
    None
}

/// The name in a table's header, without quotes and spaces; none for an array of tables, which may come again.
fn header(line: &str) -> Option<String> {
    let inner = line.trim_start().strip_prefix('[')?;
    let name = inner[..inner.find(']')?].trim();
    let plain = |key: &str| key.trim().trim_matches(['"', '\'']).to_owned();
    (!name.starts_with('[')).then(|| name.split('.').map(plain).collect::<Vec<_>>().join("."))
}

/// Loads policy texts.
pub fn load(sources: Vec<Source>, kinds: &ProviderKinds) -> Loaded {
    let mut report = Report::new(&sources);
    let mut masks: Vec<(u32, Range<usize>)> = Vec::new();
    let mut sections = Sections::default();
    let language = Language::new();
    for (index, source) in sources.iter().enumerate() {
        let file = u32::try_from(index).unwrap_or(u32::MAX);
        masks.extend(
            secrets::passwords(&source.text)
                .into_iter()
                .map(|range| (file, range)),
        );
        let (root, errors) = tree::parse(file, &source.text);
        if !errors.is_empty() {
            report.broken(file);
            masks.extend(
                secrets::secret_lines(&source.text)
                    .into_iter()
                    .map(|range| (file, range)),
            );
        }
        report_syntax(&mut report, &source.text, errors);
        secrets::check(&mut report, &root, At::top(""), &mut masks);
        check_top(&mut report, &root, &language);
        sections.take(&mut report, &root);
    }
    check_version(&mut report, &sections, sources.len());
    let (timezone, timezone_name) = meaning::timezone(&mut report, sections.timezone.as_ref());
    let safety = meaning::safety(&mut report, sections.safety.as_ref(), &language);
    let approval = read_approval(&mut report, sections.approval.as_ref(), &language)
        .map(|rules| rules.with_limits(safety.limits()));
    let tiers = meaning::tiers(&mut report, &sections.tiers, &language, kinds);
    let keys = meaning::keys(&mut report, &sections.keys, &language, kinds);
    let mut inheritance = Inheritance::new(
        &sections.profiles,
        sections.defaults.as_ref().map(|item| item.node.clone()),
    );
    let mut reader = DatabaseReader::new(&language, kinds, &sections, timezone.clone());
    if let Some(defaults) = &sections.defaults {
        reader.check_inheritable(&mut report, &defaults.node, At::top("defaults"));
    }
    let profile = At::top("profile");
    for (name, item) in &sections.profiles {
        meaning::check_name(&mut report, "profile", name, item.key_place);
        reader.check_inheritable(&mut report, &item.node, profile.key(name));
        inheritance.profile(&mut report, name, &mut Vec::new());
    }
    let mut merged = BTreeMap::new();
    let mut databases = BTreeMap::new();
    for (name, item) in &sections.databases {
        let node = inheritance.database(&mut report, &item.node);
        if let Some(database) = reader.database(&mut report, name, item.key_place, &node) {
            databases.insert(database.name.clone(), database);
        }
        merged.insert(name.clone(), node);
    }
    let whole = Whole {
        sections: &sections,
        kinds,
        keys: &keys,
        databases: &databases,
        merged: &merged,
    };
    check_recipients(&mut report, &whole);
    check_archives(&mut report, &whole, &tiers, &timezone);
    let checks = checks::read_checks(&mut report, &sections, &language);
    let exceptions = checks::read_exceptions(&mut report, &sections, &language, &timezone);
    let findings = report.finish();
    let failed = findings
        .iter()
        .any(|finding| finding.severity == Severity::Error);
    let policy = (!failed).then(|| {
        let mut policy = Policy {
            digest: model::Digest::sha256(&[0; 32]),
            timezone,
            timezone_name,
            tiers,
            keys,
            databases,
            safety,
            approval,
            checks,
            exceptions,
        };
        policy.digest = resolved::digest(&policy);
        policy
    });
    let mut masked: BTreeMap<PathBuf, Vec<Range<usize>>> = BTreeMap::new();
    for (file, range) in masks {
        if let Some(source) = sources.get(file as usize) {
            masked.entry(source.path.clone()).or_default().push(range);
        }
    }
    Loaded {
        policy,
        findings,
        sources,
        masked,
        sections,
        merged,
    }
}

/// The top of a file: its keys and the types of its sections; what is in them is walked section by section.
fn check_top(report: &mut Report<'_>, root: &Node, language: &Language) {
    let schema = Schema::of(&language.policy);
    let at = At::top("");
    let allowed: Vec<&str> = schema.keys().collect();
    for entry in root.table().into_iter().flat_map(|table| &table.entries) {
        let section = matches!(
            entry.key.as_str(),
            "tier" | "key" | "profile" | "database" | "defaults" | "safety" | "approval"
        );
        if section {
            let table = |node: &Node| node.table().is_some();
            let nested = !matches!(entry.key.as_str(), "defaults" | "safety" | "approval");
            not_a_table(report, &entry.node, at.key(&entry.key));
            for inner in entry
                .node
                .table()
                .into_iter()
                .flat_map(|table| &table.entries)
            {
                if nested && !table(&inner.node) {
                    not_a_table(report, &inner.node, at.key(&entry.key).key(&inner.key));
                }
            }
        } else if let Some(property) = schema.property(&entry.key) {
            shape::walk(report, &entry.node, at.key(&entry.key), property);
        } else {
            shape::unknown_key(report, entry, at, &allowed);
        }
    }
}

fn not_a_table(report: &mut Report<'_>, node: &Node, at: At<'_>) {
    if node.table().is_none() {
        let draft = Draft::error("policy::wrong-type", format!("`{at}` must be a table"))
            .at(node.place, format!("this is {}", node.type_name()));
        report.reject(node.place, draft);
    }
}

fn check_version(report: &mut Report<'_>, sections: &Sections, files: usize) {
    if sections.version.is_none() && files > 0 {
        let draft = Draft::error(
            "policy::version-missing",
            "the policy does not say which version of the language it is written in",
        )
        .at(Place::default(), "add `mainstay = 1` here")
        .help("begin the policy with `mainstay = 1`");
        report.add_absence(draft, "mainstay");
    }
}

//! Loading the policy for a command: findings are shown once, and an unusable policy ends the command with exit 4.

use crate::{
    arguments::Global,
    exit::Exit,
    failure::{Failure, Result},
    git::Revision,
    render::{findings, out},
    settings, wiring,
};
use jiff::tz::TimeZone;
use model::{Finding, Severity};
use policy_schema::{Disk, Loaded, Policy};
use std::path::{Path, PathBuf};

/// Columns of findings at most, and when there is no terminal to say.
const WIDTH: usize = 100;

/// Findings are folded to a narrow terminal; below this many columns folding makes them worse.
const NARROWEST: usize = 40;

fn width() -> usize {
    terminal_size::terminal_size_of(std::io::stderr()).map_or(WIDTH, |(columns, _)| {
        usize::from(columns.0).clamp(NARROWEST, WIDTH)
    })
}

/// A policy that was looked at.
pub(crate) struct Checked {
    /// It, if no finding is an error.
    pub(crate) policy: Option<Policy>,
    /// All findings, by file and place.
    pub(crate) findings: Vec<Finding>,
    /// What the loader knows, for `explain`.
    pub(crate) loaded: Loaded,
    sources: findings::Sources,
}

impl Checked {
    /// Whether a command may go on: no error, and under `--strict` no warning.
    pub(crate) fn is_acceptable(&self, strict: bool) -> bool {
        self.policy.is_some()
            && !self
                .findings
                .iter()
                .any(|finding| strict || finding.severity == Severity::Error)
    }

    /// Findings for people.
    pub(crate) fn findings_text(&self) -> String {
        findings::text(&self.findings, &self.sources, width())
    }

    /// Findings for programs.
    pub(crate) fn findings_json(&self) -> serde_json::Value {
        findings::json(&self.findings, &self.sources)
    }
}

/// Looks at the policy; never fails for what is wrong in it.
pub(crate) fn check(path: &Path) -> Checked {
    checked(policy_schema::load_path(path, &Disk, &wiring::kinds()))
}

/// The same for a policy of a Git revision; its files are called `main:policy/orders.toml`.
pub(crate) fn check_revision(revision: &Revision<'_>, path: &Path) -> Checked {
    let mut loaded = policy_schema::load_path(path, revision, &wiring::kinds());
    loaded.rename_sources(|path| PathBuf::from(format!("{}:{}", revision.name, path.display())));
    checked(loaded)
}

fn checked(loaded: Loaded) -> Checked {
    let mut sources = findings::Sources::default();
    for source in &loaded.sources {
        let text = loaded.shown_text(&source.path).unwrap_or_default();
        sources.add(&source.path, text);
    }
    Checked {
        policy: loaded.policy.clone(),
        findings: loaded.findings.clone(),
        loaded,
        sources,
    }
}

/// The zone in which times are shown to people, for commands that do without the policy: UTC when it cannot be read.
pub(crate) fn zone(path: &Path) -> TimeZone {
    let policy = check(path).policy;
    policy.map_or(TimeZone::UTC, |policy| policy.timezone)
}

/// The policy that a command works with, and its path. Shows warnings; errors end the command.
pub(crate) fn load(global: &Global) -> Result<(PathBuf, Policy)> {
    load_and(global, true)
}

/// The same for a command that a server calls for every file of its log: warnings would fill that server's log.
pub(crate) fn load_quietly(global: &Global) -> Result<(PathBuf, Policy)> {
    load_and(global, false)
}

fn load_and(global: &Global, with_warnings: bool) -> Result<(PathBuf, Policy)> {
    let path = settings::policy_path(global)?;
    let policy = usable(check(&path), &path, global, with_warnings)?;
    Ok((path, policy))
}

/// The policy of a Git revision that a command works with.
pub(crate) fn load_revision(
    revision: &Revision<'_>,
    path: &Path,
    global: &Global,
) -> Result<Policy> {
    usable(check_revision(revision, path), path, global, true)
}

fn usable(checked: Checked, path: &Path, global: &Global, with_warnings: bool) -> Result<Policy> {
    let acceptable = checked.is_acceptable(global.strict);
    if !checked.findings.is_empty() && (with_warnings || !acceptable) {
        out::words(&checked.findings_text());
    }
    checked.policy.filter(|_| acceptable).ok_or_else(|| {
        Failure::new(
            "mainstay::policy::invalid",
            format!("the policy `{}` cannot be used", path.display()),
        )
        .help("mend the findings above; `mainstay validate` shows them alone")
        .exit(Exit::PolicyInvalid)
    })
}

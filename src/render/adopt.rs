//! What becomes of existing files: a table for people, a document for programs.

use super::{color, plan_text::local, table::table};
use jiff::{Timestamp, tz::TimeZone};
use model::{DatabaseName, Reason, RecoveryPointId, SeriesName, TierName, manifest::Compression};
use planner::{
    Until,
    adoption::{Displaced, StayOnTier},
};
use providers::adopt::{ExistingFile, Inspected, Unfit, UnfitKind};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Write as _};

/// Names in one list; `--json` has all.
const MOST_NAMED: usize = 20;

/// All files, and what becomes of each.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) database: DatabaseName,
    pub(crate) series: SeriesName,
    pub(crate) rows: Vec<Row>,
    /// What is no file to read, and why.
    pub(crate) passed_over: Vec<(String, String)>,
    pub(crate) off_machine: BTreeSet<TierName>,
    /// Damaged files that were reckoned with.
    pub(crate) damaged_seen: usize,
}

/// One file.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) file: ExistingFile,
    pub(crate) inspected: Option<Inspected>,
    pub(crate) fate: Fate,
    pub(crate) point: Option<RecoveryPointId>,
    /// After a run: whether its point exists.
    pub(crate) exists: Option<bool>,
}

/// What becomes of a file.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It can become a point; not judged yet.
    Fits,
    /// It becomes a point on these tiers.
    Adopt(Vec<StayOnTier>),
    /// It is one.
    Known,
    /// No keep rule would keep it.
    NotKept,
    /// A rule keeps it, but it cannot be stored now.
    Waits(Reason),
    /// It cannot become one.
    Unfit(Unfit),
}

impl Row {
    /// The slot of its point.
    pub(crate) fn slot(&self) -> Option<Timestamp> {
        self.inspected
            .as_ref()
            .map(|inspected| inspected.captured.at)
    }

    /// Whether a person would be surprised to hear that all went well. A folder may hold other things than dumps.
    pub(crate) fn is_failure(&self) -> bool {
        match &self.fate {
            Fate::Unfit(unfit) => self.file.named || !self.is_other(unfit),
            Fate::Adopt(_) => self.exists == Some(false),
            Fate::Fits | Fate::Known | Fate::NotKept | Fate::Waits(_) => false,
        }
    }

    /// Whether it is a point, or could be.
    pub(crate) fn is_good(&self) -> bool {
        match &self.fate {
            Fate::Known | Fate::NotKept => true,
            Fate::Adopt(_) => self.exists != Some(false),
            Fate::Fits | Fate::Waits(_) | Fate::Unfit(_) => false,
        }
    }

    /// A file of a folder that is no dump at all.
    fn is_other(&self, unfit: &Unfit) -> bool {
        !self.file.named && unfit.kind == UnfitKind::UnknownContent
    }

    fn content(&self) -> String {
        let Some(inspected) = &self.inspected else {
            return String::new();
        };
        let packed = match inspected.compression {
            Compression::None => "",
            Compression::Gzip => ", gzip",
            Compression::Zstd => ", zstd",
        };
        format!("{}{packed}", inspected.recognised.words)
    }

    fn captured(&self, zone: &TimeZone) -> String {
        self.inspected
            .as_ref()
            .map_or_else(String::new, |inspected| {
                let from = inspected.captured.from.word();
                format!("{} ({from})", local(inspected.captured.at, zone))
            })
    }

    fn state(&self) -> &'static str {
        match (&self.fate, self.exists) {
            (Fate::Adopt(_), Some(true)) => "adopted",
            (Fate::Adopt(_), Some(false)) => "failed",
            (Fate::Adopt(_) | Fate::Fits, _) => "to-adopt",
            (Fate::Known, _) => "known",
            (Fate::NotKept, _) => "not-kept",
            (Fate::Waits(_), _) => "waits",
            (Fate::Unfit(unfit), _) if self.is_other(unfit) => "passed-over",
            (Fate::Unfit(_), _) => "refused",
        }
    }

    fn json(&self) -> Value {
        let inspected = self.inspected.as_ref();
        let (code, why) = match &self.fate {
            Fate::Unfit(unfit) => (Some(unfit.kind.word()), Some(unfit.why.clone())),
            Fate::Waits(reason) => (Some(reason.code.as_str()), Some(reason.text.to_string())),
            _ => (None, None),
        };
        let tiers: Vec<Value> = match &self.fate {
            Fate::Adopt(tiers) => tiers
                .iter()
                .map(
                    |stay| json!({"tier": stay.tier, "reasons": stay.reasons, "until": stay.until}),
                )
                .collect(),
            _ => Vec::new(),
        };
        json!({
            "file": self.file.name,
            "bytes": self.file.bytes,
            "state": self.state(),
            "code": code,
            "why": why,
            "content": inspected.map(|inspected| inspected.recognised.content),
            "compression": inspected.map(|inspected| inspected.compression),
            "captured_at": inspected.map(|inspected| inspected.captured.at),
            "captured_at_from": inspected.map(|inspected| inspected.captured.from.word()),
            "recovery_point": self.point,
            "tiers": tiers,
        })
    }
}

impl Account {
    /// For programs.
    pub(crate) fn json(&self, displaced: &[Displaced], dry_run: bool) -> Value {
        let displaced: Vec<Value> = displaced
            .iter()
            .map(|gone| json!({"recovery_point": gone.point, "tier": gone.tier, "reasons": gone.reasons}))
            .collect();
        let passed_over: Vec<Value> = self
            .passed_over
            .iter()
            .map(|(file, why)| json!({"file": file, "why": why}))
            .collect();
        json!({
            "format": "mainstay.adoption.v1",
            "database": self.database,
            "series": self.series,
            "dry_run": dry_run,
            "files": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "displaced": displaced,
            "passed_over": passed_over,
        })
    }

    /// What would be done, before it is done.
    pub(crate) fn text(&self, displaced: &[Displaced], zone: &TimeZone, plain: bool) -> String {
        let mut text = String::new();
        let common = self.common_folder();
        let short = |name: &str| name.strip_prefix(&common).unwrap_or(name).to_owned();
        let _ = writeln!(
            text,
            "Files for {}/{}{}\n",
            self.database,
            self.series,
            if common.is_empty() {
                String::new()
            } else {
                format!(" in {}", common.trim_end_matches('/'))
            }
        );
        self.table_of_adopted(&mut text, zone, &short);
        if plain {
            self.plain_elsewhere(&mut text);
        }
        let named = |wanted: fn(&Fate) -> bool| -> Vec<String> {
            let rows = self.rows.iter().filter(|row| wanted(&row.fate));
            rows.map(|row| short(&row.file.name)).collect()
        };
        list(
            &mut text,
            "recovery points already",
            &named(|fate| matches!(fate, Fate::Known)),
            0,
        );
        list(
            &mut text,
            "not adopted, because no keep rule would keep them",
            &named(|fate| matches!(fate, Fate::NotKept)),
            MOST_NAMED,
        );
        self.refusals(&mut text, &short);
        displacements(&mut text, displaced);
        text
    }

    /// Whether files were found damaged, so that others may be kept in their place; those are judged anew.
    pub(crate) fn reconsider(&mut self) -> bool {
        let damaged =
            |row: &Row| matches!(&row.fate, Fate::Unfit(unfit) if unfit.kind == UnfitKind::Damaged);
        let (seen, all) = (
            self.damaged_seen,
            self.rows.iter().filter(|row| damaged(row)).count(),
        );
        self.damaged_seen = all;
        let mut left = false;
        for row in &mut self.rows {
            if matches!(row.fate, Fate::NotKept) && all > seen {
                row.fate = Fate::Fits;
                left = true;
            }
        }
        left
    }

    /// What is adopted in the place of files that were found damaged.
    pub(crate) fn instead(&self, zone: &TimeZone) -> String {
        let mut text = "\nIn the place of what is damaged:\n".to_owned();
        let common = self.common_folder();
        let short = |name: &str| name.strip_prefix(&common).unwrap_or(name).to_owned();
        self.table_of_adopted(&mut text, zone, &short);
        text
    }

    fn table_of_adopted(&self, text: &mut String, zone: &TimeZone, short: &dyn Fn(&str) -> String) {
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .filter_map(|row| {
                let Fate::Adopt(tiers) = &row.fate else {
                    return None;
                };
                if row.exists.is_some() {
                    return None;
                }
                let kept: Vec<String> = tiers.iter().map(|stay| kept(stay, zone)).collect();
                Some(vec![
                    short(&row.file.name),
                    row.file.bytes.to_string(),
                    row.content(),
                    row.captured(zone),
                    kept.join("; "),
                ])
            })
            .collect();
        if rows.is_empty() {
            text.push_str("Nothing to adopt.\n");
        } else {
            text.push_str(&table(&["FILE", "SIZE", "IS", "OF", "KEPT ON"], &rows));
        }
    }

    fn plain_elsewhere(&self, text: &mut String) {
        let tiers = self.rows.iter().flat_map(|row| match &row.fate {
            Fate::Adopt(tiers) => tiers.as_slice(),
            _ => &[],
        });
        let leaving: BTreeSet<&str> = tiers
            .filter(|stay| self.off_machine.contains(&stay.tier))
            .map(|stay| stay.tier.as_str())
            .collect();
        if !leaving.is_empty() {
            let names: Vec<&str> = leaving.into_iter().collect();
            let _ = writeln!(
                text,
                "{} stored PLAIN, not encrypted, on {}",
                color::paint(color::WARN, "!"),
                names.join(", ")
            );
        }
    }

    fn refusals(&self, text: &mut String, short: &dyn Fn(&str) -> String) {
        let mut refused = Vec::new();
        let mut others = Vec::new();
        for row in &self.rows {
            let name = short(&row.file.name);
            match &row.fate {
                Fate::Unfit(unfit) if row.is_other(unfit) => others.push(name),
                Fate::Unfit(unfit) => refused.push((name, unfit.why.clone())),
                Fate::Waits(reason) => refused.push((name, format!("must wait: {}", reason.text))),
                _ => {}
            }
        }
        if !refused.is_empty() {
            let _ = writeln!(
                text,
                "\n{} {} cannot be adopted:",
                color::paint(color::WARN, "!"),
                files(refused.len())
            );
            for (name, why) in refused {
                let _ = writeln!(text, "    {name}: {why}");
            }
        }
        list(
            text,
            "no dumps and no database files, passed over",
            &others,
            MOST_NAMED,
        );
        let passed: Vec<String> = self
            .passed_over
            .iter()
            .map(|(name, why)| format!("{}: {why}", short(name)))
            .collect();
        list(text, "passed over", &passed, MOST_NAMED);
    }

    /// The last lines, when it is done.
    pub(crate) fn closing(&self, dry_run: bool) -> String {
        let count = |state: &str| self.rows.iter().filter(|row| row.state() == state).count();
        if dry_run {
            return match count("to-adopt") {
                0 => String::new(),
                n => format!(
                    "\nWould adopt {}. Without --dry-run it is done; the files stay as they are.\n",
                    files(n)
                ),
            };
        }
        let mut text = String::new();
        let (adopted, failed) = (count("adopted"), count("failed"));
        if adopted > 0 {
            let _ = writeln!(
                text,
                "\nAdopted {}. The files themselves are as they were; before you delete any, try one: mainstay restore {} --point {} --to …",
                files(adopted),
                self.database,
                self.newest_adopted().map_or("", RecoveryPointId::as_str),
            );
        }
        let mark = color::paint(color::REMOVE, "!");
        if failed > 0 {
            let _ = writeln!(
                text,
                "{mark} {} could not be stored: see above. Doing it again takes up what is left.",
                files(failed)
            );
        }
        text
    }

    fn newest_adopted(&self) -> Option<&RecoveryPointId> {
        let adopted = self.rows.iter().filter(|row| row.exists == Some(true));
        adopted
            .max_by_key(|row| row.slot())
            .and_then(|row| row.point.as_ref())
    }

    /// The folder that all files share, with its slash.
    fn common_folder(&self) -> String {
        let mut names = self
            .rows
            .iter()
            .map(|row| row.file.name.as_str())
            .chain(self.passed_over.iter().map(|(name, _)| name.as_str()));
        let Some(first) = names.next() else {
            return String::new();
        };
        let folder = |name: &str| name.rfind(['/', ':']).map_or(0, |at| at + 1);
        let mut common = first[..folder(first)].to_owned();
        for name in names {
            while !name.starts_with(&common) {
                let shorter = common.trim_end_matches(['/', ':']);
                common.truncate(folder(shorter));
            }
        }
        common
    }
}

fn displacements(text: &mut String, displaced: &[Displaced]) {
    if displaced.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\n{} the next apply would then let go what is kept today:",
        color::paint(color::REMOVE, "!")
    );
    for gone in displaced.iter().take(MOST_NAMED) {
        let kept = gone.reasons.join(", ");
        let _ = writeln!(text, "    {} on {} (kept as {kept})", gone.point, gone.tier);
    }
    more(text, displaced.len(), MOST_NAMED);
}

fn kept(stay: &StayOnTier, zone: &TimeZone) -> String {
    let until = match stay.until {
        Until::NotKept => String::new(),
        Until::AtLeast(at) => format!(" until {}", at.to_zoned(zone.clone()).date()),
        Until::NoEnd => ", without end".to_owned(),
    };
    format!("{} ({}){until}", stay.tier, stay.reasons.join(", "))
}

/// `1 file`, `3 files`.
fn files(count: usize) -> String {
    format!("{count} file{}", if count == 1 { "" } else { "s" })
}

fn list(text: &mut String, what: &str, names: &[String], most: usize) {
    if names.is_empty() {
        return;
    }
    let colon = if most == 0 { "" } else { ":" };
    let _ = writeln!(text, "\n{} {what}{colon}", names.len());
    for name in names.iter().take(most) {
        let _ = writeln!(text, "    {name}");
    }
    if most > 0 {
        more(text, names.len(), most);
    }
}

fn more(text: &mut String, count: usize, most: usize) {
    if count > most {
        let _ = writeln!(text, "    and {} more; --json names all", count - most);
    }
}

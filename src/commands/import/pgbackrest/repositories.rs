//! The repositories of pgBackRest as tiers: beside them, never in them.
//!
//! Invariant: neither a key of a bucket nor a passphrase is copied.

use super::Settings;
use crate::commands::import::{
    found::{Fate, Place, Reading, Tier, quoted},
    ini::Entry,
    options,
    source::Text,
};
use std::collections::BTreeSet;

/// Settings of a repository that say what stays; each with `repoN-` in front.
const RETENTION: [&str; 6] = [
    "retention-full",
    "retention-full-type",
    "retention-diff",
    "retention-archive",
    "retention-archive-type",
    "retention-history",
];

/// Numbers of the repositories; what looks like retention and is not is a problem.
pub(super) fn numbers(text: &Text, entries: &[Entry], reading: &mut Reading) -> BTreeSet<u32> {
    let mut numbers = BTreeSet::new();
    for entry in entries {
        let digits: String = entry
            .key
            .strip_prefix("repo")
            .unwrap_or_default()
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let number: Option<u32> = digits.parse().ok();
        numbers.extend(number);
        let rest = number.and_then(|_| entry.key[4 + digits.len()..].strip_prefix('-'));
        let suspicious = entry.key.contains("retent")
            || entry.key.contains("retain")
            || rest.is_some_and(|rest| strsim::damerau_levenshtein(rest, "retention-full") <= 3);
        if suspicious && !rest.is_some_and(|rest| RETENTION.contains(&rest)) {
            let known: Vec<String> = RETENTION
                .iter()
                .map(|name| format!("repo{}-{name}", number.unwrap_or(1)))
                .collect();
            reading.problem(
                text.at(entry.line),
                options::unknown(&entry.key, known.iter().map(String::as_str)),
            );
        }
    }
    if numbers.is_empty() {
        numbers.insert(1);
    }
    numbers
}

/// One repository, as a stanza sees it.
pub(super) struct Repository<'s> {
    settings: &'s Settings<'s>,
    number: u32,
}

impl<'s> Repository<'s> {
    pub(super) fn new(settings: &'s Settings<'s>, number: u32) -> Self {
        Self { settings, number }
    }

    /// What its tier is called.
    pub(super) fn name(&self) -> String {
        format!("repo{}", self.number)
    }

    /// The setting `repoN-key`.
    pub(super) fn get(&self, key: &str) -> Option<&'s Entry> {
        self.settings.get(&format!("{}-{key}", self.name()))
    }

    pub(super) fn at(&self, entry: &Entry) -> Place {
        self.settings.text.at(entry.line)
    }

    fn value(&self, key: &str) -> Option<&'s str> {
        self.get(key).map(|entry| entry.value.as_str())
    }

    pub(super) fn is_encrypted(&self, reading: &mut Reading) -> bool {
        let cipher = self.get("cipher-type");
        let Some(entry) = cipher.filter(|entry| entry.value != "none") else {
            return false;
        };
        let setting = format!("{}={}", entry.key, entry.value);
        let says =
            "Mainstay encrypts with a key of its own, `[key.main]`; the passphrase is not copied";
        reading.note(Some(self.at(entry)), Fate::Changed, setting, says);
        true
    }

    /// The tier that takes its place.
    pub(super) fn tier(&self, reading: &mut Reading) -> Tier {
        let path = self.value("path").unwrap_or("/var/lib/pgbackrest");
        let path = path.trim_end_matches('/');
        let table = match self.value("type").unwrap_or("posix") {
            "s3" => self.bucket(path, reading),
            kind => self.folder(kind, path, reading),
        };
        Tier {
            name: self.name(),
            table,
        }
    }

    fn bucket(&self, path: &str, reading: &mut Reading) -> Vec<String> {
        let prefix = format!("{}-mainstay", path.trim_start_matches('/'));
        let bucket = self.value("s3-bucket").unwrap_or("CHANGE-ME");
        let mut table = vec![
            "kind = \"s3\"".to_owned(),
            format!("bucket = {}", quoted(bucket)),
            format!("prefix = {}", quoted(&prefix)),
        ];
        if let Some(region) = self.value("s3-region") {
            table.push(format!("region = {}", quoted(region)));
        }
        let endpoint = self.value("s3-endpoint");
        if let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.contains("amazonaws.com")) {
            let endpoint = if endpoint.contains("://") {
                endpoint.to_owned()
            } else {
                format!("https://{endpoint}")
            };
            table.push(format!("endpoint = {}", quoted(&endpoint)));
        }
        if let Some(entry) = self.get("s3-key").or_else(|| self.get("s3-key-secret")) {
            let number = self.number;
            let says = format!(
                "not copied: put them into REPO{number}_ACCESS_KEY_ID and REPO{number}_SECRET_ACCESS_KEY"
            );
            let setting = format!("repo{number}-s3-key, repo{number}-s3-key-secret");
            reading.note(Some(self.at(entry)), Fate::Changed, setting, says);
            table.push(format!("credentials = {{ access-key-id = {{ env = \"REPO{number}_ACCESS_KEY_ID\" }}, secret-access-key = {{ env = \"REPO{number}_SECRET_ACCESS_KEY\" }} }}"));
        }
        table
    }

    /// A folder beside the old one where that can be reached from here, else one that must be changed.
    fn folder(&self, kind: &str, path: &str, reading: &mut Reading) -> Vec<String> {
        let number = self.number;
        let host = self.value("host");
        let mut named = ["type", "host", "path"].iter();
        let place = named.find_map(|key| self.get(key));
        let place = place.map(|entry| self.at(entry));
        let mut table = vec!["kind = \"filesystem\"".to_owned()];
        if kind == "posix" && host.is_none() || kind == "cifs" {
            let says = format!(
                "`path = \"{path}-mainstay\"`: beside the old repository, which is left alone"
            );
            let setting = format!("repo{number}-path={path}");
            reading.note(place, Fate::Changed, setting, says);
            table.push(format!("path = {}", quoted(&format!("{path}-mainstay"))));
            return table;
        }
        let was = host.map_or_else(|| kind.to_owned(), |host| format!("on the host {host}"));
        let says = format!(
            "there is no such tier: `path = \"/srv/mainstay-repo{number}\"`; change it to a mounted folder or to S3"
        );
        let setting = format!("repo{number} is {was}");
        reading.note(place, Fate::NotExpressed, setting, says);
        let was = was.replace('\n', " ");
        table.push(format!("# CHANGE: the repository was {was}"));
        table.push(format!("path = \"/srv/mainstay-repo{number}\""));
        table
    }
}

//! `[approval]`: who may approve plans that delete more than routine.
//!
//! Invariants: every signer has a key that can be used and that nobody else has; the quorum can be reached. Not here: what needs
//! approval (`planner`), and that rules once in force do not go by leaving them out (`planner`, `executor`).

use crate::{
    meaning::read,
    report::{Draft, Report},
    sections::Item,
    shape::{self, At, Schema},
    tree::Place,
    written::{Language, WrittenApproval},
};
use model::{ApprovalRules, approval::PublicKey};
use std::collections::BTreeMap;

/// Reads `[approval]`.
pub(crate) fn read_approval(
    report: &mut Report<'_>,
    item: Option<&Item>,
    language: &Language,
) -> Option<ApprovalRules> {
    let item = item?;
    let (node, schema) = (&item.node, Schema::of(&language.approval));
    let at = At::top("approval");
    let before = report.len();
    shape::walk(report, node, at, schema);
    let written: WrittenApproval = read(report, node, schema, &[]);
    let quorum = written.quorum.unwrap_or(1);
    let signers = signers(report, item);
    if signers.is_empty() && report.len() == before {
        shape::missing(report, node, at, "signers");
    } else if report.len() == before && quorum as usize > signers.len() {
        let place = node.get("quorum").map_or(item.key_place, |node| node.place);
        let draft = Draft::error(
            "policy::quorum-unreachable",
            format!("{quorum} signatures are asked of {} signers", signers.len()),
        )
        .at(place, "more than there are")
        .help("name more signers, or lower `quorum`; with as many signers as the quorum, one lost key blocks every approval");
        report.add(draft);
    }
    (report.len() == before).then_some(ApprovalRules {
        exclude_author: written.exclude_author.unwrap_or(false),
        limits: None,
        quorum,
        signers,
    })
}

fn signers(report: &mut Report<'_>, item: &Item) -> BTreeMap<String, String> {
    let mut signers = BTreeMap::new();
    let mut owners: BTreeMap<String, (String, Place)> = BTreeMap::new();
    let mut names: BTreeMap<String, (String, Place)> = BTreeMap::new();
    let written = item.node.get("signers").and_then(|node| node.table());
    for entry in written.into_iter().flat_map(|table| &table.entries) {
        let Some(text) = entry.node.text() else {
            continue;
        };
        let key = match PublicKey::from_line(text) {
            Ok(key) => key,
            Err(error) => {
                let draft = Draft::error(
                    "policy::bad-signer",
                    format!("the key of signer `{}` cannot be used: {error}", entry.key),
                )
                .at(entry.node.place, "not a public key of SSH")
                .help("write the line of the signer's `.pub` file: `ssh-ed25519 AAAA…`");
                report.reject(entry.node.place, draft);
                continue;
            }
        };
        let line = key.line();
        if let Some((other, place)) = owners.get(&line) {
            let draft = Draft::error(
                "policy::same-signer",
                format!("signers `{other}` and `{}` have the same key", entry.key),
            )
            .at(entry.node.place, "the same key again")
            .at(*place, format!("signer `{other}`"))
            .help("one key is one signer: two names would reach a quorum of two alone");
            report.add(draft);
            continue;
        }
        if let Some((other, place)) = names.insert(
            entry.key.to_ascii_lowercase(),
            (entry.key.clone(), entry.node.place),
        ) {
            let draft = Draft::error(
                "policy::same-signer",
                format!(
                    "signers `{other}` and `{}` have the same name but for its case",
                    entry.key
                ),
            )
            .at(entry.node.place, "the same name again")
            .at(place, format!("signer `{other}`"))
            .help("one person is one signer: two names would reach a quorum of two alone");
            report.add(draft);
            continue;
        }
        owners.insert(line.clone(), (entry.key.clone(), entry.node.place));
        signers.insert(entry.key.clone(), line);
    }
    signers
}

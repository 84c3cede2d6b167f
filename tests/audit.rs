//! The fear: somebody deletes a backup and then what says so. Every way to change what the audit tells, with the real program, and what
//! `audit verify` says of it.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use model::{Digest, audit::ChainedEntry};
use std::{fmt::Write as _, fs, path::Path};
use support::{
    Site,
    chain::{by_hand, exports},
    program::Ended,
    shop_once,
};

/// A site with some acts and two exports on each of two tiers.
fn site() -> Site {
    let site = Site::new(&shop_once());
    site.apply();
    let point = site.points().remove(0).to_string();
    site.expect(
        0,
        &[
            "hold", "add", &point, "--why", "case 7", "--who", "ada@host",
        ],
    );
    site.expect(
        0,
        &[
            "hold",
            "release",
            &point,
            "--why",
            "case 7 is closed",
            "--who",
            "bob@host",
        ],
    );
    site.apply();
    site
}

/// Number of the first entry of this kind.
fn number_of(site: &Site, kind: &str) -> u64 {
    let said = site.expect(0, &["audit", "show", "--json", "--kind", kind]);
    let line = said.stdout.lines().next().unwrap();
    ChainedEntry::parse(line.as_bytes()).unwrap().sequence
}

fn entries(site: &Site) -> Vec<ChainedEntry> {
    let said = site.expect(0, &["audit", "show", "--json"]);
    let lines = said.stdout.lines();
    lines
        .map(|line| ChainedEntry::parse(line.as_bytes()).unwrap())
        .collect()
}

/// Text without what is another at every run.
fn told(ended: &Ended) -> String {
    let mut told = String::new();
    for word in ended
        .stdout
        .split_inclusive([' ', '\n', '`', ',', '(', ')', ';', '/', ':'])
    {
        let bare = word.trim_end_matches([' ', '\n', '`', ',', '(', ')', ';', '/', ':']);
        let end = &word[bare.len()..];
        let is_hex = bare.len() >= 32 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        told.push_str(if is_hex { "HEX" } else { bare });
        told.push_str(end);
    }
    told
}

macro_rules! assert_told {
    ($name:literal, $ended:expr) => {
        insta::with_settings!({filters => vec![
            (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?( UTC|Z)", "TIME"),
            (r"run-\d{8}T\d{6}Z-\d+(-\d+)?", "RUN"),
            (r"\d{8}T\d{6}Z", "SLOT"),
            (r"[a-z0-9_-]+@[A-Za-z0-9_.-]+: ", "SOMEBODY: "),
            (r"(?m) +$", ""),
        ]}, { insta::assert_snapshot!($name, told(&$ended)); });
    };
}

#[test]
fn an_audit_that_nobody_touched_is_sound_on_every_tier() {
    let site = site();
    assert_told!("audit_sound", site.expect(0, &["audit", "verify"]));
    assert_told!("audit_shown", site.expect(0, &["audit", "show"]));
    let holds = site.expect(
        0,
        &[
            "audit", "show", "--on", "shop", "--kind", "hold", "--kind", "release",
        ],
    );
    assert_eq!(holds.stdout.lines().count(), 2);
    holds
        .says("ada@host: case 7")
        .says("bob@host: case 7 is closed");
    site.expect(0, &["audit", "show", "--until", "2001-01-01"])
        .says("No entries.");
    site.expect(0, &["audit", "show", "--limit", "1"])
        .says("ended with");
    for tier in ["disk", "nas"] {
        assert_eq!(exports(&site, tier).len(), 2, "one for each run");
    }
    // Nothing about the exports is drift or a recovery point.
    site.expect(0, &["plan", "--refresh-only"])
        .never_says("mainstay-audit");
    let verified = site.expect(0, &["audit", "verify", "--json"]).json();
    assert_eq!(verified["sound"], true);
    assert_eq!(verified["tiers"]["nas"]["objects"], 2);
}

#[test]
fn the_key_that_signs_is_shown_readable_by_its_owner_only_and_the_only_one_that_counts_when_it_is_given()
 {
    use std::os::unix::fs::PermissionsExt as _;
    let site = site();
    let file = site.path().join(".mainstay/audit.key");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let shown = site.expect(0, &["audit", "show", "--key"]);
    shown.says("-----BEGIN PUBLIC KEY-----");
    let key = shown.stdout.lines().next().unwrap().to_owned();
    site.expect(0, &["audit", "verify", "--key", &key])
        .never_says("whose keys signed");
    let other = format!("ed25519:{}", "ab".repeat(32));
    site.expect(1, &["audit", "verify", "--key", &other])
        .says("a key that this audit has never announced");
    // Without its key a machine makes another one, and says so in the audit.
    fs::remove_file(&file).unwrap();
    site.apply();
    site.expect(0, &["audit", "verify"]);
    let keys = site.expect(0, &["audit", "show", "--kind", "signing-key"]);
    assert_eq!(keys.stdout.lines().count(), 2);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    site.apply()
        .says("the audit was not carried to any tier, the next run tries again")
        .says("chmod 600");
}

#[test]
fn an_edited_entry_is_named_with_what_it_said() {
    let site = site();
    let hold = number_of(&site, "hold");
    by_hand(
        &site,
        &format!("UPDATE audit SET why = 'case 8' WHERE sequence = {hold}"),
    );
    let said = site.expect(1, &["audit", "verify"]);
    said.says(&format!("catalog: entry {hold} was edited"))
        .says("why is `case 8`, signed was `case 7`");
    assert_told!("audit_edited", said);
    // What follows is sound and goes on; what lies on the tiers stays as it is.
    site.expect(0, &["apply", "--auto-approve"]);
    site.expect(1, &["audit", "verify"]).says("was edited");
}

#[test]
fn one_changed_byte_in_the_file_of_the_catalog_is_found() {
    let site = site();
    let mut bytes = fs::read(site.catalog()).unwrap();
    let wanted = b"case 7 is closed";
    let found: Vec<usize> = bytes
        .windows(wanted.len())
        .enumerate()
        .filter(|(_, part)| part == wanted)
        .map(|(at, _)| at)
        .collect();
    assert!(!found.is_empty());
    for at in found {
        bytes[at + 5] = b'9';
    }
    fs::write(site.catalog(), bytes).unwrap();
    let release = number_of(&site, "release");
    site.expect(1, &["audit", "verify"])
        .says(&format!("catalog: entry {release} was edited"));
}

#[test]
fn removed_and_swapped_entries_are_named() {
    let original = site();
    let count = entries(&original).len() as u64;
    let hold = number_of(&original, "hold");

    let site = Site::like(&original);
    by_hand(&site, &format!("DELETE FROM audit WHERE sequence = {hold}"));
    site.expect(1, &["audit", "verify"])
        .says(&format!("catalog: entry {hold} was removed"));

    let site = Site::like(&original);
    by_hand(
        &site,
        &format!("DELETE FROM audit WHERE sequence > {}", count - 2),
    );
    site.expect(1, &["audit", "verify"]).says(&format!(
        "catalog: entries {} to {count} were removed",
        count - 1
    ));

    // The end cut off by somebody who also knows where it is remembered.
    let site = Site::like(&original);
    let end = count - 2;
    by_hand(
        &site,
        &format!(
            "DELETE FROM audit WHERE sequence > {end}; \
             UPDATE audit_head SET sequence = {end}, digest = (SELECT digest FROM audit WHERE sequence = {end})"
        ),
    );
    let said = site.expect(1, &["audit", "verify"]);
    said.says(&format!(
        "nas: the tier has signed entries up to {count}, the catalog ends at {end}"
    ));
    assert_told!("audit_cut_short", said);

    let site = Site::like(&original);
    let next = hold + 1;
    by_hand(
        &site,
        &format!(
            "UPDATE audit SET sequence = 1000000 WHERE sequence = {hold}; UPDATE audit SET sequence = {hold} WHERE sequence = {next}; \
             UPDATE audit SET sequence = {next} WHERE sequence = 1000000"
        ),
    );
    site.expect(1, &["audit", "verify"])
        .says(&format!(
            "catalog: entry {hold} was moved here: it was written as entry {next}"
        ))
        .says(&format!(
            "catalog: entry {next} was moved here: it was written as entry {hold}"
        ));
}

/// Changes one entry and computes every digest behind it anew, as somebody who has read the format would.
fn compute_anew(site: &Site, sequence: u64, why: &str) {
    let mut all = entries(site);
    let mut sql = String::new();
    let mut previous: Option<Digest> = None;
    for entry in &mut all {
        if entry.sequence < sequence {
            continue;
        }
        if entry.sequence == sequence {
            why.clone_into(&mut entry.why);
        }
        if let Some(previous) = previous.take() {
            entry.previous = previous;
        }
        entry.digest = entry.computed();
        previous = Some(entry.digest.clone());
        let _ = write!(
            sql,
            "UPDATE audit SET why = '{}', previous = '{}', digest = '{}' WHERE sequence = {};",
            entry.why.replace('\'', "''"),
            entry.previous,
            entry.digest,
            entry.sequence
        );
    }
    let _ = write!(
        sql,
        "UPDATE audit_head SET digest = '{}';",
        previous.unwrap()
    );
    by_hand(site, &sql);
}

#[test]
fn a_chain_that_was_computed_anew_is_found_by_what_lies_on_the_tiers() {
    let site = site();
    let hold = number_of(&site, "hold");
    compute_anew(&site, hold, "nothing");
    let said = site.expect(1, &["audit", "verify"]);
    said.says("each follows the one before")
        .says(&format!(
            "disk: entry {hold} of the catalog is not the signed one"
        ))
        .says("why is `nothing`, signed was `case 7`");
    assert_told!("audit_computed_anew", said);
    // Where no tier can be read, that is said, and no more is known.
    fs::rename(site.tier("disk"), site.path().join("away-disk")).unwrap();
    fs::rename(site.tier("nas"), site.path().join("away-nas")).unwrap();
    let said = site.expect(0, &["audit", "verify"]);
    said.says("Not checked:")
        .says("no tier that was read has a signed export");
}

#[test]
fn an_older_state_of_the_catalog_that_was_brought_back_is_found() {
    let site = Site::new(&shop_once());
    site.apply();
    let older = fs::read(site.catalog()).unwrap();
    let point = site.points().remove(0).to_string();
    site.expect(0, &["hold", "add", &point, "--why", "case 7"]);
    site.apply();
    fs::write(site.catalog(), &older).unwrap();
    let said = site.expect(1, &["audit", "verify"]);
    said.says("an older state of the catalog was brought back");
    // It also goes on from there: what it writes then is another history than the signed one.
    site.expect(0, &["hold", "add", &point, "--why", "another story"]);
    site.run(&["apply", "--auto-approve"]);
    site.run(&["apply", "--auto-approve"]);
    site.expect(1, &["audit", "verify"])
        .says("of the catalog is not the signed one");
}

#[test]
fn exports_that_were_tampered_with_are_named() {
    let original = site();
    let first = |site: &Site| exports(site, "nas").remove(0);
    let last = |site: &Site| exports(site, "nas").pop().unwrap();
    let name = |file: &Path| file.file_name().unwrap().to_string_lossy().into_owned();

    let site = Site::like(&original);
    let file = last(&site);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("case 7 is closed", "case 9 is closed")).unwrap();
    let release = number_of(&site, "release");
    let said = site.expect(1, &["audit", "verify"]);
    said.says(&format!("{}`: entry {release} was edited", name(&file)))
        .never_says("of the catalog is not the signed one");
    assert_told!("audit_export_edited", said);

    let site = Site::like(&original);
    let file = last(&site);
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    fs::write(&file, format!("{}\n", lines[..lines.len() - 1].join("\n"))).unwrap();
    site.expect(1, &["audit", "verify"]).says("it was cut off");

    let site = Site::like(&original);
    let file = last(&site);
    let kept: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| !line.contains("\"release\""))
        .collect();
    fs::write(&file, format!("{}\n", kept.join("\n"))).unwrap();
    site.expect(1, &["audit", "verify"])
        .says(&format!("{}`: entry {release} was removed", name(&file)));

    let site = Site::like(&original);
    fs::remove_file(first(&site)).unwrap();
    site.expect(1, &["audit", "verify"]).says("were removed");

    let site = Site::like(&original);
    fs::remove_file(last(&site)).unwrap();
    site.expect(1, &["audit", "verify"])
        .says("were stored there and are not there any more");

    let site = Site::like(&original);
    let file = last(&site);
    fs::write(&file, "notes\n").unwrap();
    site.expect(1, &["audit", "verify"])
        .says("line 1 is not what stands there");

    // Without a catalog the exports are judged by themselves.
    let site = Site::like(&original);
    fs::remove_file(site.catalog()).unwrap();
    let _ = fs::remove_file(site.path().join(".mainstay/state.db-wal"));
    site.expect(0, &["audit", "verify"])
        .says("There is no catalog");
    let file = first(&site);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("\"who\":\"", "\"who\":\"x", 1)).unwrap();
    site.expect(1, &["audit", "verify"]).says("was edited");
}

#[test]
fn an_export_signed_with_another_key_is_named() {
    let original = site();
    let site = Site::like(&original);
    // Somebody with a key of his own signs the same entries, and others.
    let forged = site.path().join("forged.jsonl");
    fs::remove_file(site.path().join(".mainstay/audit.key")).unwrap();
    let elsewhere = Site::like(&site);
    elsewhere.expect(0, &["audit", "export", &forged.display().to_string()]);
    let text = fs::read_to_string(&forged).unwrap();
    let count = text.lines().count() as u64 - 1;
    for file in exports(&site, "nas") {
        fs::remove_file(file).unwrap();
    }
    let folder = exports(&site, "disk").remove(0);
    let folder = site
        .tier("nas")
        .join("mainstay-audit")
        .join(folder.parent().unwrap().file_name().unwrap());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("000000000001-{count:012}.jsonl")), text).unwrap();
    site.expect(1, &["audit", "verify"])
        .says("a key that this audit has never announced");
}

#[test]
fn programs_that_write_at_once_do_not_fork_the_chain() {
    let site = site();
    let point = site.points().remove(0).to_string();
    let before = entries(&site).len();
    let running: Vec<_> = (0..8)
        .map(|n| {
            let who = format!("writer-{n}@host");
            site.start(
                &["hold", "add", &point, "--why", "at once", "--who", &who],
                &[],
            )
        })
        .collect();
    for one in running {
        let ended = one.wait();
        assert_eq!(ended.code, Some(0), "{ended}");
    }
    assert_eq!(entries(&site).len(), before + 8);
    site.apply();
    site.expect(0, &["audit", "verify"]);
}

#[cfg(feature = "crash-points")]
#[test]
fn a_run_that_dies_between_writing_and_exporting_loses_nothing() {
    for moment in ["before-audit-export", "after-audit-export"] {
        let site = site();
        let point = site.points().remove(0).to_string();
        site.expect(0, &["hold", "add", &point, "--why", "case 8"]);
        let killed = site
            .start(
                &["apply", "--auto-approve"],
                &[("MAINSTAY_CRASH_AT", moment)],
            )
            .wait();
        assert_eq!(killed.signal, Some(9), "{moment}: {killed}");
        site.expect(0, &["audit", "verify"]);
        site.apply();
        let verified = site.expect(0, &["audit", "verify", "--json"]).json();
        for tier in ["disk", "nas"] {
            assert_eq!(verified["tiers"][tier]["waiting"], 0, "{moment}");
            let there = verified["tiers"][tier]["entries"].as_u64().unwrap();
            let all = entries(&site).len() as u64;
            // What lay there when the run died, unnoted, may be there once more with what came after it.
            let twice = moment == "after-audit-export";
            assert!(
                there == all || (twice && there > all),
                "{moment}: {there} of {all}"
            );
        }
    }
}

#[test]
fn a_tier_that_was_away_gets_everything_the_next_time_and_the_gap_is_told() {
    let site = site();
    let point = site.points().remove(0).to_string();
    let away = site.path().join("away");
    fs::rename(site.tier("nas"), &away).unwrap();
    site.expect(0, &["hold", "add", &point, "--why", "case 8"]);
    let ended = site.run(&["apply", "--auto-approve"]);
    ended.says("the audit was not carried to nas, the next run tries again");
    let said = site.expect(0, &["audit", "verify"]);
    said.says("Not checked:").says("nas: ");
    fs::rename(&away, site.tier("nas")).unwrap();
    site.expect(0, &["audit", "verify"])
        .says("come with the next run");
    site.apply().never_says("was not carried");
    site.expect(0, &["audit", "verify"])
        .never_says("come with the next run");
}

#[test]
fn a_rebuilt_catalog_names_where_the_audit_before_it_ended() {
    let site = site();
    let count = entries(&site).len();
    // The machine's state is lost, the key with it.
    fs::rename(site.path().join(".mainstay"), site.path().join("lost")).unwrap();
    site.expect(0, &["catalog", "rebuild"]);
    let said = site.expect(0, &["audit", "show", "--kind", "catalog-rebuild"]);
    said.says(&format!("ended with entry {count} "));
    site.apply();
    let said = site.expect(0, &["audit", "verify"]);
    said.says("the audit of another catalog");
    assert_told!("audit_rebuilt", said);
    // The end of the old one cannot be taken away either.
    let old = exports(&site, "disk");
    let old: Vec<_> = old
        .into_iter()
        .filter(|file| {
            fs::read_to_string(file)
                .unwrap()
                .contains("case 7 is closed")
        })
        .collect();
    fs::remove_file(&old[0]).unwrap();
    site.expect(1, &["audit", "verify"]).says(&format!(
        "disk: the checkpoint of entry {count} of the earlier catalog"
    ));
}

#[test]
fn the_whole_audit_is_written_to_a_file_once() {
    let site = site();
    let file = site.path().join("audit.jsonl");
    let file = file.display().to_string();
    site.expect(0, &["audit", "export", &file])
        .says("entries written, signed");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), entries(&site).len() + 1);
    assert!(
        text.lines()
            .last()
            .unwrap()
            .contains("\"signature\":\"ed25519:")
    );
    site.expect(1, &["audit", "export", &file])
        .says("cannot write the audit");
    let streamed = site.expect(0, &["audit", "export", "-"]);
    assert_eq!(streamed.stdout.lines().count(), text.lines().count());
}

//! What a walk along a chain says of each way to tamper with it.

use super::*;
use serde_json::json;

const CATALOG: &str = "00112233445566778899aabbccddeeff";

fn chain(length: u64) -> Vec<ChainedEntry> {
    let mut previous = beginning(CATALOG);
    (1..=length)
        .map(|sequence| {
            let mut entry = ChainedEntry {
                at: Timestamp::from_second(1_795_226_400 + i64::try_from(sequence).unwrap())
                    .unwrap(),
                details: (sequence % 2 == 0)
                    .then(|| json!({"point": "orders/daily/20261121T020000Z", "type": "hold"})),
                digest: previous.clone(),
                format: FORMAT.to_owned(),
                kind: "run".to_owned(),
                previous: previous.clone(),
                sequence,
                what: format!("run-{sequence}"),
                who: "ada@host".to_owned(),
                why: "started".to_owned(),
            };
            entry.digest = entry.computed();
            previous = entry.digest.clone();
            entry
        })
        .collect()
}

/// Computes digests anew from an entry on, as somebody who knows the format would.
fn recompute(entries: &mut [ChainedEntry], from: usize) {
    for index in from..entries.len() {
        if index > 0 {
            entries[index].previous = entries[index - 1].digest.clone();
        }
        entries[index].digest = entries[index].computed();
    }
}

fn flaws(entries: &[ChainedEntry], end: u64) -> String {
    let mut walk = ChainWalk::from_beginning(CATALOG);
    for entry in entries {
        walk.take(entry);
    }
    let (flaws, count) = walk.finish(end);
    assert_eq!(flaws.len() as u64, count);
    let words: Vec<String> = flaws.iter().map(ToString::to_string).collect();
    words.join("\n")
}

#[test]
fn an_untouched_chain_has_no_flaw() {
    assert_eq!(flaws(&chain(9), 9), "");
    assert_eq!(flaws(&[], 0), "");
}

#[test]
fn an_edited_entry_is_named() {
    type Edit = fn(&mut ChainedEntry);
    let edits: [Edit; 7] = [
        |entry| entry.why.push('x'),
        |entry| entry.who = "eve@host".to_owned(),
        |entry| entry.what.clear(),
        |entry| entry.kind = "hold".to_owned(),
        |entry| entry.at = Timestamp::from_second(5).unwrap(),
        |entry| entry.details = None,
        |entry| entry.digest = Digest::sha256_of(b"x"),
    ];
    for edit in edits {
        let mut entries = chain(6);
        edit(&mut entries[3]);
        let said = flaws(&entries, 6);
        assert!(
            said.starts_with("entry 4 was edited: its content does not give its digest"),
            "{said}"
        );
    }
}

#[test]
fn an_entry_that_was_replaced_with_its_digest_is_found_at_the_next() {
    let mut entries = chain(6);
    entries[3].why = "nothing".to_owned();
    entries[3].digest = entries[3].computed();
    assert_eq!(
        flaws(&entries, 6),
        "entry 5 does not follow entry 4 as it stands: entry 4 was replaced"
    );
}

#[test]
fn a_removed_entry_is_missed_in_the_middle_and_at_the_end() {
    let mut entries = chain(6);
    entries.remove(2);
    assert_eq!(flaws(&entries, 6), "entry 3 was removed");
    let mut entries = chain(6);
    entries.drain(1..4);
    assert_eq!(flaws(&entries, 6), "entries 2 to 4 were removed");
    let mut entries = chain(6);
    entries.truncate(4);
    assert_eq!(flaws(&entries, 6), "entries 5 to 6 were removed");
    let mut entries = chain(6);
    entries.remove(0);
    assert_eq!(flaws(&entries, 6), "entry 1 was removed");
}

#[test]
fn swapped_entries_are_named_with_their_places() {
    let mut entries = chain(6);
    entries.swap(1, 3);
    entries[1].sequence = 2;
    entries[3].sequence = 4;
    assert_eq!(
        flaws(&entries, 6),
        "entry 2 was moved here: it was written as entry 4\nentry 4 was moved here: it was written as entry 2"
    );
}

#[test]
fn numbers_that_were_closed_up_behind_a_removed_entry_are_found() {
    let mut entries = chain(5);
    entries.remove(2);
    for entry in &mut entries[2..] {
        entry.sequence -= 1;
    }
    assert_eq!(
        flaws(&entries, 4),
        "entry 3 was moved here: it was written as entry 4\nentry 4 was moved here: it was written as entry 5"
    );
}

#[test]
fn another_catalogs_chain_is_no_chain_of_this_one() {
    let mut walk = ChainWalk::from_beginning("ffffffffffffffffffffffffffffffff");
    for entry in chain(3) {
        walk.take(&entry);
    }
    assert_eq!(walk.finish(3).0, [Flaw::Unlinked { sequence: 1 }]);
}

#[test]
fn a_chain_computed_anew_looks_sound_and_ends_in_another_digest() {
    let mut entries = chain(6);
    let before = entries[5].digest.clone();
    entries[1].why = "nothing".to_owned();
    recompute(&mut entries, 1);
    assert_eq!(flaws(&entries, 6), "");
    assert_ne!(
        entries[5].digest, before,
        "so a checkpoint kept elsewhere tells"
    );
}

#[test]
fn very_many_flaws_are_counted_without_being_kept() {
    let mut walk = ChainWalk::from_beginning(CATALOG);
    for mut entry in chain(5000) {
        entry.why = "all of it".to_owned();
        walk.take(&entry);
    }
    let (flaws, count) = walk.finish(5000);
    assert_eq!(count, 5000);
    assert!(flaws.len() < 1000);
}

#[test]
fn a_line_reads_back_to_the_same_digest_and_its_keys_are_in_order() {
    for entry in chain(2) {
        assert!(canonical::is_sorted(&entry).unwrap());
        let line = canonical::to_vec(&entry).unwrap();
        let read = ChainedEntry::parse(&line).unwrap();
        assert_eq!(read, entry);
        assert_eq!(read.computed(), entry.digest);
    }
}

/// What anybody can compute: `json.dumps` with sorted keys of the line without `digest`.
#[test]
fn the_digest_is_of_the_line_without_it() {
    let entry = &chain(2)[1];
    let mut line = serde_json::to_value(entry).unwrap();
    line.as_object_mut().unwrap().remove("digest");
    let text = serde_json::to_string(&canonical::sorted(&line)).unwrap();
    assert_eq!(Digest::sha256_of(text.as_bytes()), entry.digest);
}

//! The fear: a copy was spoilt in silence, and nobody knows until it is needed. The damage table of the tiers and the catalog,
//! (missing, truncated, flipped byte, foreign file) × (data, manifest, marker, catalog), with the real program.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use model::RecoveryPointId;
use std::{
    fs,
    path::{Path, PathBuf},
};
use support::{Site, laws, shop, shop_once, stored};

/// How a file is spoilt.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Missing,
    Truncated,
    Flipped,
    Foreign,
}

const ALL: [Damage; 4] = [
    Damage::Missing,
    Damage::Truncated,
    Damage::Flipped,
    Damage::Foreign,
];

impl Damage {
    /// Spoils a file. A foreign file is text that somebody put there, of the same length.
    fn befall(self, file: &Path) {
        let mut bytes = fs::read(file).unwrap();
        match self {
            Self::Missing => return fs::remove_file(file).unwrap(),
            Self::Truncated => bytes.truncate(bytes.len() / 2),
            Self::Flipped => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            Self::Foreign => bytes.fill(b'x'),
        }
        fs::write(file, bytes).unwrap();
    }
}

/// A site with one point on two tiers.
fn one_point() -> (Site, RecoveryPointId) {
    let site = Site::new(&shop_once());
    site.apply();
    let point = site.points().remove(0);
    (site, point)
}

fn data(site: &Site, tier: &str, point: &RecoveryPointId) -> PathBuf {
    stored::data(&site.tier(tier), point)
}

fn manifest(site: &Site, tier: &str, point: &RecoveryPointId) -> PathBuf {
    stored::folder(&site.tier(tier), point).join("manifest.json")
}

#[track_caller]
fn assert_sound(site: &Site) {
    assert!(laws::assert_settled(site).is_empty());
    laws::assert_rebuilds(site);
    site.apply().says("No changes");
}

#[test]
fn data_that_is_missing_or_too_short_is_drift_and_is_repaired_from_the_other_tier() {
    for damage in [Damage::Missing, Damage::Truncated] {
        for tier in ["disk", "nas"] {
            let (site, point) = one_point();
            damage.befall(&data(&site, tier, &point));
            site.expect(5, &["plan", "--refresh-only"])
                .says(point.as_str())
                .says(tier);
            site.expect(0, &["apply", "--auto-approve", "--refresh"])
                .says("repair");
            assert_sound(&site);
        }
    }
}

#[test]
fn data_with_wrong_bytes_is_found_by_verify_and_then_repaired() {
    for damage in [Damage::Flipped, Damage::Foreign] {
        for tier in ["disk", "nas"] {
            for level in ["checksum", "full-read", "restore"] {
                let (site, point) = one_point();
                damage.befall(&data(&site, tier, &point));
                let ended = site.expect(9, &["verify", "shop", "--level", level]);
                ended.says("BAD").says("1 of 2 copies are good");
                // What was found is remembered: the next run mends it unasked.
                site.apply().says("repair");
                assert_sound(&site);
            }
        }
    }
}

#[test]
fn the_text_the_json_and_the_exit_code_of_verify_agree() {
    let (site, point) = one_point();
    for (spoilt, code) in [(vec![], 0), (vec!["disk"], 9), (vec!["disk", "nas"], 1)] {
        for tier in &spoilt {
            let file = data(&site, tier, &point);
            let mut bytes = fs::read(&file).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 0x80;
            fs::write(&file, &bytes).unwrap();
            if spoilt.len() == 2 && *tier == "disk" {
                // It was spoilt in the round before: twice the same bit would mend it.
                bytes[last] ^= 0x80;
                fs::write(&file, &bytes).unwrap();
            }
        }
        let ended = site.expect(code, &["verify", "--json"]);
        let passed: Vec<bool> = ended
            .stdout
            .lines()
            .map(|line| {
                let report: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(
                    report["passed"].as_bool().unwrap(),
                    report["failure"].is_null()
                );
                report["passed"].as_bool().unwrap()
            })
            .collect();
        assert_eq!(passed.len(), 2);
        assert_eq!(
            passed.iter().filter(|it| !**it).count(),
            spoilt.len(),
            "{ended}"
        );
        let text = site.expect(code, &["verify"]);
        text.says(&format!("{} of 2 copies are good", 2 - spoilt.len()));
    }
}

#[test]
fn a_spoilt_manifest_is_drift_and_is_repaired_from_the_other_tier() {
    for damage in ALL {
        for tier in ["disk", "nas"] {
            let (site, point) = one_point();
            damage.befall(&manifest(&site, tier, &point));
            site.expect(5, &["plan", "--refresh-only"])
                .says(point.as_str());
            site.expect(0, &["apply", "--auto-approve", "--refresh"]);
            assert_sound(&site);
        }
    }
}

#[test]
fn a_manifest_of_another_point_is_never_believed() {
    let (site, point) = one_point();
    shop::grow(&site.shop(), 5);
    site.next_second();
    site.expect(0, &["backup", "shop", "--auto-approve"]);
    let other = site.points().remove(1);
    fs::copy(
        manifest(&site, "disk", &other),
        manifest(&site, "disk", &point),
    )
    .unwrap();
    site.expect(5, &["plan", "--refresh-only"]);
    site.expect(0, &["apply", "--auto-approve", "--refresh"]);
    assert!(laws::assert_settled(&site).is_empty());
}

#[test]
fn files_that_are_not_ours_are_told_and_never_touched() {
    let (site, point) = one_point();
    let strangers = [
        site.tier("disk").join("holiday.jpg"),
        site.tier("disk").join("shop/notes.txt"),
        site.tier("disk").join("other/series/2026/readme"),
        site.tier("nas").join("lost+found/x"),
    ];
    for stranger in &strangers {
        fs::create_dir_all(stranger.parent().unwrap()).unwrap();
        fs::write(stranger, "precious").unwrap();
    }
    site.run(&["plan", "--refresh-only"]).says("not ours");
    site.expect(0, &["apply", "--auto-approve", "--refresh"]);
    site.expect(0, &["catalog", "rebuild"]);
    for stranger in &strangers {
        assert_eq!(fs::read_to_string(stranger).unwrap(), "precious");
    }
    assert_eq!(site.points(), [point]);
}

#[test]
fn when_both_copies_are_bad_nothing_calls_it_a_success() {
    let (site, point) = one_point();
    for tier in ["disk", "nas"] {
        Damage::Flipped.befall(&data(&site, tier, &point));
    }
    let target = site.path().join("restored.db");
    let restore = ["restore", "shop", "--to", "restored.db"];
    site.expect(1, &restore).says("disk").says("nas");
    assert!(!target.exists(), "a restore of damaged data left a file");
    site.expect(1, &["verify"]).says("0 of 2 copies are good");
    site.expect(6, &["status"]);
    site.expect(1, &restore);
    assert!(!target.exists());
    // A new point is made at once; the lost one is still named, and the run is not a success.
    site.next_second();
    let ended = site.expect(10, &["apply", "--auto-approve"]);
    ended.says(point.as_str());
    assert_eq!(site.points().len(), 2);
    site.expect(0, &restore);
    shop::assert_true_state(&target);
}

#[test]
fn a_restore_falls_back_to_the_good_copy_and_says_so() {
    for damage in ALL {
        for tier in ["disk", "nas"] {
            let (site, point) = one_point();
            damage.befall(&data(&site, tier, &point));
            let other = if tier == "disk" { "nas" } else { "disk" };
            let ended = site.expect(0, &["restore", "shop", "--to", "restored.db"]);
            ended.says(&format!("from {other}"));
            if tier == "disk" {
                ended.says("the copy on disk could not be used");
            }
            assert_eq!(
                shop::assert_true_state(&site.path().join("restored.db")),
                shop::entries(&site.shop())
            );
            // Where a person names the copy, no other is taken in silence.
            site.expect(1, &["restore", "shop", "--from", tier, "--to", "other.db"]);
            assert!(!site.path().join("other.db").exists());
        }
    }
}

#[test]
fn a_tier_whose_marker_is_spoilt_is_unreachable_and_nothing_is_written_there() {
    for damage in ALL {
        let (site, point) = one_point();
        let marker = site.tier("disk").join(".mainstay-tier.json");
        let good = fs::read(&marker).unwrap();
        match damage {
            // One flipped bit in the middle could hit the text for people; the identity is what counts.
            Damage::Flipped => {
                let text = String::from_utf8(good.clone()).unwrap();
                let at = text.find("\"identity\": \"").unwrap() + 13;
                let mut bytes = good.clone();
                bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
                fs::write(&marker, bytes).unwrap();
            }
            other => other.befall(&marker),
        }
        let before = stored::files(&site.tier("disk"));
        site.next_second();
        let ended = site.run(&["backup", "shop", "--auto-approve"]);
        assert_eq!(
            stored::files(&site.tier("disk")),
            before,
            "{damage:?}\n{ended}"
        );
        let ended = site.expect(10, &["apply", "--auto-approve", "--refresh"]);
        ended.says("disk").says("could not be observed");
        assert_eq!(stored::files(&site.tier("disk")), before, "{damage:?}");
        assert!(
            site.observed()
                .unreachable_tiers
                .iter()
                .any(|tier| tier.as_str() == "disk")
        );

        fs::write(&marker, good).unwrap();
        site.expect(0, &["apply", "--auto-approve", "--refresh"]);
        assert!(laws::assert_settled(&site).is_empty());
        assert!(site.points().contains(&point));
    }
}

#[test]
fn a_deleted_catalog_is_rebuilt_from_the_tiers() {
    let (site, point) = one_point();
    let before = site.points();
    fs::remove_file(site.catalog()).unwrap();
    // A new machine has the tiers and nothing else: what is there comes back before anything is rebuilt.
    site.expect(0, &["restore", "shop", "--to", "straight.db"])
        .says("There is no catalog");
    shop::assert_true_state(&site.path().join("straight.db"));
    site.expect(0, &["catalog", "rebuild"]);
    assert_eq!(site.points(), before);
    site.expect(0, &["list"]).says(point.as_str());
    site.expect(0, &["restore", "shop", "--to", "restored.db"]);
    shop::assert_true_state(&site.path().join("restored.db"));
    site.apply();
    assert!(laws::assert_settled(&site).is_empty());
    site.apply().says("No changes");
}

#[test]
fn an_apply_without_its_catalog_doubles_nothing_and_loses_nothing() {
    let (site, _) = one_point();
    let before = laws::whole(&site);
    fs::remove_file(site.catalog()).unwrap();
    site.apply();
    assert_eq!(laws::whole(&site), before);
    site.expect(0, &["apply", "--auto-approve", "--refresh"]);
    assert_eq!(laws::whole(&site), before);
    assert!(laws::assert_settled(&site).is_empty());
}

#[test]
fn a_spoilt_catalog_is_a_clear_error_and_changes_nothing_on_the_tiers() {
    for damage in [Damage::Truncated, Damage::Flipped, Damage::Foreign] {
        let (site, _) = one_point();
        let before = laws::whole(&site);
        if matches!(damage, Damage::Flipped) {
            // In the header, where every reader must notice; a bit inside a page is for SQLite's own checks.
            let mut bytes = fs::read(site.catalog()).unwrap();
            bytes[3] ^= 1;
            fs::write(site.catalog(), bytes).unwrap();
        } else {
            damage.befall(&site.catalog());
        }
        for arguments in [
            &["list"][..],
            &["plan"],
            &["apply", "--auto-approve"],
            &["status"],
            &["verify"],
            &["restore", "shop", "--to", "restored.db"],
        ] {
            let ended = site.expect(1, arguments);
            ended.says("mainstay::catalog::corrupt");
            ended.says("catalog rebuild");
        }
        assert_eq!(laws::whole(&site), before);
        // The way out that the help names.
        fs::rename(site.catalog(), site.path().join("spoilt.db")).unwrap();
        site.expect(0, &["catalog", "rebuild"]);
        site.apply();
        assert_eq!(laws::whole(&site), before);
    }
}

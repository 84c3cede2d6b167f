//! Signatures that `ssh-keygen` 9.2 made, and what somebody might do with them.

use super::*;
use crate::plan::{FORMAT, Plan};
use crate::{PolicySource, Reason, ReasonCode, units::Digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64ct::{Base64, Encoding as _};
use jiff::Timestamp;

const ID: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

macro_rules! vector {
    ($name:literal) => {
        include_str!(concat!("vectors/", $name))
    };
}

fn plan() -> Plan {
    Plan {
        applyable: true,
        approval: vec![Reason::new(ReasonCode::Purged, "orphans go")],
        approval_rules: None,
        evaluated_at: Timestamp::UNIX_EPOCH,
        format: FORMAT.to_owned(),
        id: Some(Digest::from(ID.to_owned())),
        inventory_digest: Digest::sha256_of(b"inventory"),
        kept: Vec::new(),
        missed: Vec::new(),
        needs_approval: true,
        next_slots: Vec::new(),
        not_planned: Vec::new(),
        policy_digest: Digest::sha256_of(b"policy"),
        policy_source: None,
        retention: BTreeMap::new(),
        steps: Vec::new(),
    }
}

fn rules(quorum: u32, signers: &[(&str, &str)]) -> ApprovalRules {
    ApprovalRules {
        limits: None,
        exclude_author: false,
        quorum,
        signers: signers
            .iter()
            .map(|(name, line)| {
                let key = PublicKey::from_line(line).unwrap();
                ((*name).to_owned(), key.line())
            })
            .collect(),
    }
}

const ALICE: (&str, &str) = ("alice@example.com", vector!("ed25519.pub"));
const BOB: (&str, &str) = ("bob", vector!("ecdsa-256.pub"));

fn judged(rules: &ApprovalRules, signatures: &[&str]) -> ApprovalVerdict {
    let signatures: Vec<_> = signatures.iter().map(|one| (*one).to_owned()).collect();
    judge(rules, &plan(), None, &signatures)
}

#[test]
fn every_kind_of_key_of_ssh_keygen_is_believed() {
    for (line, armored) in [
        (vector!("ed25519.pub"), vector!("ed25519.sig")),
        (vector!("ecdsa-256.pub"), vector!("ecdsa-256.sig")),
        (vector!("ecdsa-384.pub"), vector!("ecdsa-384.sig")),
        (vector!("ecdsa-521.pub"), vector!("ecdsa-521.sig")),
        (vector!("rsa-3072.pub"), vector!("rsa-3072.sig")),
        (vector!("ed25519.pub"), vector!("line-end.sig")),
    ] {
        let rules = rules(1, &[("one", line)]);
        let verdict = judged(&rules, &[armored]);
        assert!(verdict.is_given(), "{line}{verdict}");
    }
}

#[test]
fn a_signature_of_another_plan_or_for_another_purpose_or_of_a_stranger_counts_for_nothing() {
    let rules = rules(1, &[ALICE]);
    for (armored, why) in [
        (vector!("other-plan.sig"), "something else was signed"),
        (vector!("other-namespace.sig"), "made for `file`"),
        (vector!("ecdsa-256.sig"), "belongs to no allowed signer"),
        ("nonsense", "cut short or damaged"),
    ] {
        let verdict = judged(&rules, &[armored]);
        assert!(!verdict.is_given());
        let text = verdict.to_string();
        assert!(text.contains(why), "{text}");
        assert!(text.contains("missing: 1 of alice@example.com"), "{text}");
    }
}

#[test]
fn the_same_signer_twice_is_one_and_a_second_one_is_named_as_missing() {
    let rules = rules(2, &[ALICE, BOB]);
    let twice = judged(&rules, &[vector!("ed25519.sig"), vector!("line-end.sig")]);
    assert!(!twice.is_given());
    assert_eq!(
        twice.to_string(),
        "1 of 2 signatures (alice@example.com); missing: 1 of bob"
    );
    let both = judged(&rules, &[vector!("ed25519.sig"), vector!("ecdsa-256.sig")]);
    assert!(both.is_given(), "{both}");
}

#[test]
fn a_flipped_bit_anywhere_in_a_signature_is_noticed() {
    let rules = rules(1, &[ALICE]);
    let text: String = vector!("ed25519.sig")
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let blob = Base64::decode_vec(&text).unwrap();
    for at in 0..blob.len() * 8 {
        let mut changed = blob.clone();
        changed[at / 8] ^= 1 << (at % 8);
        let armored = format!(
            "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
            Base64::encode_string(&changed)
        );
        assert!(!judged(&rules, &[&armored]).is_given(), "bit {at}");
    }
}

fn wire(parts: &[&[u8]]) -> Vec<u8> {
    parts
        .iter()
        .flat_map(|part| [&u32::try_from(part.len()).unwrap().to_be_bytes(), *part].concat())
        .collect()
}

/// A hardware key of Ed25519, made by hand after `PROTOCOL.u2f`.
fn hardware(flags: u8) -> (String, String) {
    use aws_lc_rs::digest::{SHA256, SHA512, digest};
    let kind = b"sk-ssh-ed25519@openssh.com";
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let key = wire(&[kind, pair.public_key().as_ref(), b"ssh:"]);
    let hash = digest(&SHA512, ID.as_bytes());
    let inner = [
        b"SSHSIG".as_slice(),
        &wire(&[NAMESPACE.as_bytes(), b"", b"sha512", hash.as_ref()]),
    ]
    .concat();
    let signed = [
        digest(&SHA256, b"ssh:").as_ref(),
        &[flags],
        &5_u32.to_be_bytes(),
        digest(&SHA256, &inner).as_ref(),
    ]
    .concat();
    let proof = [
        wire(&[kind, pair.sign(&signed).as_ref()]).as_slice(),
        &[flags],
        &5_u32.to_be_bytes(),
    ]
    .concat();
    let whole = [
        b"SSHSIG".as_slice(),
        &1_u32.to_be_bytes(),
        &wire(&[&key, NAMESPACE.as_bytes(), b"", b"sha512", &proof]),
    ]
    .concat();
    (
        format!(
            "sk-ssh-ed25519@openssh.com {} token",
            Base64::encode_string(&key)
        ),
        format!(
            "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
            Base64::encode_string(&whole)
        ),
    )
}

#[test]
fn a_hardware_key_counts_only_if_it_was_touched() {
    for (flags, good) in [(1, true), (5, true), (0, false), (4, false)] {
        let (line, armored) = hardware(flags);
        let verdict = judged(&rules(1, &[("token", &line)]), &[&armored]);
        assert_eq!(verdict.is_given(), good, "{flags}: {verdict}");
    }
}

fn source(author: &str) -> PolicySource {
    PolicySource {
        author: author.to_owned(),
        changed_at: Timestamp::UNIX_EPOCH,
        changed_in: "1234".to_owned(),
        dirty: false,
        earlier_authors: [].into(),
        revision: "1234".to_owned(),
        signed_by: None,
    }
}

#[test]
fn who_wrote_the_policy_does_not_count_where_the_rules_say_so() {
    let mut rules = rules(1, &[ALICE, BOB]);
    rules.exclude_author = true;
    let signatures = [vector!("ed25519.sig").to_owned()];
    let mut mine = plan();
    mine.policy_source = Some(source("Alice A. <Alice@Example.com>"));
    let verdict = judge(&rules, &mine, None, &signatures);
    assert!(!verdict.is_given());
    assert_eq!(
        verdict.to_string(),
        "0 of 1 signatures; missing: 1 of bob; not counted: alice@example.com, who wrote the policy"
    );
    // Another author, unless the folder itself says otherwise.
    mine.policy_source = Some(source("Carol <carol@example.com>"));
    assert!(judge(&rules, &mine, None, &signatures).is_given());
    let seen = source("Alice <alice@example.com>");
    assert!(!judge(&rules, &mine, Some(&seen), &signatures).is_given());
    // An earlier author of what is not applied yet, and whoever signed the commit.
    let mut earlier = source("Carol <carol@example.com>");
    earlier
        .earlier_authors
        .insert("Alice <alice@example.com>".to_owned());
    let mut signed = source("Carol <carol@example.com>");
    signed.signed_by = Some("alice@example.com".to_owned());
    for source in [earlier, signed] {
        mine.policy_source = Some(source);
        assert!(!judge(&rules, &mine, None, &signatures).is_given());
    }
    // Who wrote what is not committed, nobody knows.
    let mut dirty = source("Carol <carol@example.com>");
    dirty.dirty = true;
    for source in [Some(dirty), None] {
        mine.policy_source = source;
        let verdict = judge(&rules, &mine, None, &signatures);
        assert!(!verdict.is_given());
        assert!(verdict.to_string().contains("cannot be told"), "{verdict}");
    }
}

#[test]
fn fewer_or_other_signers_or_the_author_are_weaker_and_more_are_not() {
    let in_force = rules(2, &[ALICE, BOB]);
    let weaker = [
        None,
        Some(rules(1, &[ALICE, BOB])),
        Some(rules(2, &[ALICE])),
        Some(rules(
            2,
            &[ALICE, BOB, ("mallory", vector!("rsa-3072.pub"))],
        )),
        Some(rules(2, &[("alice", ALICE.1), BOB])),
    ];
    for now in weaker {
        assert!(ApprovalRules::weaken(now.as_ref(), &in_force), "{now:?}");
    }
    let mut without_author = rules(2, &[ALICE, BOB]);
    without_author.exclude_author = true;
    assert!(!ApprovalRules::weaken(Some(&without_author), &in_force));
    assert!(ApprovalRules::weaken(Some(&in_force), &without_author));
    assert!(!ApprovalRules::weaken(
        Some(&rules(3, &[ALICE, BOB])),
        &in_force
    ));
}

#[test]
fn keys_that_are_none_are_named() {
    for line in [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-dss AAAAB3NzaC1kc3M=",
        "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIDNrmgnE7IAfPkCq0wbAPlOZ0fHSyTTI4PcnxKXcfBPY",
    ] {
        assert!(PublicKey::from_line(line).is_err(), "{line}");
    }
}

//! Rules of approval, signatures, followed repositories, and where the policy came from that was carried out last.

use crate::{
    fixture::{TTL, at, lease},
    subject::Subject,
};
use mainstay_catalog::{AuditKind, CatalogError, NewRun, PlanSignature};
use model::{ApprovalRules, DeletionLimits, Digest, PolicySource, approval::ResetRequest};
use std::collections::BTreeMap;

/// Rules with so many signers.
pub(crate) fn rules(quorum: u32, signers: u32) -> ApprovalRules {
    ApprovalRules {
        exclude_author: true,
        limits: Some(DeletionLimits {
            max_prune_count: 25,
            max_prune_percent: 50,
            min_verified: 1,
        }),
        quorum,
        signers: (0..signers)
            .map(|n| (format!("signer-{n}"), format!("ssh-ed25519 AAAA{n}")))
            .collect::<BTreeMap<_, _>>(),
    }
}

pub(crate) fn signature(plan: &[u8], fingerprint: &str, text: &str) -> PlanSignature {
    PlanSignature {
        plan: Digest::sha256_of(plan),
        signer: "ada@example.com".to_owned(),
        fingerprint: fingerprint.to_owned(),
        signature: text.to_owned(),
        who: "ada".to_owned(),
        at: at(5),
    }
}

pub(crate) fn source(revision: &str) -> PolicySource {
    PolicySource {
        author: "Ada <ada@example.com>".to_owned(),
        changed_at: at(1),
        changed_in: revision.to_owned(),
        dirty: false,
        earlier_authors: ["Bob <bob@example.com>".to_owned()].into(),
        revision: revision.to_owned(),
        signed_by: None,
    }
}

pub(crate) async fn rules_of_approval_stay_until_they_are_replaced(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    assert_eq!(catalog.approval_rules().await.unwrap(), None);
    let (one, two) = (rules(1, 2), rules(2, 3));
    for (new, run) in [(Some(&one), "a"), (Some(&one), "b"), (Some(&two), "c")] {
        catalog
            .set_approval_rules(&lease, new, run, "ada", at(3))
            .await
            .unwrap();
        assert_eq!(catalog.approval_rules().await.unwrap().as_ref(), new);
    }
    let inventory = catalog.inventory(at(4)).await.unwrap();
    assert_eq!(inventory.approval_in_force, Some(two));
    catalog
        .set_approval_rules(&lease, None, "d", "ada", at(4))
        .await
        .unwrap();
    assert_eq!(catalog.approval_rules().await.unwrap(), None);
    let audit = catalog.audit_entries(9).await.unwrap();
    let told: Vec<_> = audit
        .iter()
        .filter(|entry| entry.kind == AuditKind::ApprovalRules)
        .map(|entry| (entry.what.as_str(), entry.why.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("a", "1 of 2 signers approve plans"),
            ("c", "2 of 3 signers approve plans"),
            ("d", "no signatures are asked for any more"),
        ]
    );
}

pub(crate) async fn rules_of_approval_are_not_changed_under_a_lost_lease(subject: Subject) {
    let catalog = subject.open().await;
    let stale = lease(&catalog).await;
    let known = rules(1, 1);
    catalog
        .set_approval_rules(&stale, Some(&known), "a", "ada", at(1))
        .await
        .unwrap();
    catalog
        .break_lease(stale.token, "next", at(2), TTL)
        .await
        .unwrap();
    for refused in [
        catalog
            .set_approval_rules(&stale, None, "b", "ada", at(3))
            .await,
        catalog.set_applied_source(&stale, &source("aaaa")).await,
    ] {
        assert!(
            matches!(refused, Err(CatalogError::LeaseLost { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(catalog.approval_rules().await.unwrap(), Some(known));
    assert_eq!(catalog.applied_source().await.unwrap(), None);
}

pub(crate) async fn a_key_signs_a_plan_once(subject: Subject) {
    let catalog = subject.open().await;
    let plan = Digest::sha256_of(b"plan");
    for (signature, is_new) in [
        (signature(b"plan", "SHA256:b", "one"), true),
        (signature(b"plan", "SHA256:b", "one"), false),
        (signature(b"plan", "SHA256:a", "two"), true),
        (signature(b"other", "SHA256:a", "three"), true),
        // Another one by the same key takes its place.
        (signature(b"plan", "SHA256:b", "four"), true),
    ] {
        assert_eq!(catalog.add_signature(&signature).await.unwrap(), is_new);
    }
    assert_eq!(catalog.signatures(&plan).await.unwrap(), ["two", "four"]);
    let none = catalog.signatures(&Digest::sha256_of(b"none")).await;
    assert_eq!(none.unwrap(), Vec::<String>::new());
    let audit = catalog.audit_entries(9).await.unwrap();
    let told = audit
        .iter()
        .filter(|entry| entry.kind == AuditKind::Signature);
    assert_eq!(told.count(), 4);
}

pub(crate) async fn each_followed_repository_has_its_commit(subject: Subject) {
    let catalog = subject.open().await;
    for (repository, revision) in [("a@main", "1"), ("b@main", "2"), ("a@main", "3")] {
        catalog
            .set_followed(repository, revision, at(1))
            .await
            .unwrap();
    }
    for (repository, expected) in [
        ("a@main", Some("3")),
        ("b@main", Some("2")),
        ("A@main", None),
    ] {
        let known = catalog.followed(repository).await.unwrap();
        assert_eq!(known.as_deref(), expected, "{repository}");
    }
}

pub(crate) async fn the_source_that_was_carried_out_last_is_remembered(subject: Subject) {
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    assert_eq!(catalog.applied_source().await.unwrap(), None);
    for revision in ["aaaa", "bbbb"] {
        let source = source(revision);
        catalog.set_applied_source(&lease, &source).await.unwrap();
        assert_eq!(catalog.applied_source().await.unwrap(), Some(source));
    }
}

pub(crate) async fn a_run_under_another_policy_is_found(subject: Subject) {
    let catalog = subject.open().await;
    for (id, policy, seconds) in [
        ("run-1", "short", 10),
        ("run-2", "long", 20),
        ("run-3", "short", 30),
    ] {
        let run = NewRun {
            id: id.to_owned(),
            plan_digest: Digest::sha256_of(b"plan"),
            plan_json: "{}".to_owned(),
            policy_digest: Digest::sha256_of(policy.as_bytes()),
            who: "ada".to_owned(),
            at: at(seconds),
        };
        catalog.start_run(&run).await.unwrap();
    }
    let short = Digest::sha256_of(b"short");
    let long = Digest::sha256_of(b"long");
    for (since, policy, expected) in [
        (5, &short, Some((at(20), long.clone()))),
        (20, &short, None),
        (5, &long, Some((at(30), short.clone()))),
        (30, &long, None),
    ] {
        let found = catalog.other_policy_since(at(since), policy).await.unwrap();
        assert_eq!(found, expected, "since {since}");
    }
}

pub(crate) async fn rules_without_keys_end_after_a_while_or_not_at_all(subject: Subject) {
    const WEEK: i64 = 7 * 86_400;
    let catalog = subject.open().await;
    let lease = lease(&catalog).await;
    let known = rules(2, 2);
    catalog
        .set_approval_rules(&lease, Some(&known), "a", "ada", at(1))
        .await
        .unwrap();
    let first = reset(10);
    assert_eq!(catalog.reset_request().await.unwrap(), None);
    assert_eq!(catalog.ask_reset(&first).await.unwrap(), first);
    // Asked again, it does not begin anew.
    assert_eq!(catalog.ask_reset(&reset(20)).await.unwrap(), first);
    for (request, seconds) in [(&first, 9 + WEEK), (&reset(20), 30 + WEEK)] {
        let early = catalog.complete_reset(&lease, request, "ada", at(seconds));
        assert!(!early.await.unwrap(), "{seconds}");
    }
    assert!(catalog.cancel_reset("bob", "no", at(50)).await.unwrap());
    assert!(!catalog.cancel_reset("bob", "no", at(50)).await.unwrap());
    let gone = catalog.complete_reset(&lease, &first, "ada", at(10 + WEEK));
    assert!(!gone.await.unwrap());
    assert_eq!(catalog.approval_rules().await.unwrap(), Some(known));

    let second = reset(60);
    catalog.ask_reset(&second).await.unwrap();
    let done = catalog.complete_reset(&lease, &second, "ada", at(60 + WEEK));
    assert!(done.await.unwrap());
    assert_eq!(catalog.approval_rules().await.unwrap(), None);
    assert_eq!(catalog.reset_request().await.unwrap(), None);
    let audit = catalog.audit_entries(9).await.unwrap();
    let told: Vec<_> = audit
        .iter()
        .filter(|entry| entry.what == "reset")
        .map(|entry| entry.who.as_str())
        .collect();
    assert_eq!(told, ["eve", "bob", "eve", "ada"]);
}

fn reset(seconds: i64) -> ResetRequest {
    ResetRequest {
        asked_at: at(seconds),
        who: "eve".to_owned(),
        why: "lost".to_owned(),
    }
}

pub(crate) async fn runs_and_steps_are_evidence(subject: Subject) {
    use model::event::{Outcome, RunEvent, What};
    let catalog = subject.open().await;
    for (id, plan) in [
        ("run-1", r#"{"needs_approval":true,"next_slots":[]}"#),
        ("run-2", r#"{"needs_approval":false,"next_slots":[]}"#),
    ] {
        let run = NewRun {
            id: id.to_owned(),
            plan_digest: Digest::sha256_of(plan.as_bytes()),
            plan_json: plan.to_owned(),
            policy_digest: Digest::sha256_of(b"policy"),
            who: "ada".to_owned(),
            at: at(10),
        };
        catalog.start_run(&run).await.unwrap();
        let step = model::StepId::new(
            model::Action::Prune,
            &crate::fixture::manifest(1).id,
            &crate::fixture::tier("nas"),
        );
        for what in [
            What::StepStarted {
                step: step.clone(),
                attempt: 1,
            },
            What::StepFinished {
                step,
                outcome: Outcome::NeedsApproval,
                milliseconds: 1,
                bytes: None,
            },
        ] {
            let event = RunEvent {
                run: id.to_owned(),
                at: at(11),
                format: model::event::FORMAT.to_owned(),
                what,
            };
            catalog.append_event(&event).await.unwrap();
        }
    }
    assert_eq!(
        catalog.runs_that_needed_approval().await.unwrap(),
        ["run-1"]
    );
    let finished = catalog.finished_steps().await.unwrap();
    let runs: Vec<_> = finished.iter().map(|event| event.run.as_str()).collect();
    assert_eq!(runs, ["run-1", "run-2"]);
}

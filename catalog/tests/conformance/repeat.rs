//! Repeating calls, and failing each of them once.

use crate::{
    approvals::{rules, signature, source},
    fixture::{TTL, at, intent, manifest, tier, verification},
    subject::Subject,
};
use mainstay_catalog::{
    AuditEntry, AuditExport, AuditKind, Catalog, CatalogError, FoundCopy, Lease, NewRun,
};
use model::{
    ByteCount, CopyState, Digest, Inventory, VerifyLevel, audit::Deletion, event::Summary,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A backup to one tier, an upload to another, a verification, a prune: every writing call at least once.
/// `times` says how often each call is made.
async fn work(catalog: &Catalog, times: usize) -> Result<(), CatalogError> {
    let lease = take_lease(catalog).await?;
    let (old, new) = (manifest(1), manifest(2));
    let (nas, disk) = (tier("nas"), tier("disk"));
    let run = NewRun {
        id: "run-1".to_owned(),
        plan_digest: Digest::sha256_of(b"plan"),
        plan_json: "{}".to_owned(),
        policy_digest: Digest::sha256_of(b"policy"),
        who: "ada".to_owned(),
        at: at(1),
    };
    let found = [FoundCopy {
        tier: nas.clone(),
        manifest: old.clone(),
        stored_at: at(2),
        bytes: old.bytes(),
    }];
    let deletion = Deletion::of(old.id.clone(), nas.clone());
    let act = AuditEntry {
        at: at(9),
        who: "ada".to_owned(),
        kind: AuditKind::LogBreak,
        what: "orders@nas".to_owned(),
        why: "hole: tier `nas` lacks a file".to_owned(),
        details: None,
    };
    let export = AuditExport {
        at: at(9),
        digest: Digest::sha256_of(b"entry"),
        sequence: 3,
    };
    let keep = [(nas.clone(), model::Keep::default())].into();
    let keep = [(old.series.clone(), keep)].into();
    let keep = [(old.database.clone(), keep)].into();
    macro_rules! each {
        ($($call:expr;)*) => { $(for _ in 0..times { $call.await?; })* };
    }
    each! {
        catalog.start_run(&run);
        catalog.remember_tier(&nas, "identity", "ada", at(1));
        catalog.rebuild(&lease, &found);
        catalog.begin_copy(&lease, &intent(&new, "nas", 3));
        catalog.finish_copy(&lease, &new, &nas, at(4));
        catalog.record_point(&lease, &new);
        catalog.begin_copy(&lease, &intent(&new, "disk", 5));
        catalog.clear_unfinished(&lease, &new.id, &disk);
        catalog.record_copy(&lease, &disk, &new.id, ByteCount(7), at(6));
        catalog.record_verification(&verification(&new, "nas", VerifyLevel::Checksum, 7, true));
        catalog.set_copy_state(&lease, &new.id, &disk, CopyState::Missing, at(7));
        catalog.record_recovery(&crate::recoveries::record("drill-1", Some("monthly"), 7, true));
        catalog.set_lock(&lease, &new.id, &nas, Some(at(500)));
        catalog.identity();
        catalog.add_hold(&new.id, "ada", "audit", None, at(8));
        catalog.ensure_current(&lease);
        catalog.heartbeat(&lease, at(9));
        catalog.audit_once(&act);
        catalog.note_audit_export(&nas, &export);
        catalog.forget_copy(&lease, &deletion, "run-1", "not kept", at(10));
        catalog.set_retention_in_force(&lease, &keep);
        catalog.put_policy_in_force(&lease, "{}", "ada", at(10));
        catalog.set_approval_rules(&lease, Some(&rules(1, 2)), "run-1", "ada", at(10));
        catalog.add_signature(&signature(b"plan", "SHA256:a", "one"));
        catalog.set_followed("a@main", "1", at(10));
        catalog.set_applied_source(&lease, &source("1"));
        catalog.finish_run("run-1", &Summary::default(), at(11));
        catalog.release(lease.clone());
    }
    Ok(())
}

/// As the executor does on its own host: a lease of a dead process is broken.
async fn take_lease(catalog: &Catalog) -> Result<Lease, CatalogError> {
    match catalog.acquire_lease("me", at(0), TTL).await {
        Err(CatalogError::Locked { token, .. }) => {
            catalog.break_lease(token, "me", at(0), TTL).await
        }
        other => other,
    }
}

async fn undisturbed(place: &Subject) -> Inventory {
    let catalog = place.open().await;
    work(&catalog, 1).await.unwrap();
    catalog.inventory(at(99)).await.unwrap()
}

pub(crate) async fn every_call_can_be_repeated(subject: Subject) {
    let expected = undisturbed(&subject.another()).await;
    let catalog = subject.open().await;
    work(&catalog, 3).await.unwrap();
    assert_eq!(catalog.inventory(at(99)).await.unwrap(), expected);
    let history = catalog.verifications(&manifest(2).id).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(catalog.holds().await.unwrap().len(), 1);
}

pub(crate) async fn a_failure_of_any_call_leaves_nothing_half_done(subject: Subject) {
    let expected = undisturbed(&subject).await;
    for n in 0.. {
        let place = subject.another();
        let catalog = place.open().await;
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let disturbed = catalog.clone().with_call_hook(Arc::new(move |call| {
            if counted.fetch_add(1, Ordering::SeqCst) == n {
                return Err(CatalogError::unavailable(call));
            }
            Ok(())
        }));
        let result = work(&disturbed, 1).await;
        let undisturbed = result.is_ok();
        if let Err(error) = result {
            assert_eq!(error.code(), "mainstay::catalog::unavailable");
            work(&catalog, 1).await.unwrap();
        }
        assert_eq!(
            catalog.inventory(at(99)).await.unwrap(),
            expected,
            "after a failure of call {n}"
        );
        assert_eq!(catalog.unfinished().await.unwrap(), []);
        assert_eq!(catalog.lease().await.unwrap(), None);
        if undisturbed {
            assert_eq!(n, 29, "every call of the work was failed once");
            return;
        }
    }
}

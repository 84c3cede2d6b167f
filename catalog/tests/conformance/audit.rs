//! The fear: somebody changes what the audit says, and nobody notices. Each way to do so by hand, and writing to it from two sides.

use crate::{
    fixture::{at, tier},
    subject::Subject,
};
use mainstay_catalog::{
    AuditDetails, AuditEntry, AuditExport, AuditKind, Catalog, CatalogError, NewRun,
};
use model::{
    Digest, Keep,
    audit::{ChainWalk, Flaw},
    retention::{Each, KeepCount, KeepRule},
};

fn act(n: i64) -> AuditEntry {
    AuditEntry {
        at: at(n),
        who: "ada@host".to_owned(),
        kind: AuditKind::Restore,
        what: format!("orders/daily/{n}"),
        why: format!("reason-{n}"),
        details: (n % 2 == 0).then(|| AuditDetails::SigningKey {
            public_key: format!("key-{n}"),
        }),
    }
}

async fn with_acts(subject: &Subject, count: i64) -> Catalog {
    let catalog = subject.open().await;
    for n in 1..=count {
        catalog.audit(&act(n)).await.unwrap();
    }
    catalog
}

/// What a walk along the whole chain says, page after page.
async fn flaws(catalog: &Catalog) -> Vec<Flaw> {
    let head = catalog.audit_head().await.unwrap();
    let mut walk = ChainWalk::from_beginning(&catalog.identity().await.unwrap());
    loop {
        let page = catalog.audit_page(walk.last(), 7).await.unwrap();
        if page.is_empty() {
            break;
        }
        for entry in &page {
            walk.take(entry);
        }
    }
    assert_eq!(
        walk.digest().map_or(walk.last(), |_| head.sequence),
        head.sequence
    );
    walk.finish(head.sequence).0
}

/// Takes away what the database itself refuses with.
async fn unguard(subject: &Subject) {
    let sql = if subject.file().is_some() {
        "DROP TRIGGER audit_keeps_rows; DROP TRIGGER audit_keeps_words;"
    } else {
        "DROP TRIGGER audit_is_append_only ON audit;"
    };
    subject.by_hand(sql).await.unwrap();
}

pub(crate) async fn entries_are_chained_without_gaps(subject: Subject) {
    let catalog = with_acts(&subject, 20).await;
    assert_eq!(flaws(&catalog).await, []);
    let page = catalog.audit_page(18, 9).await.unwrap();
    let numbers: Vec<_> = page.iter().map(|entry| entry.sequence).collect();
    assert_eq!(numbers, [19, 20]);
    assert_eq!(page[1].typed(), act(20).details);
    assert_eq!(page[0].details, None);
    let head = catalog.audit_head().await.unwrap();
    assert_eq!((head.sequence, head.digest), (20, page[1].digest.clone()));
    assert_eq!(catalog.audit_entries(1).await.unwrap(), [act(20)]);
}

pub(crate) async fn two_that_append_at_once_do_not_fork_the_chain(subject: Subject) {
    let mut tasks = Vec::new();
    for writer in 0..4 {
        // Connections of its own, as another program has.
        let catalog = subject.open().await;
        tasks.push(tokio::spawn(async move {
            for n in 0..25 {
                catalog.audit(&act(100 * writer + n)).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let catalog = subject.open().await;
    assert_eq!(catalog.audit_head().await.unwrap().sequence, 100);
    assert_eq!(flaws(&catalog).await, []);
}

pub(crate) async fn entries_of_an_older_version_are_chained_when_it_is_first_opened(
    subject: Subject,
) {
    subject
        .migrate_to_first(
            include_str!("../../migrations/sqlite/0001_start.sql"),
            include_str!("../../migrations/postgres/0001_start.sql"),
        )
        .await;
    for n in 1..=150 {
        let sql = format!(
            "INSERT INTO audit (at, who, kind, what, why) VALUES ({}, 'ada', 'hold', 'orders/daily/{n}', 'case {n}')",
            at(n).as_microsecond()
        );
        subject.by_hand(&sql).await.unwrap();
    }
    let older = Catalog::open_read_only_if_exists(subject.url()).await;
    assert!(matches!(older, Err(CatalogError::OlderSchema { .. })));
    // Two programs may be the first at once.
    let (one, two) = tokio::join!(Catalog::open(subject.url()), Catalog::open(subject.url()));
    let catalog = one.unwrap();
    two.unwrap().audit(&act(151)).await.unwrap();
    assert_eq!(flaws(&catalog).await, []);
    assert_eq!(catalog.audit_head().await.unwrap().sequence, 151);
    let first = &catalog.audit_page(0, 1).await.unwrap()[0];
    assert_eq!((first.why.as_str(), first.at), ("case 1", at(1)));
    assert!(
        subject
            .by_hand("SELECT 1 FROM audit_unchained")
            .await
            .is_err(),
        "nothing of the old table is left"
    );
}

pub(crate) async fn a_version_counts_only_when_its_entries_are_chained(subject: Subject) {
    let catalog = with_acts(&subject, 1).await;
    catalog.close().await;
    let table = "CREATE TABLE audit_unchained (id BIGINT, at BIGINT, who TEXT, kind TEXT, what TEXT, why TEXT)";
    subject.by_hand(table).await.unwrap();
    let half = Catalog::open_read_only_if_exists(subject.url()).await;
    assert!(
        matches!(half, Err(CatalogError::OlderSchema { found: 3, .. })),
        "{half:?}"
    );
    assert_eq!(flaws(&subject.open().await).await, []);
    let whole = Catalog::open_read_only_if_exists(subject.url()).await;
    assert!(whole.unwrap().is_some());
}

pub(crate) async fn what_is_done_by_hand_to_the_audit_is_found(subject: Subject) {
    use Flaw::{Edited, Missing, Moved, Unlinked};
    let swap = "UPDATE audit SET sequence = 1000 WHERE sequence = 3; UPDATE audit SET sequence = 3 WHERE sequence = 6; \
                UPDATE audit SET sequence = 6 WHERE sequence = 1000";
    let cases: [(&str, Vec<Flaw>); 9] = [
        (
            "UPDATE audit SET why = 'reason-5 ' WHERE sequence = 5",
            vec![Edited { sequence: 5 }],
        ),
        (
            "UPDATE audit SET at = at + 1 WHERE sequence = 5",
            vec![Edited { sequence: 5 }],
        ),
        (
            "UPDATE audit SET details = '{\"public_key\":\"key-9\",\"type\":\"signing-key\"}' WHERE sequence = 4",
            vec![Edited { sequence: 4 }],
        ),
        (
            "UPDATE audit SET details = replace(details, ',', ', ') WHERE sequence = 4",
            vec![Edited { sequence: 4 }],
        ),
        (
            "UPDATE audit SET details = 'no JSON', kind = 'no kind' WHERE sequence = 4",
            vec![Edited { sequence: 4 }],
        ),
        (
            "DELETE FROM audit WHERE sequence = 4",
            vec![Missing { from: 4, to: 4 }],
        ),
        (
            "DELETE FROM audit WHERE sequence > 7",
            vec![Missing { from: 8, to: 9 }],
        ),
        (
            swap,
            vec![
                Moved {
                    sequence: 3,
                    was: 6,
                },
                Moved {
                    sequence: 6,
                    was: 3,
                },
            ],
        ),
        (
            "UPDATE audit SET previous = digest, digest = previous WHERE sequence = 9",
            vec![Edited { sequence: 9 }],
        ),
    ];
    for (sql, expected) in cases {
        let place = subject.another();
        let catalog = with_acts(&place, 9).await;
        unguard(&place).await;
        place.by_hand(sql).await.unwrap();
        assert_eq!(flaws(&catalog).await, expected, "{sql}");
    }
    // One entry that was replaced together with its digest shows at the next.
    let catalog = with_acts(&subject, 9).await;
    unguard(&subject).await;
    let mut forged = catalog.audit_page(4, 1).await.unwrap().remove(0);
    "nothing happened".clone_into(&mut forged.why);
    let sql = format!(
        "UPDATE audit SET why = '{}', digest = '{}' WHERE sequence = 5",
        forged.why,
        forged.computed()
    );
    subject.by_hand(&sql).await.unwrap();
    assert_eq!(flaws(&catalog).await, [Unlinked { sequence: 6 }]);
}

/// Only a file has bytes of its own to change.
pub(crate) async fn one_changed_byte_of_the_file_is_found(subject: Subject) {
    let catalog = with_acts(&subject, 9).await;
    catalog.close().await;
    let Some(path) = subject.file() else {
        return;
    };
    let mut bytes = std::fs::read(&path).unwrap();
    let wanted = b"reason-5";
    let found = bytes.windows(wanted.len()).position(|part| part == wanted);
    bytes[found.unwrap() + 7] = b'6';
    std::fs::write(&path, bytes).unwrap();
    let catalog = subject.open().await;
    assert_eq!(flaws(&catalog).await, [Flaw::Edited { sequence: 5 }]);
}

pub(crate) async fn a_chain_goes_on_behind_a_gap_and_the_gap_stays_seen(subject: Subject) {
    let catalog = with_acts(&subject, 5).await;
    unguard(&subject).await;
    subject
        .by_hand("DELETE FROM audit WHERE sequence = 5")
        .await
        .unwrap();
    catalog.audit(&act(6)).await.unwrap();
    assert_eq!(flaws(&catalog).await, [Flaw::Missing { from: 5, to: 5 }]);
}

pub(crate) async fn an_export_is_remembered_and_never_goes_back(subject: Subject) {
    let catalog = subject.open().await;
    let export = |sequence: u64| AuditExport {
        at: at(1),
        digest: Digest::sha256_of(&sequence.to_le_bytes()),
        sequence,
    };
    for sequence in [3, 9, 5, 9] {
        catalog
            .note_audit_export(&tier("nas"), &export(sequence))
            .await
            .unwrap();
    }
    let known = catalog.audit_exports().await.unwrap();
    assert_eq!(
        known.into_iter().collect::<Vec<_>>(),
        [(tier("nas"), export(9))]
    );
}

pub(crate) async fn the_first_run_under_another_policy_tells_what_changed(subject: Subject) {
    let catalog = subject.open().await;
    let run = |n: i64, policy: &str, days: u32| NewRun {
        id: format!("run-{n}"),
        plan_digest: Digest::sha256_of(&n.to_le_bytes()),
        plan_json: {
            let rule = KeepRule {
                count: KeepCount::Count(days),
                each: Each::Day,
            };
            let keep = Keep {
                rules: vec![rule],
                ..Keep::default()
            };
            serde_json::json!({"retention": {"orders": {"daily": {"nas": keep}}}}).to_string()
        },
        policy_digest: Digest::sha256_of(policy.as_bytes()),
        who: "ada".to_owned(),
        at: at(n),
    };
    for (n, policy, daily) in [
        (1, "one", 7),
        (2, "one", 7),
        (3, "two", 5),
        (4, "two", 5),
        (5, "one", 5),
    ] {
        for _repeat in 0..2 {
            catalog.start_run(&run(n, policy, daily)).await.unwrap();
        }
    }
    let audit = catalog.audit_entries(99).await.unwrap();
    let told: Vec<_> = audit
        .iter()
        .filter(|entry| entry.kind == AuditKind::PolicyChange)
        .map(|entry| {
            let changes = match &entry.details {
                Some(AuditDetails::PolicyChange { retention, .. }) => retention.len(),
                _ => 99,
            };
            format!("{} {changes} {}", entry.at, entry.why)
        })
        .collect();
    insta::allow_duplicates! {
        insta::assert_snapshot!(told.join("\n"), @"
        2026-11-21T02:00:01Z 0 the first policy that a run uses
        2026-11-21T02:00:03Z 1 another policy than before, which was sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed; other retention for orders/daily on nas
        2026-11-21T02:00:05Z 0 another policy than before, which was sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3
        ");
    }
}

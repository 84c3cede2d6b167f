//! The catalogue: every control with its stable id, its words, what it gives evidence for in other frameworks, and who judges it. How
//! verdicts on subjects become one: `verdict`.
//!
//! Ids are never reused for another meaning. The mappings name the controls of AWS Backup Audit Manager (all eleven have a counterpart
//! here), NIST SP 800-53 rev. 5 (CP-9, CP-10), ISO/IEC 27001:2022 (A.8.13), SOC 2 (A1.2, A1.3) and DORA, Regulation (EU) 2022/2554
//! (Art. 12). A mapping says where the evidence belongs; whether it is enough is the auditor's judgement.

use super::{changes, copies, coverage, recovery, standing::Standing, window};
use model::evidence::{RetentionEvidence, SubjectResult};

/// One control.
#[derive(Debug, Clone, Copy)]
pub struct Control {
    /// Stable id.
    pub id: &'static str,
    /// Title.
    pub title: &'static str,
    /// What it demands, one sentence.
    pub demands: &'static str,
    /// What is judged, in the plural.
    pub subjects: &'static str,
    /// Framework and control there.
    pub maps_to: &'static [(&'static str, &'static str)],
}

/// Judges every subject of a control.
pub(super) type Judge = fn(&Standing<'_>, &RetentionEvidence) -> Vec<SubjectResult>;

const AWS: &str = "AWS Backup Audit Manager";
const NIST: &str = "NIST SP 800-53 r5";
const ISO: &str = "ISO/IEC 27001:2022";
const SOC: &str = "SOC 2";
const DORA: &str = "DORA";

const fn control(
    id: &'static str,
    title: &'static str,
    demands: &'static str,
    subjects: &'static str,
    maps_to: &'static [(&'static str, &'static str)],
) -> Control {
    Control {
        id,
        title,
        demands,
        subjects,
        maps_to,
    }
}

pub(super) const CONTROLS: &[(Control, Judge)] = &[
    (
        control(
            "coverage.declared",
            "Every database is declared",
            "Every database on a server that holds a declared one is declared in the policy.",
            "databases",
            &[
                (AWS, "BACKUP_RESOURCES_PROTECTED_BY_BACKUP_PLAN"),
                (NIST, "CP-9"),
                (ISO, "A.8.13"),
                (SOC, "A1.2"),
                (DORA, "Art. 12(1)(a)"),
            ],
        ),
        coverage::declared,
    ),
    (
        control(
            "coverage.protected",
            "Every declared database can be restored",
            "Every declared database has at least one verified copy on a tier that can be reached.",
            "databases",
            &[
                (AWS, "BACKUP_RESOURCES_PROTECTED_BY_BACKUP_PLAN"),
                (NIST, "CP-9"),
                (ISO, "A.8.13"),
                (SOC, "A1.2"),
            ],
        ),
        coverage::protected,
    ),
    (
        control(
            "schedule.frequency",
            "Recovery points are made often enough",
            "The policy makes a recovery point of every database at least as often as the objective, or the default, asks.",
            "databases",
            &[
                (AWS, "BACKUP_PLAN_MIN_FREQUENCY_AND_MIN_RETENTION_CHECK"),
                (NIST, "CP-9"),
                (ISO, "A.8.13"),
                (DORA, "Art. 12(1)(a)"),
            ],
        ),
        coverage::frequency,
    ),
    (
        control(
            "schedule.slots",
            "What was scheduled was made",
            "Every slot that the policy in force demanded in the period has a recovery point.",
            "series",
            &[(NIST, "CP-9"), (ISO, "A.8.13"), (SOC, "A1.2")],
        ),
        coverage::slots,
    ),
    (
        control(
            "recency.newest",
            "The newest recovery point is recent",
            "The newest good recovery point of every database is no older than its RPO, or the default, allows.",
            "databases",
            &[
                (AWS, "BACKUP_LAST_RECOVERY_POINT_CREATED"),
                (NIST, "CP-9"),
                (SOC, "A1.2"),
                (DORA, "Art. 12(6)"),
            ],
        ),
        recovery::recency,
    ),
    (
        control(
            "objectives.proved",
            "Objectives hold in the years ahead",
            "RPO and RTO are proved for every age that a promise is made of, from the policy and what was measured, as mainstay prove tells.",
            "databases",
            &[
                (NIST, "CP-10"),
                (ISO, "A.8.13"),
                (SOC, "A1.2"),
                (DORA, "Art. 12(6)"),
            ],
        ),
        recovery::objectives_proved,
    ),
    (
        control(
            "retention.minimum",
            "Recovery points are kept long enough",
            "The policy keeps something of every database for at least the minimum retention.",
            "databases",
            &[
                (AWS, "BACKUP_PLAN_MIN_FREQUENCY_AND_MIN_RETENTION_CHECK"),
                (AWS, "BACKUP_RECOVERY_POINT_MINIMUM_RETENTION_CHECK"),
                (NIST, "CP-9"),
                (ISO, "A.8.13"),
            ],
        ),
        coverage::retention,
    ),
    (
        control(
            "retention.not-too-early",
            "Nothing was deleted too early",
            "No copy was deleted while a rule of the policy in force, a hold, a lock or another recovery point still needed it.",
            "series on a tier",
            &[(NIST, "CP-9"), (ISO, "A.8.13"), (SOC, "A1.2")],
        ),
        changes::not_too_early,
    ),
    (
        control(
            "retention.not-too-long",
            "Nothing is kept too long",
            "A copy that nothing keeps is deleted within the tolerance, unless a hold, a lock or another recovery point forbids it.",
            "series on a tier",
            &[(ISO, "A.8.13")],
        ),
        changes::not_too_long,
    ),
    (
        control(
            "retention.no-foreign-deletion",
            "Nothing was deleted behind the back of the policy",
            "Every copy that the catalog knows is on its tier: none was deleted by hand or damaged.",
            "tiers",
            &[
                (AWS, "BACKUP_RECOVERY_POINT_MANUAL_DELETION_DISABLED"),
                (NIST, "CP-9"),
                (SOC, "A1.2"),
            ],
        ),
        copies::no_foreign_deletion,
    ),
    (
        control(
            "verification.level",
            "Copies are verified as demanded",
            "Every copy that is present passed the verification that the policy demands of its series.",
            "series on a tier",
            &[(NIST, "CP-9(1)"), (ISO, "A.8.13"), (DORA, "Art. 12(2)")],
        ),
        copies::verified,
    ),
    (
        control(
            "encryption.at-rest",
            "Copies are encrypted",
            "The data of every recovery point is encrypted before it is stored.",
            "databases",
            &[
                (AWS, "BACKUP_RECOVERY_POINT_ENCRYPTED"),
                (NIST, "CP-9(8)"),
                (DORA, "Art. 12(3)"),
            ],
        ),
        copies::encrypted,
    ),
    (
        control(
            "encryption.custody",
            "No single lost key loses the data",
            "What is encrypted is encrypted for at least two keys, and every one of them can be used.",
            "databases",
            &[(NIST, "CP-9(8)")],
        ),
        copies::custody,
    ),
    (
        control(
            "copies.off-site",
            "A copy lies off site",
            "Every database has a good copy on a tier away from the machine that makes the recovery points.",
            "databases",
            &[
                (AWS, "BACKUP_RESOURCES_PROTECTED_BY_CROSS_REGION"),
                (NIST, "CP-9(3)"),
                (NIST, "CP-9(5)"),
                (ISO, "A.8.13"),
                (DORA, "Art. 12(3)"),
            ],
        ),
        copies::off_site,
    ),
    (
        control(
            "copies.separate-places",
            "Copies do not fail together",
            "Every database has good copies in at least two places that fail apart: another provider, account or machine.",
            "databases",
            &[
                (AWS, "BACKUP_RESOURCES_PROTECTED_BY_CROSS_ACCOUNT"),
                (NIST, "CP-9(3)"),
                (DORA, "Art. 12(3)"),
            ],
        ),
        copies::separate_places,
    ),
    (
        control(
            "copies.3-2-1-1-0",
            "3-2-1-1-0",
            "Three copies with the original, on two media, one off site, one that cannot be deleted, and no error in any.",
            "databases",
            &[(NIST, "CP-9"), (ISO, "A.8.13"), (SOC, "A1.2")],
        ),
        copies::three_two_one,
    ),
    (
        control(
            "immutability.lock",
            "A copy cannot be deleted",
            "Every database has a good copy that its storage refuses to delete for the time being.",
            "databases",
            &[
                (AWS, "BACKUP_RESOURCES_PROTECTED_BY_BACKUP_VAULT_LOCK"),
                (NIST, "CP-9"),
                (DORA, "Art. 12(3)"),
            ],
        ),
        copies::locked,
    ),
    (
        control(
            "immutability.air-gap",
            "A copy lies behind a logical air gap",
            "Every database has a good copy that lies off site, is encrypted, and is locked so that nobody, not even the owner, can lift it.",
            "databases",
            &[
                (AWS, "BACKUP_RESOURCES_IN_LOGICALLY_AIR_GAPPED_VAULT"),
                (NIST, "CP-9(3)"),
                (DORA, "Art. 12(3)"),
            ],
        ),
        copies::air_gap,
    ),
    (
        control(
            "recovery.proved",
            "Restores are proved",
            "Every database was restored, or a drill of it passed, within the interval that is asked for, and no later one failed.",
            "databases",
            &[
                (NIST, "CP-9(1)"),
                (NIST, "CP-9(2)"),
                (NIST, "CP-10"),
                (ISO, "A.8.13"),
                (SOC, "A1.3"),
                (DORA, "Art. 12(2)"),
                (DORA, "Art. 12(7)"),
            ],
        ),
        recovery::proved,
    ),
    (
        control(
            "recovery.time",
            "Restores are fast enough",
            "No restore or drill of the period took longer than the RTO.",
            "databases",
            &[
                (AWS, "RESTORE_TIME_FOR_RESOURCES_MEET_TARGET"),
                (NIST, "CP-10"),
                (NIST, "CP-10(4)"),
                (SOC, "A1.3"),
                (DORA, "Art. 12(6)"),
            ],
        ),
        recovery::time,
    ),
    (
        control(
            "recovery.window",
            "The archived log reaches as far back as promised",
            "Every moment of the window for which the policy keeps archived log can be recovered, without a hole.",
            "archived logs",
            &[
                (NIST, "CP-9"),
                (NIST, "CP-10(2)"),
                (ISO, "A.8.13"),
                (SOC, "A1.2"),
                (DORA, "Art. 12(1)(a)"),
            ],
        ),
        window::window,
    ),
    (
        control(
            "changes.recorded",
            "Every policy is on record",
            "Which policy was in force is known for the whole period, and the record of each agrees with its digest.",
            "policies",
            &[(NIST, "CP-9"), (SOC, "A1.2"), (DORA, "Art. 12(1)")],
        ),
        changes::recorded,
    ),
    (
        control(
            "changes.approved",
            "What needs approval was approved",
            "No copy was purged, and no retention shortened, by a run whose plan did not ask for an approval and get it.",
            "runs",
            &[(NIST, "CP-9"), (SOC, "A1.2")],
        ),
        changes::approved,
    ),
    (
        control(
            "audit.intact",
            "The audit is whole",
            "No entry of the audit was edited, removed or moved: each names the digest of the one before, and the signed checkpoints on the tiers say the same.",
            "chains",
            &[(NIST, "CP-9"), (SOC, "A1.2"), (DORA, "Art. 12(1)")],
        ),
        changes::audit,
    ),
    (
        control(
            "holds.respected",
            "Holds were respected",
            "No copy of a point was deleted while a person held it.",
            "holds",
            &[(NIST, "CP-9"), (ISO, "A.8.13")],
        ),
        changes::holds,
    ),
    (
        control(
            "exceptions.current",
            "Exceptions have an owner and have not expired",
            "Every accepted departure names who answers for it and ends in the future.",
            "exceptions",
            &[(SOC, "A1.2"), (DORA, "Art. 12(1)")],
        ),
        changes::exceptions,
    ),
];

/// Every control, in the order of the reports.
pub fn controls() -> impl Iterator<Item = &'static Control> {
    CONTROLS.iter().map(|(control, _)| control)
}

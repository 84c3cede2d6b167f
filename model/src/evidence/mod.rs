//! Evidence: what an auditor's report is computed from, and what was computed.
//!
//! [`EvidenceFacts`] is gathered once, with a clock, a catalog and tiers; everything else is computed from it alone, so that anybody can
//! compute it again from the file. Formats: `docs/formats/evidence.md`.

mod assessment;
mod facts;
mod retention;
pub mod seal;

pub use assessment::{
    Assessment, ControlResult, ControlVerdict, Coverage, FrameworkControl, ObjectiveRow,
    RecoveryRow, SampledPoint, SubjectResult,
};
pub use facts::{
    AskedParameters, AuditFact, CopyFact, CopyFate, Deletion, Discovery, EvidenceFacts,
    ExceptionFact, FORMAT, FailedStep, HoldFact, KeyFact, LogFact, LossFact, Parameters,
    PolicyFact, ProofFact, RunFact, TierFact, VerificationFact,
};
pub use retention::{
    DayCount, DeletionVerdict, Demand, JudgedDeletion, MissedSlots, Overdue, RetentionEvidence,
    SeriesSlots, Stock,
};
pub use seal::{Seal, Sealed};

//! What a catalog must do, run on both databases: a SQLite file and a real PostgreSQL server that the tests start and stop.
//!
//! A case is one async function over a [`subject::Subject`]; the macro below makes one test of it for each database.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "all of this is test code; clippy recognises only functions with `#[test]`"
)]

mod approvals;
mod audit;
mod damage;
mod fixture;
mod journal;
mod lease;
mod migration;
mod points;
mod recoveries;
mod repeat;
mod scale;
mod server;
mod subject;

macro_rules! on_both_databases {
    ($($file:ident: $($case:ident)*;)*) => {
        mod sqlite {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::$file::$case(crate::subject::Subject::sqlite()).await;
                }
            )*)*
        }
        mod postgres {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::$file::$case(crate::subject::Subject::postgres()).await;
                }
            )*)*
        }
    };
}

on_both_databases! {
    points:
        what_was_recorded_is_in_the_inventory
        a_begun_copy_is_incomplete_until_it_is_finished
        what_a_crashed_run_began_is_listed_until_it_is_cleaned_up
        a_point_goes_with_its_last_copy
        a_second_manifest_of_a_point_is_refused_while_another_copy_exists
        the_strongest_verification_since_the_copy_was_stored_counts
        a_failed_verification_takes_earlier_ones_away
        a_damaged_copy_must_be_verified_anew
        one_series_does_not_contain_the_points_of_its_neighbours
        a_rebuilt_catalog_has_the_same_points
        a_rebuild_leaves_out_a_copy_whose_manifest_differs
        unknown_points_and_copies_are_named;
    journal:
        a_hold_ends_by_itself_or_by_release
        a_run_is_remembered_with_its_events
        events_of_many_steps_at_once_all_arrive
        the_audit_tells_who_deleted_what_and_why
        the_audit_cannot_be_changed
        a_tier_is_known_by_its_identity
        retention_of_other_series_stays_in_force
        measurements_come_newest_first
        a_policy_is_in_force_until_the_next_one
        evidence_of_what_is_gone_stays;
    approvals:
        rules_of_approval_stay_until_they_are_replaced
        rules_of_approval_are_not_changed_under_a_lost_lease
        a_key_signs_a_plan_once
        each_followed_repository_has_its_commit
        the_source_that_was_carried_out_last_is_remembered
        a_run_under_another_policy_is_found
        rules_without_keys_end_after_a_while_or_not_at_all
        runs_and_steps_are_evidence;
    audit:
        entries_are_chained_without_gaps
        two_that_append_at_once_do_not_fork_the_chain
        entries_of_an_older_version_are_chained_when_it_is_first_opened
        a_version_counts_only_when_its_entries_are_chained
        what_is_done_by_hand_to_the_audit_is_found
        one_changed_byte_of_the_file_is_found
        a_chain_goes_on_behind_a_gap_and_the_gap_stays_seen
        an_export_is_remembered_and_never_goes_back
        the_first_run_under_another_policy_tells_what_changed;
    recoveries:
        a_recovery_is_recorded_once_with_its_audit
        the_inventory_knows_drills_and_measured_times;
    lease:
        of_two_that_want_the_lease_one_gets_it
        the_token_grows_with_every_change_of_hands
        a_lease_ends_by_itself_unless_renewed
        a_dead_holder_is_replaced_once
        nothing_is_written_under_a_lost_lease;
    migration:
        a_catalog_of_version_1_keeps_everything
        an_attested_copy_counts_less_than_any_other
        a_lock_is_remembered_until_it_is_read_back_otherwise
        two_catalogs_are_never_the_same;
    repeat:
        every_call_can_be_repeated
        a_failure_of_any_call_leaves_nothing_half_done;
    damage:
        many_programs_may_open_a_new_catalog_at_once
        a_catalog_of_a_newer_version_is_refused
        reading_creates_nothing
        reading_cannot_write;
    scale:
        a_hundred_thousand_points_load;
}

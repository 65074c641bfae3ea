//! What every job store does, on both sides of its ports; and what only a server can do.

mod catalogue;
mod entries;
mod following;
mod postgres;
mod product;
mod retention;
mod sharing;
mod sqlite;
mod store;

use std::sync::Arc;

use frameline_stores::jobs::FilesAndJobs;

/// An empty store of a test's own.
trait Side: Sized {
    async fn open() -> Self;

    fn store(&self) -> Arc<dyn FilesAndJobs>;

    /// The same store, as another process has it open.
    async fn once_more(&self) -> Arc<dyn FilesAndJobs>;
}

macro_rules! contract {
    ($($module:ident { $($test:ident)* })*) => {
        contract! { on_sqlite: crate::jobs::sqlite::Side; $($module { $($test)* })* }
        contract! { on_postgres: crate::jobs::postgres::Side; $($module { $($test)* })* }
    };
    ($name:ident: $side:ty; $($module:ident { $($test:ident)* })*) => {
        mod $name {
            use crate::jobs::Side as _;

            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                crate::jobs::$module::$test(&<$side>::open().await).await;
            })*)*

            #[test]
            fn folding_in_any_order_in_any_pieces_with_repeats_gives_the_same_jobs() {
                crate::jobs::store::any_order_gives_the_same_jobs::<$side>(<$side>::CASES);
            }
        }
    };
}

contract! {
    catalogue {
        a_new_file_is_revision_1_with_a_queued_job_and_the_same_again_is_unchanged
        other_content_is_the_next_revision_and_supersedes_an_unfinished_job_alone
        the_same_content_after_a_failed_job_is_another_revision
        a_crash_between_any_two_steps_of_a_hand_over_loses_nothing
        marking_an_older_revision_sent_does_not_hide_that_a_newer_one_is_not
        a_deletion_is_a_revision_and_there_is_one_of_it
        what_is_refused_has_a_failed_job_with_the_reason_and_keeps_it_while_it_is_the_same
        files_are_found_by_path_and_by_folder_whatever_their_names
        paths_are_in_the_order_of_their_bytes_however_long_they_are
        the_newest_revisions_are_told_of_those_files_that_are_known
        all_files_are_read_page_by_page
    }
    store {
        a_job_tells_its_totals_its_stages_and_why_it_failed
        jobs_are_listed_newest_first_and_found_by_the_beginning_of_their_id
        a_failure_that_is_taken_back_is_no_trouble_any_more
        progress_of_a_job_that_was_never_offered_here_makes_the_job
        more_jobs_than_a_statement_takes_are_folded_and_listed
        any_text_is_kept_and_of_two_the_one_with_the_greater_bytes_wins
    }
    retention {
        jobs_that_ended_long_ago_are_removed_with_their_facts_and_files_stay
        a_failed_job_of_the_newest_revision_stays_for_the_next_offer
        a_job_ended_when_the_last_was_told_of_it
    }
    sharing {
        several_handles_number_the_revisions_of_one_file_without_a_gap
        files_that_are_offered_in_any_order_by_several_block_nobody
        folds_of_the_same_jobs_in_any_order_by_several_lose_nothing
    }
    following {
        every_reader_hears_what_any_handle_does
        a_change_is_told_when_it_can_be_seen
    }
}

//! What every vector index must do, on both sides of the port; and what makes one anew.

mod absent;
mod agreement;
mod models;
mod points;
mod qdrant;
mod rebuild;
mod revisions;
mod search;
mod sqlite;
mod switch;

use frameline_stores::vectors::Vectors;

/// An empty index of a test's own.
trait Side: Sized {
    async fn open() -> Self;
    fn vectors(&self) -> &dyn Vectors;
    /// Gives back what it has outside the process.
    async fn close(self);
}

macro_rules! contract {
    ($($module:ident { $($test:ident)* })*) => {
        contract! { on_sqlite: crate::vectors::sqlite::Side; $($module { $($test)* })* }
        contract! { on_qdrant: crate::vectors::qdrant::Side; $($module { $($test)* })* }
    };
    ($name:ident: $side:ty; $($module:ident { $($test:ident)* })*) => {
        mod $name {
            use crate::vectors::Side as _;

            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let side = <$side>::open().await;
                crate::vectors::$module::$test(side.vectors()).await;
                side.close().await;
            })*)*

            #[test]
            fn any_order_of_upserts_and_ends_leads_to_the_newest_state() {
                crate::vectors::revisions::any_order_leads_to_the_newest_state::<$side>(<$side>::CASES);
            }
        }
    };
}

contract! {
    revisions {
        the_same_again_changes_nothing
        a_newer_revision_replaces_an_older_one_and_never_the_other_way_round
        units_that_a_new_revision_lacks_are_removed_at_its_end
        units_of_a_deleted_file_never_come_back_until_it_is_added_again
        revisions_in_flight_at_the_same_time_end_in_the_newest
        a_batch_is_written_whole_or_not_at_all
        counts_are_of_what_is_there
    }
    search {
        an_exact_name_comes_first
        an_exact_file_name_comes_first_with_and_without_its_ending
        words_are_found_whatever_their_case_and_accents
        the_last_word_may_be_a_beginning
        scripts_without_spaces_and_emoji_are_found_by_one_or_two_characters
        nothing_that_is_typed_is_an_operator
        a_tenant_finds_its_own_alone
        meaning_is_found_without_a_common_word
        a_picture_finds_pictures_that_look_alike
        nonsense_finds_nothing
        what_was_replaced_or_removed_is_not_found
        a_hit_says_where_why_and_shows_the_words
        no_more_hits_than_asked_for_and_the_best_first
    }
}

//! What every store of blobs must do, in a folder, on S3 and on S3 over TLS; and what only one of them has to.

mod busy;
mod contract;
mod folder;
mod product;
mod s3;
mod secured;
mod told;

use frameline_stores::blobs::Blobs;

/// An empty store of a test's own.
trait Side {
    fn open() -> Self;
    fn blobs(&self) -> &Blobs;
}

macro_rules! contract {
    ($($test:ident)*) => {
        contract! { on_folder: crate::blobs::folder::Side; $($test)* }
        contract! { on_s3: crate::blobs::s3::Side; $($test)* }
        contract! { on_s3_over_tls: crate::blobs::secured::Side; $($test)* }
    };
    ($name:ident: $side:ty; $($test:ident)*) => {
        mod $name {
            use crate::blobs::Side as _;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let side = <$side>::open();
                crate::blobs::contract::$test(side.blobs()).await;
            })*
        }
    };
}

contract! {
    what_is_stored_is_there_and_the_first_of_a_name_stays
    sixteen_writers_of_one_name_leave_what_the_first_one_wrote
    a_file_of_many_parts_is_stored_under_its_hash
    the_same_file_again_changes_nothing
    an_empty_blob_is_a_blob
    what_is_missing_is_not_found_and_what_names_no_blob_is_refused
    many_at_once_are_all_there
    a_store_that_is_there_says_so
}

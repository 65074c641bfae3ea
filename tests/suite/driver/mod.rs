//! The driver's promises, on both logs: the same checks run on the embedded log and on Apache Kafka.

mod harness;
mod meters;
mod promises;
mod replicas;
mod sharing;
mod signs;

use std::sync::Arc;

use frameline_runtime::log::Log;
use frameline_runtime::log::kafka::{KafkaLog, KafkaSettings};
use frameline_runtime::log::sqlite::SqliteLog;
use frameline_tests::kafka::Broker;

/// The embedded log in a folder of its own, which lives as long as the guard.
async fn sqlite() -> (tempfile::TempDir, Arc<dyn Log>) {
    let folder = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(&folder.path().join("log.db")).await.unwrap();
    (folder, Arc::new(log))
}

/// Apache Kafka, one broker for all tests of this process.
async fn kafka() -> (&'static Broker, Arc<dyn Log>) {
    let broker = tokio::task::spawn_blocking(Broker::shared).await.unwrap();
    let settings = KafkaSettings::new(broker.bootstrap_servers());
    (broker, Arc::new(KafkaLog::connect(settings).unwrap()))
}

/// Runs each check on both logs.
macro_rules! on_both_logs {
    ($($module:ident :: $check:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let (_guard, log) = super::sqlite().await;
                super::$module::$check(log).await;
            })*
        }
        mod on_kafka {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let (_guard, log) = super::kafka().await;
                super::$module::$check(log).await;
            })*
        }
    };
}

on_both_logs! {
    promises::every_record_ends_once_in_the_order_of_its_key,
    promises::a_slow_record_holds_back_itself_alone,
    promises::a_dependency_that_is_down_pauses_the_stage_and_costs_nothing,
    promises::push_back_holds_its_key_back_and_neither_pauses_the_stage_nor_ends_in_a_dead_letter,
    promises::too_many_dead_letters_in_a_row_stop_the_intake,
    promises::a_record_that_breaks_the_stage_is_found_and_its_neighbours_go_through,
    promises::bytes_that_are_no_record_go_to_the_dead_letters_as_they_are,
    promises::an_output_that_the_log_refuses_makes_its_record_a_dead_letter,
    promises::every_hop_carries_trace_origin_and_job,
    promises::intake_stops_when_enough_is_in_hand,
    promises::batches_fill_up_to_their_size,
    meters::every_meter_counts_what_it_is_for,
    signs::every_try_is_a_span_and_batches_only_link_to_them,
    signs::a_stage_is_ready_once_it_is_warm_and_in_its_group_also_without_partitions,
    signs::the_oldest_record_in_hand_ages_until_it_is_committed,
    signs::a_loop_that_stands_still_is_noticed_and_one_that_goes_on_again_too,
    sharing::killed_at_any_moment_nothing_is_lost_or_doubled,
    sharing::a_stop_drains_and_commits,
    sharing::a_second_member_takes_its_share_and_nothing_is_doubled,
    sharing::a_second_process_of_the_same_name_fences_the_first,
}

//! `recadero bench` (contract, section 7): order and loss under all the load that this machine allows. What it measures
//! is printed, never judged.

use std::time::Duration;

use serde_json::Value;

use crate::rig::rabbit::Rabbit;
use crate::rig::recadero::run_within;
use crate::rig::redis::{Aof, Options, Redis};

/// The bound of one run; a loaded machine takes a good part of it.
const RUN_MAX: Duration = Duration::from_secs(240);

async fn bench(arguments: &[&str]) -> Value {
    let redis = Redis::start(Options { aof: Aof::Everysec, ..Options::default() }).await;
    let rabbit = Rabbit::shared().await;
    let servers = [("RECADERO_REDIS_URL", redis.url()), ("RECADERO_AMQP_URL", rabbit.url().to_owned())];
    let servers: Vec<_> = servers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (status, printed) = run_within(RUN_MAX, &[&["bench", "--json"], arguments].concat(), &servers).await;
    println!("{printed}");
    assert_eq!(status, 0, "{printed}");
    // What it made is deleted.
    assert_eq!(redis.cli(&["DBSIZE"]).await, redis::Value::Int(0));
    let from = printed.find('{').unwrap();
    serde_json::from_str(printed[from..].trim_end()).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

#[tokio::test]
async fn a_filled_queue_is_drained_in_order_and_without_loss() {
    let report = bench(&["--events", "15000", "--endpoints", "100"]).await;
    assert_eq!(report["deliveries"], 15_000);
    assert_eq!(report["order"]["right"], true);
    assert_eq!(report["order"]["out_of_order"], 0);
    assert!(report["cpu_us_per_delivery"]["service"].as_f64() > Some(0.0), "{report}");
}

#[tokio::test]
async fn order_per_contact_and_the_share_of_bad_endpoints_are_kept_under_load() {
    let load = ["--events", "4000", "--endpoints", "20", "--lanes", "8", "--fan-out", "2", "--workspaces", "2"];
    let report = bench(&[&load[..], &["--hanging", "0.1", "--failing", "0.1", "--rate", "1000"]].concat()).await;
    assert_eq!(report["order"]["right"], true);
    assert!(report["latency_ms"]["p50"].as_f64() > Some(0.0), "{report}");
    assert!(report["latency_first_second_ms"]["p50"].as_f64() > Some(0.0), "{report}");
}

#[tokio::test]
async fn events_that_wait_and_a_second_process_change_nothing_of_it() {
    let report = bench(&["--events", "3000", "--waiting", "2000", "--processes", "2", "--workspaces", "5"]).await;
    assert_eq!(report["order"]["right"], true);
    assert_eq!(report["deliveries"], 3_000, "those that wait are not delivered");
    let bytes = |what: &str| report["redis"][what].as_f64().unwrap_or_else(|| panic!("{what}: {report}"));
    assert!(bytes("bytes_per_waiting_event") > 1_024.0, "{report}");
    assert!(bytes("bytes_per_endpoint") > 0.0 && bytes("bytes_per_id_seen") > 16.0, "{report}");
    assert!(report["first_tenth_per_second"].as_f64() > Some(0.0), "{report}");
}

#[tokio::test]
async fn people_look_at_the_console_meanwhile() {
    let report = bench(&["--events", "600", "--rate", "200", "--readers", "20", "--endpoints", "10"]).await;
    assert_eq!((&report["order"]["right"], &report["deliveries"]), (&true.into(), &600.into()));
    assert!(report["pages_per_second"].as_f64() > Some(0.0), "{report}");
}

#[tokio::test]
async fn a_process_that_comes_later_gets_a_share_of_the_lanes_and_loses_no_order() {
    let report = bench(&["--events", "20000", "--workspaces", "50", "--joins-after", "1"]).await;
    assert_eq!(report["order"]["right"], true);
    assert_eq!(report["deliveries"], 20_000);
    let share = report["joined"]["share"].as_f64().unwrap_or_else(|| panic!("{report}"));
    assert!(share > 0.0 && share < 1.0, "{report}");
    assert!(report["joined"]["seconds"].as_f64() > Some(0.0), "{report}");
}

#[tokio::test]
async fn the_limit_is_a_forwarder_beside_it_in_turns() {
    let comparison = bench(&["--limit", "--turns", "1", "--events", "3000"]).await;
    let rate = |who: &str| comparison[who][0]["deliveries_per_second"].as_f64().unwrap();
    let ratio = comparison["ratio"]["median"].as_f64().unwrap();
    assert!((ratio - rate("service") / rate("forwarder")).abs() < 1e-9, "{comparison}");
    assert_eq!(comparison["forwarder"][0]["deliveries"], 3_000);
}

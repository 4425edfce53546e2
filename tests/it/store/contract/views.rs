//! What people look at: log, statistics, payloads, pages.

use std::sync::Arc;
use std::time::Duration;

use recadero::decide::attempt::Outcome;
use recadero::decide::ids::EndpointId;
use recadero::decide::policy::Policy;
use recadero::decide::retry::Next;
use recadero::store::lanes::{Append, Commit};
use recadero::store::records::{AttemptRow, EndpointStatus, HourStats};
use recadero::store::retrying::Retrying;

use crate::store::fixture::{Open, START_MS};
use crate::store::world::{HOUR, MINUTE, SECOND, World, ep, ev, failed, lane, lane_of, ws};

promises! {
    an_endpoint_tells_its_backlog_and_last_attempt,
    some_endpoints_are_shown_in_the_order_asked,
    the_log_is_paged_newest_first_and_pages_stay_put,
    the_log_keeps_so_many_rows,
    rows_of_the_log_are_kept_for_their_age,
    statistics_count_by_the_hour,
    statistics_show_the_last_24_hours,
    payloads_of_the_last_delivered_events_are_kept,
    a_payload_is_there_while_its_event_waits_is_tried_kept_or_dropped,
    a_payload_is_found_among_many_that_wait,
    dropped_events_are_paged_by_their_numbers,
    dropped_events_are_found_by_when_they_were_dropped,
    an_unknown_endpoint_has_nothing_to_show,
    an_overview_counts_all_and_names_the_troubled,
    lanes_that_are_retried_are_told_the_fullest_first,
}

async fn an_endpoint_tells_its_backlog_and_last_attempt(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    let idle = world.endpoint("ep_a").await;
    assert_eq!((idle.backlog_events, idle.oldest_ms, idle.last_attempt), (0, None, None));
    let first_ms = world.time.now_ms();
    world.publish(&["1"]).await;
    world.pass(SECOND);
    world.publish(&["2"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    let endpoint = world.endpoint("ep_a").await;
    assert_eq!((endpoint.backlog_events, endpoint.oldest_ms), (2, Some(first_ms)));
    let commit = world.end(&lease, Outcome::Delivered);
    world.commit(&commit).await;
    let endpoint = world.endpoint("ep_a").await;
    assert_eq!((endpoint.backlog_events, endpoint.oldest_ms), (1, Some(first_ms + 1_000)));
    let last = endpoint.last_attempt.expect("it was logged");
    assert_eq!((last.number, &last.row, last.next_attempt_ms), (1, &*commit.row, None));
}

async fn some_endpoints_are_shown_in_the_order_asked(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.connect("ep_b", 2).await;
    world.connect("ep_c", 1).await;
    world.publish(&["1"]).await;
    let among = async |ids: &[&str]| {
        let ids: Vec<_> = ids.iter().map(|id| ep(id)).collect();
        world.store.endpoints_among(&ws("w"), &ids).await.expect("endpoints")
    };
    assert_eq!(among(&["ep_c", "ep_none", "ep_a"]).await, [world.endpoint("ep_c").await, world.endpoint("ep_a").await]);
    assert_eq!(among(&[]).await, []);
    assert_eq!(world.store.endpoints_among(&ws("none"), &[ep("ep_a")]).await.expect("endpoints"), []);
}

async fn the_log_is_paged_newest_first_and_pages_stay_put(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2", "3", "4"]).await;
    world.deliver_all().await;
    let page = async |before, limit| {
        let rows = world.store.attempts(&ws("w"), &ep("ep_a"), before, limit).await.expect("attempts");
        rows.into_iter().map(|row| (row.number, row.row.event_id.to_string())).collect::<Vec<_>>()
    };
    let first = page(None, 2).await;
    assert_eq!(first, [(4, "4".to_owned()), (3, "3".to_owned())]);
    world.publish(&["5"]).await;
    world.deliver_all().await;
    assert_eq!(page(Some(3), 10).await, [(2, "2".to_owned()), (1, "1".to_owned())]);
    assert_eq!(page(Some(1), 10).await, []);
}

async fn the_log_keeps_so_many_rows(open: &Open) {
    let mut policy = Policy::default();
    policy.limits.log_attempts = 2;
    let world = World::open_with(open, policy).await;
    world.connect("ep_a", 1).await;
    world.publish(&["1", "2", "3"]).await;
    world.deliver_all().await;
    let rows = world.store.attempts(&ws("w"), &ep("ep_a"), None, 10).await.expect("attempts");
    assert_eq!(rows.iter().map(|row| row.number).collect::<Vec<_>>(), [3, 2]);
}

async fn rows_of_the_log_are_kept_for_their_age(open: &Open) {
    let mut policy = Policy::default();
    policy.limits.log_age = HOUR;
    let world = World::open_with(open, policy).await;
    world.connect("ep_a", 1).await;
    world.publish(&["1"]).await;
    world.deliver_all().await;
    world.pass(MINUTE);
    world.publish(&["2"]).await;
    world.deliver_all().await;
    let rows = async || world.store.attempts(&ws("w"), &ep("ep_a"), None, 10).await.expect("attempts").len();
    world.pass(59 * MINUTE - Duration::from_millis(1));
    world.sweep().await;
    assert_eq!(rows().await, 2);
    world.pass(Duration::from_millis(1));
    world.sweep().await;
    assert_eq!(rows().await, 1);
}

async fn statistics_count_by_the_hour(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2", "3"]).await;
    world.pass(HOUR - SECOND);
    for (duration_ms, outcome) in [(50, Outcome::Delivered), (51, failed()), (5_001, failed())] {
        let lease = world.lease(&lane("ep_a")).await;
        let base = world.end(&lease, outcome);
        let row = Arc::new(AttemptRow { duration_ms, ..(*base.row).clone() });
        world.commit(&Commit { row, next: Next::Drop, more: false, ..base }).await;
        world.pass(SECOND);
    }
    let first =
        HourStats { hour_ms: START_MS, delivered: 1, failed: 0, dropped: 0, durations: [1, 0, 0, 0, 0, 0, 0, 0] };
    let second = HourStats {
        hour_ms: START_MS + 3_600_000,
        delivered: 0,
        failed: 2,
        dropped: 2,
        durations: [0, 1, 0, 0, 0, 0, 0, 1],
    };
    assert_eq!(world.store.stats(&ws("w"), &ep("ep_a")).await.expect("stats"), [first, second]);
}

async fn statistics_show_the_last_24_hours(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    world.deliver_all().await;
    world.pass(24 * HOUR - SECOND);
    assert_eq!(world.store.stats(&ws("w"), &ep("ep_a")).await.expect("stats").len(), 1);
    world.pass(SECOND);
    assert_eq!(world.store.stats(&ws("w"), &ep("ep_a")).await.expect("stats"), []);
}

async fn payloads_of_the_last_delivered_events_are_kept(open: &Open) {
    let mut policy = Policy::default();
    policy.limits.log_payloads = 2;
    let world = World::open_with(open, policy).await;
    world.connect("ep_a", 2).await;
    world.publish_of("odd", 3).await;
    world.publish_of("even-1", 2).await;
    world.publish_of("even-2", 2).await;
    for index in [1, 0] {
        let mut lease = Some(world.lease(&crate::store::world::lane_of("w", "ep_a", 1, index)).await);
        while let Some(present) = lease {
            lease = match world.deliver(&present).await.after {
                recadero::store::lanes::After::Next(next) => Some(*next),
                _ => None,
            };
        }
    }
    let payload = async |id| world.store.payload(&ws("w"), &ep("ep_a"), &ev(id)).await.expect("payload");
    assert_eq!(payload("odd").await, None, "of the endpoint, not of each lane");
    assert_eq!(payload("even-1").await.map(|event| event.body), Some("{\"id\":\"even-1\"}".into()));
    assert!(payload("even-2").await.is_some());
}

async fn a_payload_is_there_while_its_event_waits_is_tried_kept_or_dropped(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    let has = async |id| world.store.payload(&ws("w"), &ep("ep_a"), &ev(id)).await.expect("payload").is_some();
    world.publish(&["1", "2"]).await;
    assert_eq!((has("1").await, has("2").await), (true, true), "they wait");
    let lease = world.lease(&lane("ep_a")).await;
    assert_eq!((has("1").await, has("2").await), (true, true), "one is tried, and one waits behind it");
    world.commit(&Commit { next: Next::Drop, ..world.end(&lease, failed()) }).await;
    assert!(has("1").await, "it was dropped");
    assert_eq!(world.deliver_all().await, ["2"]);
    assert!(has("2").await, "it was delivered");
    assert!(!has("3").await);
}

async fn a_payload_is_found_among_many_that_wait(open: &Open) {
    let world = World::open(open).await;
    world.connect("ep_a", 3).await;
    let names: Vec<String> = (0..2_500).map(|number| format!("e{number}")).collect();
    // Lanes without any event between their first and their last ones, one of them long.
    world.publish_of("first", 1).await;
    world.publish_of("other", 2).await;
    for group in names.chunks(100) {
        world.publish(&group.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    world.publish_of("last", 1).await;
    let body = async |id: &str| {
        let found = world.store.payload(&ws("w"), &ep("ep_a"), &ev(id)).await.expect("payload");
        found.map(|event| String::from_utf8_lossy(&event.body).into_owned())
    };
    for id in ["first", "other", "e0", "e999", "e1000", "e1001", "e2499", "last"] {
        assert_eq!(body(id).await, Some(format!("{{\"id\":\"{id}\"}}")), "{id}");
    }
    assert_eq!(body("e2500").await, None);
}

async fn dropped_events_are_paged_by_their_numbers(open: &Open) {
    let mut policy = Policy::default();
    policy.limits.backlog_events = 1;
    let world = World::open_with(open, policy).await;
    world.connect("ep_a", 1).await;
    world.publish(&["1", "2", "3", "4"]).await;
    let page = async |after, limit| {
        let rows = world.store.dropped(&ws("w"), &ep("ep_a"), after, limit).await.expect("dropped");
        rows.into_iter().map(|row| (row.seq, row.event.id.to_string())).collect::<Vec<_>>()
    };
    let first = page(None, 2).await;
    assert_eq!(first.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    world
        .store
        .resend(&ws("w"), &ep("ep_a"), recadero::store::records::ResendFrom::Dropped, &[ev("1")])
        .await
        .expect("it is done");
    let second = page(Some(first[1].0), 10).await;
    assert_eq!(second.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>(), ["3"]);
}

async fn dropped_events_are_found_by_when_they_were_dropped(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2", "3", "4"]).await;
    for _ in 0..4 {
        let lease = world.lease(&lane("ep_a")).await;
        world.commit(&Commit { next: Next::Drop, more: false, ..world.end(&lease, failed()) }).await;
        world.pass(SECOND);
    }
    let span = async |from: u64, to: u64, after, limit| {
        let span_ms = START_MS + from..START_MS + to;
        let step = world.store.dropped_span(&ws("w"), &ep("ep_a"), span_ms, after, limit).await.expect("a span");
        (step.events.iter().map(ToString::to_string).collect::<Vec<_>>().join(","), step.next)
    };
    let seqs: Vec<_> = world.dropped("ep_a").await.iter().map(|dropped| dropped.seq).collect();
    assert_eq!(span(0, 10_000, None, 10).await, ("1,2,3,4".to_owned(), None));
    assert_eq!(
        span(1_000, 3_000, None, 10).await,
        ("2,3".to_owned(), None),
        "the span's first ms is in, its last is not"
    );
    assert_eq!(span(1_001, 3_001, None, 10).await, ("3,4".to_owned(), None));
    assert_eq!(span(2_000, 10_000, None, 2).await, (String::new(), Some(seqs[1])), "two were looked at");
    assert_eq!(span(2_000, 10_000, Some(seqs[1]), 2).await, ("3,4".to_owned(), Some(seqs[3])));
    assert_eq!(span(2_000, 10_000, Some(seqs[3]), 2).await, (String::new(), None));
}

async fn an_unknown_endpoint_has_nothing_to_show(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    for (workspace, endpoint) in [("w", "ep_none"), ("none", "ep_a")] {
        let (workspace, endpoint) = (ws(workspace), ep(endpoint));
        assert_eq!(world.store.endpoint(&workspace, &endpoint).await.expect("endpoint"), None);
        assert_eq!(world.store.attempts(&workspace, &endpoint, None, 10).await.expect("attempts"), []);
        assert_eq!(world.store.stats(&workspace, &endpoint).await.expect("stats"), []);
        assert_eq!(world.store.dropped(&workspace, &endpoint, None, 10).await.expect("dropped"), []);
        let span = world.store.dropped_span(&workspace, &endpoint, 0..u64::MAX, None, 10).await.expect("a span");
        assert_eq!(span, Default::default());
        assert_eq!(world.store.payload(&workspace, &endpoint, &ev("1")).await.expect("payload"), None);
    }
}

async fn an_overview_counts_all_and_names_the_troubled(open: &Open) {
    let world = World::with_endpoint(open, "ep_well").await;
    for endpoint in ["ep_a", "ep_b", "ep_c"] {
        world.connect(endpoint, 1).await;
    }
    world.publish(&["1", "2"]).await;
    for endpoint in ["ep_b", "ep_a"] {
        let lease = world.lease(&lane(endpoint)).await;
        world.commit(&Commit { more: false, ..world.end(&lease, failed()) }).await;
        world.pass(SECOND);
    }
    for endpoint in ["ep_c", "ep_b"] {
        world.disable(endpoint).await;
        world.pass(SECOND);
    }
    let named = async |limit| {
        let overview = world.store.overview(limit).await.expect("an overview");
        let names =
            |all: Vec<(_, EndpointId)>| all.into_iter().map(|(_, id)| id.to_string()).collect::<Vec<_>>().join(" ");
        (overview.backlog_events, overview.endpoints, names(overview.disabled), names(overview.suspect))
    };
    use EndpointStatus::{Disabled, Enabled};
    let (backlog, endpoints, disabled, suspect) = named(10).await;
    assert_eq!((backlog, endpoints), (8, vec![(Enabled, 2), (Disabled, 2)]));
    assert_eq!((disabled.as_str(), suspect.as_str()), ("ep_b ep_c", "ep_b ep_a"), "the last first; the soonest first");
    assert_eq!(named(1).await.2, "ep_b");
    world.store.enable(&ws("w"), &ep("ep_b"), true).await.expect("it is enabled");
    world.store.delete_endpoint(&ws("w"), &ep("ep_c")).await.expect("it is deleted");
    let (backlog, endpoints, disabled, suspect) = named(10).await;
    assert_eq!((backlog, endpoints), (4, vec![(Enabled, 3)]));
    assert_eq!((disabled.as_str(), suspect.as_str()), ("", "ep_a"));
}

async fn lanes_that_are_retried_are_told_the_fullest_first(open: &Open) {
    let world = World::open(open).await;
    world.connect("ep_a", 4).await;
    let told = async |limit| {
        let lanes = world.store.retrying(&ws("w"), &ep("ep_a"), limit).await.expect("retrying");
        let told = |it: Retrying| (it.lane.index, it.event.to_string(), it.attempt, it.due_ms, it.events);
        lanes.into_iter().map(told).collect::<Vec<_>>()
    };
    for (id, index) in [("a", 0), ("b", 1), ("c", 2), ("d", 2), ("e", 3), ("f", 3)] {
        let item = Append { lanes: vec![lane_of("w", "ep_a", 1, index)], ..world.event("w", id, None).await };
        world.append(&[item]).await;
    }
    assert_eq!(told(10).await, [], "waiting is not retrying");
    let begun_ms = world.time.now_ms();
    for index in [0, 2, 3] {
        let lease = world.lease(&lane_of("w", "ep_a", 1, index)).await;
        assert_eq!(told(10).await.len(), usize::from(index).saturating_sub(1), "nor is a first attempt");
        world.fail(&lease).await;
    }
    let due = Some(begun_ms + 30_000);
    let (a, c, e) = ((0, "a".into(), 2, due, 1), (2, "c".into(), 2, due, 2), (3, "e".into(), 2, due, 2));
    assert_eq!(told(10).await, [c.clone(), e.clone(), a.clone()]);
    assert_eq!(told(2).await, [c, e.clone()]);

    world.pass(30 * SECOND);
    let lease = world.lease(&lane_of("w", "ep_a", 1, 2)).await;
    let (c, again_ms) = ((2, "c".to_owned(), 2, None, 2), world.time.now_ms() + 60_000);
    assert_eq!(told(10).await, [c, e.clone(), a.clone()], "one is being made");
    world.fail(&lease).await;
    assert_eq!(told(1).await, [(2, "c".to_owned(), 3, Some(again_ms), 2)]);
    let lease = world.lease(&lane_of("w", "ep_a", 1, 3)).await;
    world.commit(&Commit { more: false, ..world.end(&lease, Outcome::Delivered) }).await;
    assert_eq!(told(10).await.len(), 2, "what was delivered holds nothing back");

    world.disable("ep_a").await;
    assert_eq!(told(10).await, [], "nothing is tried");
    world.enable("ep_a").await;
    assert_eq!(told(10).await, [], "a new round begins with a first attempt");
    assert_eq!(world.store.retrying(&ws("w"), &ep("ep_none"), 10).await.expect("retrying"), []);
}

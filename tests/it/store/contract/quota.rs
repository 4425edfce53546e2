//! The error quota: counting, disabling, enabling.

use std::time::Duration;

use recadero::decide::notice::{DisableReason, NoticeKind};
use recadero::decide::policy::{Policy, Quota, QuotaScope};
use recadero::decide::retry::Next;
use recadero::store::lanes::{After, Claim, Commit, Pool};
use recadero::store::records::Disabled;

use crate::store::fixture::Open;
use crate::store::world::{MINUTE, SECOND, World, ep, failed, home, lane, lane_of, ws};

promises! {
    thirty_failures_do_not_disable_the_31st_does,
    the_quota_is_shared_by_the_endpoints_of_a_workspace,
    failures_older_than_the_window_do_not_count,
    a_failure_counts_from_when_it_ended,
    another_workspace_is_untouched,
    a_disabled_endpoints_failures_leave_the_window,
    with_the_scope_of_an_endpoint_each_counts_for_itself,
    a_disabling_event_stays_first_and_begins_a_new_round_on_enable,
    a_disabling_failure_that_was_the_last_attempt_drops_as_well,
    no_attempt_is_begun_after_the_disabling,
    enabling_sends_what_was_held_in_order_with_a_clean_count,
    enabling_releases_a_lane_that_waits_for_its_retry,
    exactly_one_notice_is_recorded_per_disabling,
    a_warning_is_recorded_past_half_of_the_quota_and_once_a_window,
    quota_use_is_told_by_endpoint,
}

async fn thirty_failures_do_not_disable_the_31st_does(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    assert!(world.fail_times("ep_a", 30).await.iter().all(|committed| !committed.disabled));
    assert_eq!((world.used().await, world.endpoint("ep_a").await.disabled), (30, None));
    let last = world.fail_times("ep_a", 1).await;
    assert!(last[0].disabled);
    let endpoint = world.endpoint("ep_a").await;
    let at_ms = world.time.now_ms();
    assert_eq!(endpoint.disabled, Some(Disabled { reason: DisableReason::Quota, at_ms }));
    assert_eq!(endpoint.generation, 1);
}

async fn the_quota_is_shared_by_the_endpoints_of_a_workspace(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.connect("ep_b", 1).await;
    world.fail_times("ep_a", 15).await;
    world.fail_times("ep_b", 15).await;
    assert_eq!(world.used().await, 30);
    assert!(world.fail_times("ep_b", 1).await[0].disabled, "the endpoint that failed is disabled");
    assert_eq!(world.endpoint("ep_a").await.disabled, None);
}

async fn failures_older_than_the_window_do_not_count(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.fail_times("ep_a", 10).await;
    world.pass(MINUTE);
    world.fail_times("ep_a", 20).await;
    world.pass(29 * MINUTE - Duration::from_millis(1));
    assert_eq!(world.used().await, 30);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.used().await, 20);
    assert!(world.fail_times("ep_a", 10).await.iter().all(|committed| !committed.disabled));
    assert!(world.fail_times("ep_a", 1).await[0].disabled);
}

async fn a_failure_counts_from_when_it_ended(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.pass(10 * SECOND);
    world.commit(&Commit { ended_ago: 4 * SECOND, ..world.end(&lease, failed()) }).await;
    let quota = world.store.quota(&ws("w")).await.expect("quota");
    assert_eq!(quota.next_leaves_ms, Some(world.time.now_ms() - 4_000 + 30 * 60_000));
    world.pass(30 * MINUTE - 4 * SECOND);
    assert_eq!(world.used().await, 0);
}

async fn another_workspace_is_untouched(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.plan("w2", "advanced").await;
    let config = crate::store::world::config(1, 1);
    world.store.put_endpoint(&ws("w2"), &ep("ep_z"), &config).await.expect("put_endpoint");
    let elsewhere = world.event("w2", "1", None).await;
    world.append(&[elsewhere]).await;
    world.fail_times("ep_a", 31).await;
    let untouched = world.store.endpoint(&ws("w2"), &ep("ep_z")).await.expect("endpoint").expect("it exists");
    assert_eq!((untouched.disabled, untouched.generation, untouched.backlog_events), (None, 0, 1));
    assert_eq!(world.store.quota(&ws("w2")).await.expect("quota").used, 0);
    world.lease(&lane_of("w2", "ep_z", 1, 0)).await;
}

async fn a_disabled_endpoints_failures_leave_the_window(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.connect("ep_b", 1).await;
    world.fail_times("ep_b", 5).await;
    world.fail_times("ep_a", 26).await;
    assert!(world.endpoint("ep_a").await.disabled.is_some());
    assert_eq!(world.used().await, 5);
    world.disable("ep_b").await;
    assert_eq!(world.used().await, 0);
    world.enable("ep_b").await;
    assert_eq!(world.used().await, 0);
}

async fn with_the_scope_of_an_endpoint_each_counts_for_itself(open: &Open) {
    let quota = Quota { scope: QuotaScope::Endpoint, ..Policy::default().quota };
    let world = World::open_with(open, Policy { quota, ..Policy::default() }).await;
    world.connect("ep_a", 1).await;
    world.connect("ep_b", 1).await;
    world.fail_times("ep_a", 30).await;
    world.fail_times("ep_b", 30).await;
    assert_eq!(world.used().await, 60);
    let warnings = world.notice_ids(NoticeKind::Warning).await;
    assert!(warnings.iter().any(|id| id.starts_with("warning-ep_a-")), "{warnings:?}");
    assert!(warnings.iter().any(|id| id.starts_with("warning-ep_b-")), "{warnings:?}");
    assert!(world.fail_times("ep_a", 1).await[0].disabled);
    assert_eq!((world.endpoint("ep_b").await.disabled, world.used().await), (None, 30));
}

async fn a_disabling_event_stays_first_and_begins_a_new_round_on_enable(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.fail_times("ep_a", 30).await;
    world.publish(&["1", "2"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    let disabling = world.fail(&lease).await;
    assert!(disabling.disabled && !disabling.dropped && matches!(disabling.after, After::Held));
    assert_eq!(world.endpoint("ep_a").await.backlog_events, 2);
    world.enable("ep_a").await;
    let again = world.lease(&lane("ep_a")).await;
    assert_eq!((again.seq, again.round, again.attempt, again.generation), (lease.seq, 2, 1, 2));
}

async fn a_disabling_failure_that_was_the_last_attempt_drops_as_well(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.fail_times("ep_a", 30).await;
    world.publish(&["1", "2"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    let disabling = world.commit(&Commit { next: Next::Drop, ..world.end(&lease, failed()) }).await;
    assert!(disabling.disabled && disabling.dropped && matches!(disabling.after, After::Held));
    world.enable("ep_a").await;
    let second = world.lease(&lane("ep_a")).await;
    assert_eq!((second.event.id.as_str(), second.round, second.attempt), ("2", 1, 1));
}

async fn no_attempt_is_begun_after_the_disabling(open: &Open) {
    let world = World::open(open).await;
    world.connect("ep_a", 2).await;
    world.publish_of("0", 2).await;
    world.publish_of("1", 3).await;
    world.publish_of("2", 3).await;
    let other = world.lease(&lane_of("w", "ep_a", 1, 1)).await;
    world.disable("ep_a").await;
    assert!(matches!(world.claim(&lane_of("w", "ep_a", 1, 0)).await, Claim::Held));
    assert!(matches!(world.deliver(&other).await.after, After::Held), "the next event is not handed over");
}

async fn enabling_sends_what_was_held_in_order_with_a_clean_count(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1", "2"]).await;
    world.disable("ep_a").await;
    assert!(matches!(world.claim(&lane("ep_a")).await, Claim::Held));
    world.publish(&["3"]).await;
    world.enable("ep_a").await;
    let endpoint = world.endpoint("ep_a").await;
    assert_eq!((endpoint.disabled, endpoint.generation, world.used().await), (None, 2, 0));
    assert_eq!(world.deliver_all().await, ["1", "2", "3"]);
    assert!(world.fail_times("ep_a", 30).await.iter().all(|committed| !committed.disabled));
}

async fn enabling_releases_a_lane_that_waits_for_its_retry(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    world.fail(&world.lease(&lane("ep_a")).await).await;
    world.disable("ep_a").await;
    world.enable("ep_a").await;
    assert_eq!(world.due(Pool::Suspect).await, [lane("ep_a")]);
    let lease = world.lease(&lane("ep_a")).await;
    assert_eq!((lease.round, lease.attempt), (2, 1));
}

async fn exactly_one_notice_is_recorded_per_disabling(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.fail_times("ep_a", 30).await;
    world.publish(&["1"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    let commit = world.end(&lease, failed());
    world.commit(&commit).await;
    world.commit(&commit).await;
    world.disable("ep_a").await;
    let by_channel = world.notice_ids(NoticeKind::Disabled).await;
    assert_eq!(by_channel, ["disabled-ep_a-1", "disabled-ep_a-1"], "by AMQP and by e-mail");
    world.enable("ep_a").await;
    world.enable("ep_a").await;
    world.disable("ep_a").await;
    world.disable("ep_a").await;
    let notices: Vec<String> = world.notices().await.into_iter().map(|outgoing| outgoing.notice.id).collect();
    let count = |id: &str| notices.iter().filter(|notice| *notice == id).count();
    assert_eq!((count("enabled-ep_a-2"), count("disabled-ep_a-3"), notices.len()), (1, 2, 3));
}

async fn a_warning_is_recorded_past_half_of_the_quota_and_once_a_window(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.fail_times("ep_a", 15).await;
    assert_eq!(world.notice_ids(NoticeKind::Warning).await, [] as [&str; 0]);
    world.fail_times("ep_a", 1).await;
    let warnings = world.store.notices(home("w"), 100).await.expect("notices");
    let warnings: Vec<_> = warnings.into_iter().filter(|it| it.notice.kind == NoticeKind::Warning).collect();
    assert_eq!(warnings.len(), 2, "by AMQP and by e-mail");
    let notice = &warnings[0].notice;
    assert_eq!(notice.id, format!("warning-w-{}", world.time.now_ms()));
    assert_eq!((&notice.endpoint, notice.reason.as_str(), notice.count), (&ep("ep_a"), "quota", Some(16)));

    world.disable("ep_a").await;
    world.enable("ep_a").await;
    world.pass(30 * MINUTE - SECOND);
    world.notices().await;
    world.fail_times("ep_a", 16).await;
    assert_eq!(world.notice_ids(NoticeKind::Warning).await.len(), 0);
    world.disable("ep_a").await;
    world.enable("ep_a").await;
    world.pass(SECOND);
    world.fail_times("ep_a", 16).await;
    assert_eq!(world.notice_ids(NoticeKind::Warning).await, vec![format!("warning-w-{}", world.time.now_ms()); 2]);
}

async fn quota_use_is_told_by_endpoint(open: &Open) {
    let world = World::with_endpoint(open, "ep_b").await;
    world.connect("ep_a", 1).await;
    world.connect("ep_c", 1).await;
    let first_ms = world.time.now_ms();
    world.fail_times("ep_b", 2).await;
    world.pass(SECOND);
    world.fail_times("ep_a", 3).await;
    let quota = world.store.quota(&ws("w")).await.expect("quota");
    assert_eq!((quota.used, quota.by_endpoint), (5, vec![(ep("ep_a"), 3), (ep("ep_b"), 2)]));
    assert_eq!(quota.next_leaves_ms, Some(first_ms + 30 * 60_000));
    let none = world.store.quota(&ws("none")).await.expect("quota");
    assert_eq!((none.used, none.next_leaves_ms), (0, None));
}

//! Notices: recorded once, leased, sent again until they are settled.

use recadero::decide::attempt::Outcome;
use recadero::decide::notice::{Channel, DropReason, NoticeKind};
use recadero::decide::policy::Policy;
use recadero::decide::retry::Next;
use recadero::store::lanes::Commit;
use recadero::store::outbox::{NOTICE_LEASE, OUTBOX_ENTRIES_MAX, OUTBOX_ENTRIES_SHED, Sent};

use crate::store::fixture::Open;
use crate::store::world::{MINUTE, SECOND, World, ep, ev, failed, home, lane, ws};

promises! {
    a_leased_notice_is_nobody_elses_until_its_lease_ends,
    a_settled_notice_is_gone_on_its_channel_alone,
    a_notice_to_be_sent_again_comes_after_the_pause,
    notices_come_longest_due_first,
    a_disabling_is_told_whole,
    an_event_dropped_after_its_retries_is_told_with_its_id,
    events_dropped_by_limits_are_told_by_the_minute,
    a_deletion_is_not_told_as_drops,
    a_long_outbox_tells_drops_after_retries_by_the_minute,
    an_outbox_that_nobody_drains_tells_only_disablings_and_enablings,
    settling_what_is_not_there_does_nothing,
}

async fn a_leased_notice_is_nobody_elses_until_its_lease_ends(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.disable("ep_a").await;
    let first = world.notices().await;
    assert_eq!(first.iter().map(|it| it.tries).collect::<Vec<_>>(), [0, 0]);
    world.pass(NOTICE_LEASE - SECOND);
    assert_eq!(world.notices().await, []);
    world.pass(SECOND);
    let again = world.notices().await;
    assert_eq!(again.iter().map(|it| it.tries).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(again[0].notice, first[0].notice, "always the same");
}

async fn a_settled_notice_is_gone_on_its_channel_alone(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.disable("ep_a").await;
    let first = world.notices().await;
    let mut channels: Vec<Channel> = first.iter().map(|it| it.channel).collect();
    channels.sort();
    assert_eq!(channels, [Channel::Amqp, Channel::Mail]);
    world.store.settle(home("w"), "disabled-ep_a-1", Channel::Amqp, Sent::Done).await.expect("settle");
    world.pass(NOTICE_LEASE);
    let left = world.notices().await;
    assert_eq!(left.iter().map(|it| it.channel).collect::<Vec<_>>(), [Channel::Mail]);
}

async fn a_notice_to_be_sent_again_comes_after_the_pause(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.disable("ep_a").await;
    world.enable("ep_a").await;
    world.notices().await;
    let again = Sent::Again(5 * SECOND);
    world.store.settle(home("w"), "enabled-ep_a-2", Channel::Amqp, again).await.expect("settle");
    world.pass(4 * SECOND);
    assert_eq!(world.notices().await, []);
    world.pass(SECOND);
    let due = world.notices().await;
    assert_eq!((due.len(), due[0].notice.kind, due[0].tries), (1, NoticeKind::Enabled, 1));
}

async fn notices_come_longest_due_first(open: &Open) {
    let world = World::with_endpoint(open, "ep_b").await;
    world.connect("ep_a", 1).await;
    world.disable("ep_b").await;
    world.pass(SECOND);
    world.disable("ep_a").await;
    let first = world.store.notices(home("w"), 2).await.expect("notices");
    assert!(first.iter().all(|it| it.notice.endpoint == ep("ep_b")) && first.len() == 2);
    assert_eq!(world.notices().await.len(), 2);
}

async fn a_disabling_is_told_whole(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.fail_times("ep_a", 31).await;
    let notices = world.notices().await;
    let notice = &notices.iter().find(|it| it.notice.kind == NoticeKind::Disabled).expect("it is told").notice;
    assert_eq!((notice.id.as_str(), notice.reason.as_str()), ("disabled-ep_a-1", "quota"));
    assert_eq!((&notice.workspace, &notice.endpoint, notice.at_ms), (&ws("w"), &ep("ep_a"), world.time.now_ms()));
    assert_eq!((&notice.event, notice.count), (&None, None));
}

async fn an_event_dropped_after_its_retries_is_told_with_its_id(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    let lease = world.lease(&lane("ep_a")).await;
    world.commit(&Commit { next: Next::Drop, ..world.end(&lease, failed()) }).await;
    let notices = world.notices().await;
    assert_eq!(notices.len(), 1);
    let notice = &notices[0].notice;
    assert_eq!((notice.kind, notices[0].channel), (NoticeKind::Dropped, Channel::Amqp));
    assert_eq!(notice.id, format!("dropped-ep_a-{}", lease.seq));
    assert_eq!((&notice.event, notice.reason.as_str(), notice.count), (&Some(ev("1")), "retries", None));
}

async fn events_dropped_by_limits_are_told_by_the_minute(open: &Open) {
    let mut policy = Policy::default();
    policy.limits.backlog_events = 1;
    let world = World::open_with(open, policy).await;
    world.connect("ep_a", 1).await;
    world.pass(10 * SECOND);
    let first_ms = world.time.now_ms();
    world.publish(&["1", "2", "3"]).await;
    world.pass(49 * SECOND);
    world.publish(&["4"]).await;
    assert_eq!(world.notices().await, [], "the minute is not over");
    world.pass(SECOND);
    world.publish(&["5"]).await;
    let notices = world.notices().await;
    assert_eq!(notices.len(), 1);
    let notice = &notices[0].notice;
    assert_eq!(notice.id, format!("dropped-ep_a-backlog_events-{}", first_ms / 60_000));
    assert_eq!((notice.at_ms, &notice.event, notice.count), (first_ms, &None, Some(3)));
    assert_eq!(notice.reason, DropReason::BacklogEvents.as_str());
}

async fn a_deletion_is_not_told_as_drops(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    world.store.delete_endpoint(&ws("w"), &ep("ep_a")).await.expect("delete_endpoint");
    world.pass(MINUTE);
    assert_eq!(world.notices().await, []);
}

async fn a_long_outbox_tells_drops_after_retries_by_the_minute(open: &Open) {
    let mut policy = Policy::default();
    policy.quota.limit = u32::MAX;
    let world = World::open_with(open, policy).await;
    world.connect("ep_a", 1).await;
    for first in (0..OUTBOX_ENTRIES_MAX + 2).step_by(500) {
        let ids: Vec<String> = (first..(first + 500).min(OUTBOX_ENTRIES_MAX + 2)).map(|id| id.to_string()).collect();
        let base = world.event("w", "0", None).await;
        let group: Vec<_> =
            ids.iter().map(|id| recadero::store::lanes::Append { id: ev(id), ..base.clone() }).collect();
        world.append(&group).await;
    }
    let mut lease = world.lease(&lane("ep_a")).await;
    for _ in 0..OUTBOX_ENTRIES_MAX + 2 {
        let committed = world.commit(&Commit { next: Next::Drop, ..world.end(&lease, failed()) }).await;
        lease = match committed.after {
            recadero::store::lanes::After::Next(lease) => *lease,
            recadero::store::lanes::After::Ready => world.lease(&lane("ep_a")).await,
            _ => break,
        };
    }
    world.pass(MINUTE);
    let notices = world.store.notices(home("w"), OUTBOX_ENTRIES_MAX + 10).await.expect("notices");
    assert_eq!(notices.len(), OUTBOX_ENTRIES_MAX + 1);
    let counted: Vec<_> = notices.iter().filter_map(|it| it.notice.count.map(|_| &it.notice)).collect();
    assert_eq!(counted.len(), 1);
    assert_eq!((counted[0].count, counted[0].reason.as_str()), (Some(2), "retries"));
}

async fn an_outbox_that_nobody_drains_tells_only_disablings_and_enablings(open: &Open) {
    let mut policy = Policy::default();
    policy.limits.backlog_events = 1;
    let world = World::open_with(open, policy).await;
    world.connect("ep_a", 1).await;
    world.connect("ep_b", 1).await;
    world.publish(&["1", "2"]).await;
    // A disabling is told on two channels, an enabling on one.
    let (cycles, told_of_drops) = ((OUTBOX_ENTRIES_SHED - 2).div_ceil(3), 2);
    for _ in 0..cycles {
        world.disable("ep_a").await;
        world.enable("ep_a").await;
    }
    assert_eq!(world.figures().await.shed, 0);
    assert_eq!(world.publish(&["3"]).await.dropped.len(), 1);
    assert_eq!(world.figures().await.shed, 0, "this minute's are told already");
    world.pass(MINUTE);
    world.publish(&["4"]).await;
    assert_eq!(world.figures().await.shed, 2);
    world.deliver_all().await;
    world.fail_times("ep_a", 16).await;
    assert_eq!(world.figures().await.shed, 2 + 16 + 1, "the drops, and the warning that half of the quota is used");
    world.disable("ep_b").await;
    let mut notices = Vec::new();
    while notices.len() % 1000 == 0 {
        notices.extend(world.store.notices(home("w"), 1000).await.expect("notices"));
    }
    assert_eq!(notices.len(), 3 * cycles + told_of_drops + 2);
    let drops = notices.iter().filter(|it| it.notice.kind == NoticeKind::Dropped);
    assert!(drops.map(|it| it.notice.count).eq([Some(2), Some(2)]));
    assert!(notices.iter().any(|it| it.notice.id == "disabled-ep_b-1"));
}

async fn settling_what_is_not_there_does_nothing(open: &Open) {
    let world = World::with_endpoint(open, "ep_a").await;
    world.publish(&["1"]).await;
    world.commit(&world.end(&world.lease(&lane("ep_a")).await, Outcome::Delivered)).await;
    for sent in [Sent::Done, Sent::Again(SECOND)] {
        world.store.settle(home("w"), "disabled-ep_a-1", Channel::Mail, sent).await.expect("settle");
    }
    world.pass(MINUTE);
    assert_eq!(world.notices().await, []);
}

//! The rules of the mission on virtual time: order, retries, the quota, as the contract's sections 3 and 4 say them.

use std::time::Duration;

use recadero::decide::policy::Policy;
use recadero::store::Records;

use crate::world::{Reply, World, order, pass, statuses};

const AT_ONCE: Duration = Duration::from_millis(1);

fn seconds(time: Duration) -> u64 {
    time.as_secs()
}

#[tokio::test(start_paused = true)]
async fn events_go_out_in_the_order_the_queue_held_them() {
    let world = World::new(Policy::default(), |_| Reply::Status(200, AT_ONCE));
    let workspace = world.workspace("w").await;
    world.endpoint(&workspace, "a", 1).await;
    for number in 0..500 {
        world.publish(&workspace, &format!("e{number}"), number).await;
    }
    pass(Duration::from_secs(10)).await;
    let expected: Vec<String> = (0..500).map(|number| format!("e{number}")).collect();
    assert_eq!(order(&world.seen("a")), expected);
    assert_eq!(world.seen("a").len(), 500, "none twice");
}

#[tokio::test(start_paused = true)]
async fn a_failing_event_is_tried_after_30_60_and_90_seconds_each_after_the_failure_ended_then_dropped() {
    let world = World::new(Policy::default(), |seen| match seen.event.as_str() {
        "bad" => Reply::Status(500, Duration::from_secs(2)),
        _ => Reply::Status(200, AT_ONCE),
    });
    let workspace = world.workspace("w").await;
    let endpoint = world.endpoint(&workspace, "a", 1).await;
    world.publish(&workspace, "bad", 1).await;
    world.publish(&workspace, "good", 1).await;
    pass(Duration::from_secs(600)).await;

    let seen = world.seen("a");
    let attempts: Vec<(&str, u32)> = seen.iter().map(|seen| (seen.event.as_str(), seen.attempt)).collect();
    assert_eq!(attempts, [("bad", 1), ("bad", 2), ("bad", 3), ("bad", 4), ("good", 1)]);
    let waits: Vec<u64> = seen.windows(2).map(|pair| seconds(pair[1].at - pair[0].at)).collect();
    // Two seconds of attempt and the wait; the next event goes on as soon as the last attempt has failed.
    assert_eq!(waits, [32, 62, 92, 2]);
    let dropped = world.store.dropped(&workspace, &endpoint, None, 10).await.unwrap();
    assert_eq!(dropped.iter().map(|dropped| dropped.event.id.as_str()).collect::<Vec<_>>(), ["bad"]);
}

#[tokio::test(start_paused = true)]
async fn no_status_line_within_5_seconds_is_a_failure_and_so_is_any_other_status() {
    for (reply, after) in [
        (Reply::Hang, 35),
        (Reply::Status(200, Duration::from_secs(6)), 35),
        (Reply::Status(204, AT_ONCE), 30),
        (Reply::Status(302, AT_ONCE), 30),
        (Reply::Status(500, AT_ONCE), 30),
    ] {
        let world = World::new(Policy::default(), move |seen| match seen.attempt {
            1 => reply,
            _ => Reply::Status(200, AT_ONCE),
        });
        let workspace = world.workspace("w").await;
        world.endpoint(&workspace, "a", 1).await;
        world.publish(&workspace, "e", 1).await;
        pass(Duration::from_secs(60)).await;
        let seen = world.seen("a");
        assert_eq!(seen.len(), 2, "{reply:?}");
        assert_eq!(seconds(seen[1].at - seen[0].at), after, "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_31st_failure_of_a_workspace_disables_the_endpoint_that_failed_and_nobody_else() {
    let world = World::new(Policy::default(), |seen| match seen.path.as_str() {
        "good" | "other" => Reply::Status(200, AT_ONCE),
        _ => Reply::Status(500, AT_ONCE),
    });
    let workspace = world.workspace("w").await;
    for path in ["bad1", "bad2", "good"] {
        world.endpoint(&workspace, path, 8).await;
    }
    let elsewhere = world.workspace("elsewhere").await;
    world.endpoint(&elsewhere, "other", 1).await;
    // Eight lanes fail at two endpoints: sixteen failures at once, thirty-two after thirty seconds.
    for contact in 0..200 {
        world.publish(&workspace, &format!("e{contact}"), contact).await;
        world.publish(&elsewhere, &format!("e{contact}"), contact).await;
    }
    pass(Duration::from_secs(20)).await;
    let enabled = |name: &'static str| {
        let (store, workspace) = (world.store.clone(), workspace.clone());
        async move { store.endpoints(&workspace).await.unwrap().into_iter().find(|e| e.id.as_str() == name).unwrap() }
    };
    assert_eq!(world.store.quota(&workspace).await.unwrap().used, 16);
    assert!(enabled("ep_bad1").await.disabled.is_none());

    pass(Duration::from_secs(20)).await;
    let disabled = [enabled("ep_bad1").await, enabled("ep_bad2").await].map(|endpoint| endpoint.disabled.is_some());
    assert_eq!(disabled.iter().filter(|disabled| **disabled).count(), 1, "only the one that made it 31");
    assert!(enabled("ep_good").await.disabled.is_none());
    assert_eq!(world.seen("good").len(), 200);
    assert_eq!(world.seen("other").len(), 200);
    let told: Vec<String> = world.broker.outcomes().into_iter().map(|outcome| outcome.routing_key).collect();
    assert_eq!(told.iter().filter(|kind| *kind == "endpoint.disabled").count(), 1, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn enabling_sends_what_waited_in_order_with_a_clean_count() {
    let mut policy = Policy::default();
    policy.quota.limit = 2;
    let status = statuses(&[500, 500, 500]);
    let world = World::new(policy, move |_| Reply::Status(status(), AT_ONCE));
    let workspace = world.workspace("w").await;
    let endpoint = world.endpoint(&workspace, "a", 1).await;
    for number in 0..50 {
        world.publish(&workspace, &format!("e{number}"), number).await;
    }
    pass(Duration::from_secs(600)).await;
    assert_eq!(world.seen("a").len(), 3, "no attempt is begun after the disabling");
    assert_eq!(world.store.quota(&workspace).await.unwrap().used, 0, "its failures have left with it");

    assert_eq!(world.store.enable(&workspace, &endpoint, false).await.unwrap(), Some(0));
    pass(Duration::from_secs(5)).await;
    let seen = world.seen("a");
    assert_eq!(seen[3].attempt, 1, "the interrupted event begins a new round");
    let expected: Vec<String> = (0..50).map(|number| format!("e{number}")).collect();
    assert_eq!(order(&seen), expected);
}

#[tokio::test(start_paused = true)]
async fn with_lanes_order_holds_per_contact_and_contacts_move_in_parallel() {
    let world = World::new(Policy::default(), |seen| match (seen.contact, seen.attempt) {
        (Some(3), 1) => Reply::Status(500, AT_ONCE),
        _ => Reply::Status(200, Duration::from_millis(100)),
    });
    let workspace = world.workspace("w").await;
    world.endpoint(&workspace, "a", 8).await;
    for number in 0..80 {
        world.publish(&workspace, &format!("c{}n{number}", number % 8), number % 8).await;
    }
    pass(Duration::from_secs(20)).await;
    let healthy = world.seen("a").iter().filter(|seen| seen.contact != Some(3)).count();
    assert!(healthy >= 50, "other contacts do not wait for the one that fails: {healthy}");
    pass(Duration::from_secs(600)).await;
    for contact in 0..8 {
        let of_contact: Vec<_> = world.seen("a").into_iter().filter(|seen| seen.contact == Some(contact)).collect();
        let expected: Vec<String> = (0..80).filter(|n| n % 8 == contact).map(|n| format!("c{contact}n{n}")).collect();
        assert_eq!(order(&of_contact), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_hang_hold_up_nobody_else() {
    let world = World::new(Policy::default(), |seen| match seen.path.starts_with("hang") {
        true => Reply::Hang,
        false => Reply::Status(200, AT_ONCE),
    });
    // Far more than the 48 healthy places of this world's process.
    let workspace = world.workspace("w").await;
    for number in 0..400 {
        world.endpoint(&workspace, &format!("hang{number}"), 1).await;
    }
    let elsewhere = world.workspace("elsewhere").await;
    world.endpoint(&elsewhere, "fine", 1).await;
    world.publish(&workspace, "h", 1).await;
    pass(Duration::from_millis(10)).await;
    world.publish(&elsewhere, "f", 1).await;
    let before = world.receivers_now();
    pass(Duration::from_secs(4)).await;
    let seen = world.seen("fine");
    assert_eq!(seen.len(), 1);
    assert!(seen[0].at - before < Duration::from_secs(1), "{:?}", seen[0].at - before);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stops_finishes_what_it_began_and_repeats_nothing() {
    let mut world = World::new(Policy::default(), |_| Reply::Status(200, Duration::from_millis(300)));
    let workspace = world.workspace("w").await;
    for number in 0..10 {
        world.endpoint(&workspace, &format!("r{number}"), 1).await;
    }
    for number in 0..20 {
        world.publish(&workspace, &format!("e{number}"), number).await;
    }
    pass(Duration::from_secs(2)).await;
    world.stop();
    pass(Duration::from_secs(1)).await;
    world.process("two");
    pass(Duration::from_secs(20)).await;
    let expected: Vec<String> = (0..20).map(|number| format!("e{number}")).collect();
    for number in 0..10 {
        let seen = world.seen(&format!("r{number}"));
        assert_eq!(seen.len(), 20, "no repeats");
        assert_eq!(order(&seen), expected);
    }
}

//! Rejected messages in a real RabbitMQ: looked at, and replayed, by the API and by the command.

use serde_json::{Value, json};

use crate::rig::recadero::run;
use crate::rig::receiver::Receiver;
use crate::rig::until;
use crate::service::{SOON, Service};

const TYPES: (&str, &str) = ("RECADERO_EXTRA_EVENT_TYPES", "order.placed");

async fn rejected(service: &Service) -> Vec<Value> {
    let page = service.ask("GET", "/v1/rejected?limit=200", Value::Null).await;
    page["data"].as_array().unwrap().clone()
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["message_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn looking_loses_nothing_and_what_was_fixed_is_delivered_after_a_replay() {
    let mut service = Service::start(&[]).await;
    let receiver = Receiver::ok().await;
    service.connect("acme", &receiver.url()).await;
    let published: Vec<_> = (0..130).map(|number| number.to_string()).collect();
    // One that no fix helps, between the others.
    for id in &published {
        let body: &[u8] = if id == "7" { b"{" } else { b"{}" };
        service.publisher.event("order.placed", "acme", id, body).await;
    }
    until("all rejected", SOON, async || rejected(&service).await.len() == published.len()).await;
    for _ in 0..3 {
        let rows = rejected(&service).await;
        assert_eq!(ids(&rows), published, "in the order they came, however often one looks");
        assert_eq!(
            (&rows[0]["reason"], &rows[0]["routing_key"]),
            (&json!("unknown_event_type"), &json!("order.placed"))
        );
        assert_eq!(rows[7]["reason"], "not_json");
    }
    let amqp = ("RECADERO_AMQP_URL", service.rabbit.url());
    let (status, listed) = run(&["rejected", "list", "--limit", "3"], &[amqp]).await;
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(
        (status, lines.len(), lines[2][1..5].to_vec()),
        (0, 3, vec!["unknown_event_type", "order.placed", "acme", "2"])
    );
    assert_eq!(ids(&rejected(&service).await), published);
    let (status, printed) = run(&["rejected", "replay", "0000"], &[amqp]).await;
    assert!(status == 1 && printed.contains("no rejected message of the id \"0000\""), "{printed}");

    assert_eq!(ids(&rejected(&service).await), published);

    // The fix: the type is accepted now.
    service.process.kill9();
    let fixed = service.another(&[TYPES]).await;
    service.process = fixed;
    let (status, printed) = run(&["rejected", "replay", lines[2][0]], &[amqp]).await;
    assert_eq!((status, printed.trim()), (0, "1 replayed"));
    let first = receiver.wait_for(1, SOON).await[0].clone();
    assert_eq!(first.header("webhook-id"), Some("2"));
    let others: Vec<_> = published.iter().map(String::as_str).filter(|id| *id != "2").collect();
    assert_eq!(ids(&rejected(&service).await), others, "the others stand where they stood");
    let replayed = service.ask("POST", "/v1/rejected/replay", json!({})).await;
    assert_eq!(replayed, json!({"replayed": published.len() - 1, "left": 0}));
    let requests = receiver.wait_for(published.len() - 1, SOON).await;
    let arrived: Vec<_> = requests.iter().map(|request| request.header("webhook-id").unwrap()).collect();
    let mut expected: Vec<_> = published.iter().map(String::as_str).filter(|id| !["2", "7"].contains(id)).collect();
    expected.insert(0, "2");
    assert_eq!(arrived, expected);
    until("what is still wrong is back", SOON, async || ids(&rejected(&service).await) == ["7"]).await;
}

#[tokio::test]
async fn a_replay_that_rabbitmq_does_not_confirm_loses_nothing() {
    let service = Service::start(&[]).await;
    service.publisher.event("order.placed", "acme", "1", b"{}").await;
    until("rejected", SOON, async || rejected(&service).await.len() == 1).await;
    // An exchange that leads nowhere: mandatory messages come back.
    let amqp = ("RECADERO_AMQP_URL", service.rabbit.url());
    let nowhere = ["rejected", "replay", "--amqp-exchange", "recadero.outcomes"];
    let (status, printed) = run(&nowhere, &[amqp]).await;
    assert!(status == 1 && printed.contains("no queue takes"), "{printed}");
    assert_eq!(ids(&rejected(&service).await), ["1"]);
}

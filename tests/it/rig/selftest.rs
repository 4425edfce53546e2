//! The rig does what it says: a test that fails here explains the others.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::guard::{self, Guarded};
use super::ports::Port;
use super::publish::{Publisher, event, headers};
use super::rabbit::Rabbit;
use super::receiver::{Answer, Receiver};
use super::redis::{Aof, Options, Redis};
use super::until;

const SOON: Duration = Duration::from_secs(10);

fn text(value: &redis::Value) -> String {
    redis::from_redis_value_ref(value).unwrap()
}

#[tokio::test]
async fn redis_with_an_aof_keeps_its_data_over_a_kill() {
    let mut redis = Redis::start(Options { aof: Aof::Always, ..Options::default() }).await;
    redis.cli(&["SET", "event", "kept"]).await;
    let (port, pid) = (redis.port(), redis.pid());
    redis.kill();
    assert!(redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.is_err());
    redis.restart().await;
    assert_eq!((redis.port(), text(&redis.cli(&["GET", "event"]).await)), (port, "kept".into()));
    assert_ne!(redis.pid(), pid);
    redis.stop().await;
    redis.restart().await;
    assert_eq!(text(&redis.cli(&["GET", "event"]).await), "kept");
}

#[tokio::test]
async fn redis_without_an_aof_is_empty_after_a_kill() {
    let mut redis = Redis::start(Options::default()).await;
    redis.cli(&["SET", "event", "lost"]).await;
    redis.kill();
    redis.restart().await;
    assert_eq!(redis.cli(&["GET", "event"]).await, redis::Value::Nil);
}

#[tokio::test]
async fn redis_pauses_fills_up_and_feeds_a_replica() {
    let mut redis = Redis::start(Options { maxmemory: Some(12 << 20), ..Options::default() }).await;
    let replica = Redis::start(Options { replica_of: Some(redis.port()), ..Options::default() }).await;
    until("a replica in step", SOON, async || {
        text(&replica.cli(&["INFO", "replication"]).await).contains("master_link_status:up")
    })
    .await;

    let (mut one, mut two) = (redis.connection().await, redis.connection().await);
    let big = "x".repeat(1 << 20);
    let mut stored = 0;
    let refused = loop {
        match redis::cmd("SET").arg(stored).arg(&big).query_async::<()>(&mut one).await {
            Ok(()) => stored += 1,
            Err(e) => break e,
        }
    };
    assert_eq!((refused.code(), redis.cli(&["DBSIZE"]).await), (Some("OOM"), redis::Value::Int(stored)));
    assert!((1..12).contains(&stored), "{stored}");

    redis.pause();
    let ping = redis::cmd("PING");
    let paused = tokio::time::timeout(Duration::from_millis(300), ping.query_async::<String>(&mut two)).await;
    assert!(paused.is_err());
    redis.resume();
    redis.cli(&["PING"]).await;
}

async fn declare(rabbit: &Rabbit, queue: &str) -> lapin::Channel {
    let channel = rabbit.connection().await.create_channel().await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await.unwrap();
    channel
}

async fn take(channel: &lapin::Channel, queue: &str) -> Option<(String, Vec<u8>)> {
    let message = channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap()?;
    message.ack(BasicAckOptions::default()).await.unwrap();
    let id = message.properties.message_id().as_ref().unwrap().to_string();
    Some((id, message.data.clone()))
}

#[tokio::test]
async fn rabbitmq_of_its_own_keeps_a_quorum_queue_over_a_kill() {
    let mut rabbit = Rabbit::start().await;
    declare(&rabbit, "q").await;
    let publisher = Publisher::connect(rabbit.url()).await;
    publisher.message("", "q", event("acme", "id-1"), b"{}").await;
    // See `Rabbit::kill`.
    tokio::time::sleep(Duration::from_secs(2)).await;
    rabbit.kill();
    assert!(Publisher::try_connect(rabbit.url()).await.is_err());
    assert!(publisher.try_message("", "q", headers(&[]), b"{}").await.is_err());
    rabbit.restart().await;
    let channel = declare(&rabbit, "q").await;
    assert_eq!(take(&channel, "q").await, Some(("id-1".into(), b"{}".to_vec())));
    assert_eq!(take(&channel, "q").await, None);
}

#[tokio::test]
async fn two_tests_that_share_rabbitmq_do_not_see_each_other() {
    let (mine, yours) = (Rabbit::shared().await, Rabbit::shared().await);
    assert_ne!(mine.url(), yours.url());
    let (mine_channel, yours_channel) = (declare(&mine, "q").await, declare(&yours, "q").await);
    Publisher::connect(mine.url()).await.message("", "q", event("acme", "id-1"), b"{}").await;
    assert_eq!(take(&yours_channel, "q").await, None);
    assert_eq!(take(&mine_channel, "q").await, Some(("id-1".into(), b"{}".to_vec())));
}

async fn post(port: u16, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let length = body.len();
    let request = format!("POST /hook?x=1 HTTP/1.1\r\nHost: h\r\nX-Id: 7\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn read(mut stream: TcpStream, limit: Duration) -> String {
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(limit, stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_receiver_writes_down_what_arrives_and_behaves_as_told() {
    let moment = Duration::from_millis(300);
    let mut receiver = Receiver::in_turn(vec![
        Answer::status(500).after(moment),
        Answer::redirect("http://127.0.0.1/other"),
        Answer::close(),
        Answer::raw("nonsense"),
        Answer::ok().slow_body("abcdef", Duration::from_secs(1)),
        Answer::hang(),
    ])
    .await;
    let port = receiver.port();

    let start = Instant::now();
    let mut late = post(port, "{\"n\":1}").await;
    let mut line = [0; 12];
    late.read_exact(&mut line).await.unwrap();
    assert!(line == *b"HTTP/1.1 500" && start.elapsed() >= moment);
    assert!(
        read(post(port, "").await, 10 * moment).await.contains("302 Status\r\nlocation: http://127.0.0.1/other\r\n")
    );
    assert_eq!(read(post(port, "").await, SOON).await, "");
    assert_eq!(read(post(port, "").await, SOON).await, "nonsense");
    let dripping = read(post(port, "").await, Duration::from_millis(3_500)).await;
    let (head, begun) = dripping.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && "abcde".starts_with(begun) && !begun.is_empty(), "{dripping}");
    assert_eq!(read(post(port, "").await, moment).await, "");

    let requests = receiver.wait_for(6, SOON).await;
    let first = &requests[0];
    assert_eq!((first.method.as_str(), first.path.as_str(), first.text()), ("POST", "/hook?x=1", "{\"n\":1}"));
    assert_eq!((first.header("x-id"), first.json()["n"].as_u64()), (Some("7"), Some(1)));
    assert!(first.at >= start && first.gone.get().is_none());
    until("the hanging sender's end", SOON, async || requests[5].gone.get().is_some()).await;
    assert_eq!((receiver.connections(), receiver.requests_at("/hook?x=1").len()), (6, 6));

    receiver.stop();
    until("refused", SOON, async || TcpStream::connect(("127.0.0.1", port)).await.is_err()).await;
    receiver.restart().await;
    receiver.behave(|_| Answer::status(204));
    assert!(read(post(port, "").await, moment).await.starts_with("HTTP/1.1 204"));
    assert_eq!(receiver.count(), 7);
}

#[test]
fn a_port_is_nobody_elses_while_it_is_held() {
    let ports: Vec<_> = (0..500).map(|_| Port::take()).collect();
    let mut numbers: Vec<_> = ports.iter().map(Port::number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), ports.len());
}

#[tokio::test]
async fn a_guarded_process_keeps_its_exit_status_and_its_words() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = guard::command(directory.path(), "sh");
    command.args(["-c", "echo out; echo err >&2; exit 3"]);
    let mut process = Guarded::start("sh", command, &directory.path().join("log"));
    assert_eq!((process.wait(SOON).await, process.log()), (3, "out\nerr\n".into()));
}

/// Set for the process that is going to be killed.
const VICTIM: &str = "RECADERO_TEST_VICTIM";

#[tokio::test]
async fn a_killed_test_leaves_no_server_behind() {
    if let Some(report) = std::env::var_os(VICTIM) {
        return victim(Path::new(&report)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("report");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "rig::selftest::a_killed_test_leaves_no_server_behind", "--nocapture"])
        .env(VICTIM, &report)
        // Its temporary directories go here, where they can be counted.
        .env("TMPDIR", directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the victim's servers", super::PATIENCE, async || report.exists()).await;
    let groups: Vec<u32> = fs::read_to_string(&report).unwrap().lines().map(|pid| group(pid).unwrap()).collect();
    assert_eq!(groups.len(), 2);
    assert!(members(&groups) >= 4, "two servers and two guards");

    victim.kill().unwrap();
    victim.wait().unwrap();

    until("no process left", SOON, async || members(&groups) == 0).await;
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["report"]);
}

/// Starts servers, one of them stopped, reports their process ids and waits for its end.
async fn victim(report: &Path) {
    let mut redis = Redis::start(Options::default()).await;
    let rabbit = Rabbit::start().await;
    redis.pause();
    let draft = report.with_extension("draft");
    fs::write(&draft, format!("{}\n{}\n", redis.pid(), rabbit.pid())).unwrap();
    fs::rename(&draft, report).unwrap();
    std::future::pending::<()>().await;
}

/// The process group of a process, unless it is gone (or only not yet buried by whoever inherited it).
fn group(pid: &str) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold anything: state, parent, group.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    if state == "Z" { None } else { fields.nth(1)?.parse().ok() }
}

/// How many processes belong to these groups.
fn members(groups: &[u32]) -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    processes.filter(|pid| group(pid).is_some_and(|group| groups.contains(&group))).count()
}

//! Endpoints behind names, asked of a name server that lies, errs, or says nothing.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::CNAME;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use recadero::decide::attempt::Reason;
use recadero::deliver::guard::dns::Dns;
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};

use super::receivers::{Receiver, answering};
use super::{AMPLE, Set, assert_failed, post, status};

const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What a name server says to a question.
enum Said {
    Nothing,
    Code(ResponseCode),
    /// Addresses, or names to go on with, and for how many seconds.
    Records(u32, Vec<&'static str>),
}

/// A name server of one script.
struct NameServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: AbortHandle,
}

impl NameServer {
    /// Answers questions for IPv4 addresses by the script, which is given the name without its last dot; there is
    /// nothing else.
    async fn start(script: impl Fn(&str) -> Said + Send + 'static) -> Self {
        let nothing = |_: &str| Said::Records(0, vec![]);
        Self::start_with(move |name, family| if family == RecordType::A { script(name) } else { nothing(name) }).await
    }

    async fn start_with(script: impl Fn(&str, RecordType) -> Said + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let query = question.queries[0].clone();
                let name = query.name().to_ascii().trim_end_matches('.').to_lowercase();
                seen.lock().unwrap().push(format!("{name} {}", query.query_type()));
                if let Some(answer) = answer(&question, &query, script(&name, query.query_type())) {
                    socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
                }
            }
        });
        Self { address, asked, task: task.abort_handle() }
    }

    fn set(&self, timeout: Duration) -> Set {
        Set { lookup: Arc::new(Dns::of_servers(&[self.address], b"").unwrap()), ..Set::limit(timeout) }
    }

    /// How often a name's IPv4 addresses were asked for.
    fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| **asked == format!("{name} A")).count()
    }

    /// How many names under `dead.test` were asked for.
    fn asked_dead(&self) -> usize {
        let asked = self.asked.lock().unwrap();
        let names = asked.iter().filter_map(|asked| asked.split_once(".dead.test "));
        names.map(|(name, _)| name).collect::<BTreeSet<_>>().len()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(question: &Message, query: &Query, said: Said) -> Option<Message> {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.add_query(query.clone());
    match said {
        Said::Nothing => return None,
        Said::Code(code) => answer.metadata.response_code = code,
        Said::Records(ttl, records) => {
            let mut owner = query.name().clone();
            for record in records {
                let data = record.parse().map_or_else(
                    |_| RData::CNAME(CNAME(Name::from_ascii(format!("{record}.")).unwrap())),
                    |address: std::net::IpAddr| RData::from(address),
                );
                answer.add_answer(Record::from_rdata(owner.clone(), ttl, data.clone()));
                if let RData::CNAME(next) = data {
                    owner = next.0;
                }
            }
        }
    }
    Some(answer)
}

/// Each question is some sockets, and shells often allow a thousand only.
fn allow_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Two receivers at one port: at an address that is allowed (127.0.0.1), and at one that is not (127.0.0.2).
async fn outside_and_inside() -> (Receiver, Receiver) {
    let outside = Receiver::start(answering(OK)).await;
    let inside = Receiver::start_at("127.0.0.2", outside.address.port(), answering(OK)).await;
    (outside, inside)
}

#[tokio::test]
async fn names_that_never_resolve_are_timeout_and_hold_nobody_up() {
    allow_descriptors();
    // The dead last as long as they may. When a slow machine takes longer than that to ask for them all, nothing is
    // known of who waited for whom, and it is done again.
    for _ in 0..5 {
        if is_resolved_beside(300).await {
            return;
        }
    }
    panic!("the healthy name was never resolved while all the others still waited");
}

/// Whether a healthy name was resolved while this many dead ones, all asked for, still waited.
async fn is_resolved_beside(count: usize) -> bool {
    let receiver = Receiver::start(answering(OK)).await;
    let names = NameServer::start(|name| match name {
        "healthy.test" => Said::Records(0, vec!["127.0.0.1"]),
        _ => Said::Nothing,
    })
    .await;
    let sender = Arc::new(names.set(AMPLE).sender());
    let port = receiver.address.port();
    let mut dead = JoinSet::new();
    for n in 0..count {
        let sender = sender.clone();
        dead.spawn(async move { post(&sender, &format!("http://n{n}.dead.test:{port}")).await });
    }
    let mut ended = Vec::new();
    while names.asked_dead() < count && ended.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        ended.extend(dead.try_join_next());
    }
    assert_eq!(status(&post(&sender, &format!("http://healthy.test:{port}")).await), Some(200));
    ended.extend(dead.try_join_next());
    let all_waited = ended.is_empty();
    for attempted in ended {
        assert_failed(&attempted.unwrap(), Reason::Timeout, "");
    }
    // By the attempt's limit or by the name servers' silence, whichever is first.
    for attempted in dead.join_all().await {
        assert_failed(&attempted, Reason::Timeout, "");
    }
    all_waited
}

#[tokio::test]
async fn a_name_server_that_gives_up_later_than_we_do_is_timeout() {
    let names = NameServer::start_with(|_, _| Said::Nothing).await;
    let set = names.set(Duration::from_secs(60));
    assert_failed(&set.post("https://a.example").await, Reason::Timeout, "no name server answered in time");
}

#[tokio::test]
async fn a_name_server_that_is_gone_is_replaced_by_the_next() {
    let receiver = Receiver::start(answering(OK)).await;
    let gone = NameServer::start_with(|_, _| Said::Nothing).await;
    let there = NameServer::start(|_| Said::Records(0, vec!["127.0.0.1"])).await;
    for servers in [[gone.address, there.address], [there.address, gone.address]] {
        let set = Set { lookup: Arc::new(Dns::of_servers(&servers, b"").unwrap()), ..Set::limit(AMPLE) };
        let sender = set.sender();
        for n in 0..5 {
            let url = format!("http://n{n}.test:{}", receiver.address.port());
            assert_eq!(status(&post(&sender, &url).await), Some(200));
        }
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_dns() {
    let names = NameServer::start_with(|name, _| match name {
        "none.test" => Said::Code(ResponseCode::NXDomain),
        "broken.test" => Said::Code(ResponseCode::ServFail),
        "refused.test" => Said::Code(ResponseCode::Refused),
        _ => Said::Records(60, vec![]),
    })
    .await;
    let set = names.set(AMPLE);
    assert_failed(&set.post("https://none.test").await, Reason::Dns, "no such name");
    assert_failed(&set.post("https://broken.test").await, Reason::Dns, "Server Failure");
    assert_failed(&set.post("https://refused.test").await, Reason::Dns, "Query Refused");
    assert_failed(&set.post("https://empty.test").await, Reason::Dns, "no address");
}

#[tokio::test]
async fn a_name_server_that_moves_a_name_inside_is_blocked_then() {
    let (outside, inside) = outside_and_inside().await;
    let asked = AtomicUsize::new(0);
    let names = NameServer::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Said::Records(0, vec!["127.0.0.1"]),
        _ => Said::Records(0, vec!["127.0.0.2"]),
    })
    .await;
    let sender = names.set(AMPLE).sender();
    let url = format!("http://a.example:{}", outside.address.port());
    assert_eq!(status(&post(&sender, &url).await), Some(200));
    assert_eq!(names.asked("a.example"), 1, "what was checked is what was dialled");
    assert_failed(&post(&sender, &url).await, Reason::Blocked, "loopback");
    assert_eq!((outside.connections(), inside.connections()), (1, 0));
}

#[tokio::test]
async fn a_name_with_a_forbidden_address_is_reached_at_its_others() {
    let (outside, inside) = outside_and_inside().await;
    let names = NameServer::start(|_| Said::Records(0, vec!["127.0.0.2", "10.0.0.1", "127.0.0.1"])).await;
    let attempted = names.set(AMPLE).post(&format!("http://a.example:{}", outside.address.port())).await;
    assert_eq!(status(&attempted), Some(200));
    assert_eq!((outside.connections(), inside.connections()), (1, 0));
}

/// One address of each kind that is not globally reachable, the clouds' own, and the loopback inside of other addresses.
const FORBIDDEN: [&str; 22] = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.2",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "192.168.0.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.2",
    "64:ff9b::7f00:2",
    "2001:0:7f00:2::",
    "2002:7f00:2::",
    "fd00:ec2::254",
    "fe80::1",
];

#[tokio::test]
async fn a_name_of_any_forbidden_address_is_blocked() {
    let (_, inside) = outside_and_inside().await;
    let names = NameServer::start_with(|name, family| {
        let number: usize = name.split_once('.').unwrap().0[1..].parse().unwrap();
        let is_ipv4 = FORBIDDEN[number].contains('.') && !FORBIDDEN[number].contains(':');
        let fits = is_ipv4 == (family == RecordType::A);
        Said::Records(60, if fits { vec![FORBIDDEN[number]] } else { vec![] })
    })
    .await;
    let set = names.set(AMPLE);
    for number in 0..FORBIDDEN.len() {
        let attempted = set.post(&format!("http://n{number}.test:{}", inside.address.port())).await;
        assert_failed(&attempted, Reason::Blocked, "deliveries may not use");
    }
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn an_alias_of_a_forbidden_address_is_blocked() {
    let (outside, inside) = outside_and_inside().await;
    let names = NameServer::start(|name| match name {
        "at-once.test" => Said::Records(60, vec!["inside.test", "127.0.0.2"]),
        "later.test" => Said::Records(60, vec!["inside.test"]),
        "inside.test" => Said::Records(60, vec!["127.0.0.2"]),
        "good.test" => Said::Records(60, vec!["outside.test", "127.0.0.1"]),
        _ => Said::Code(ResponseCode::NXDomain),
    })
    .await;
    let set = names.set(AMPLE);
    let port = outside.address.port();
    for host in ["at-once.test", "later.test"] {
        assert_failed(&set.post(&format!("http://{host}:{port}")).await, Reason::Blocked, "loopback");
    }
    assert_eq!(status(&set.post(&format!("http://good.test:{port}")).await), Some(200));
    assert_eq!((outside.connections(), inside.connections()), (1, 0));
}

/// The limit is less than a silent question lasts.
#[tokio::test]
async fn a_name_server_that_is_silent_about_ipv6_costs_nothing() {
    let receiver = Receiver::start(answering(OK)).await;
    let names = NameServer::start_with(|_, family| match family {
        RecordType::A => Said::Records(0, vec!["127.0.0.1"]),
        _ => Said::Nothing,
    })
    .await;
    let set = names.set(Duration::from_secs(3));
    assert_eq!(status(&set.post(&format!("http://a.example:{}", receiver.address.port())).await), Some(200));
}

#[tokio::test]
async fn an_answer_is_kept_as_long_as_it_says() {
    let receiver = Receiver::start(answering(OK)).await;
    let names = NameServer::start(|name| match name {
        "kept.test" => Said::Records(3600, vec!["127.0.0.1"]),
        _ => Said::Records(0, vec!["127.0.0.1"]),
    })
    .await;
    let sender = names.set(AMPLE).sender();
    for host in ["kept.test", "fleeting.test"] {
        for _ in 0..3 {
            assert_eq!(status(&post(&sender, &format!("http://{host}:{}", receiver.address.port())).await), Some(200));
        }
    }
    assert_eq!((names.asked("kept.test"), names.asked("fleeting.test")), (1, 3));
}

//! HTTP/1.1 or 2: what is spoken with whom.

use recadero::decide::attempt::{Answer, Reason};
use recadero::deliver::send::EgressProxy;

use super::receivers::{Receiver, Tls};
use super::{Set, assert_failed, post, to};

const HOST: &str = "receiver.example";
const BODY: &str = "{\"n\":1.0}";

fn believing(tls: &Tls) -> Set {
    let mut set = Set::lookup(to("127.0.0.1"));
    set.options.extra_roots = Some(tls.pem.clone().into_bytes());
    set
}

/// Sends three events, one after the other, and expects them over the protocol.
async fn assert_spoken(set: &Set, receiver: &Receiver, protocol: &str) {
    let sender = set.sender();
    for _ in 0..3 {
        let attempted = post(&sender, &receiver.https(HOST)).await;
        assert_eq!(attempted.answer, Answer::Status { status: 200, excerpt: protocol.to_owned() });
    }
    assert_eq!(receiver.requests(), [BODY; 3]);
}

#[tokio::test]
async fn http_1_is_spoken_wherever_it_can_be() {
    for protocols in [&[b"http/1.1".as_slice()] as &[&[u8]], &[b"h2", b"http/1.1"], &[b"http/1.1", b"h2"], &[]] {
        let tls = Tls::new(HOST, protocols);
        let receiver = Receiver::start_hyper(&tls).await;
        assert_spoken(&believing(&tls), &receiver, "HTTP/1.1").await;
        assert_eq!(receiver.connections(), 1, "the connection is kept");
    }
}

#[tokio::test]
async fn http_2_is_spoken_with_those_who_speak_nothing_else() {
    let tls = Tls::new(HOST, &[b"h2"]);
    let receiver = Receiver::start_hyper(&tls).await;
    assert_spoken(&believing(&tls), &receiver, "HTTP/2.0").await;
    assert_eq!(receiver.connections(), 2, "one that was refused, and one that is kept");
}

#[tokio::test]
async fn the_egress_proxy_changes_nothing_about_it() {
    for (protocols, spoken) in [(&[b"h2".as_slice(), b"http/1.1"] as &[&[u8]], "HTTP/1.1"), (&[b"h2"], "HTTP/2.0")] {
        let tls = Tls::new(HOST, protocols);
        let receiver = Receiver::start_hyper(&tls).await;
        let proxy = Receiver::start_proxy().await;
        let mut set = believing(&tls);
        set.options.egress_proxy = Some(EgressProxy::parse(&format!("http://{}", proxy.address)).unwrap());
        assert_spoken(&set, &receiver, spoken).await;
        assert!(proxy.connections() > 0);
    }
}

#[tokio::test]
async fn a_receiver_of_other_protocols_is_tls() {
    let tls = Tls::new(HOST, &[b"imap"]);
    let receiver = Receiver::start_hyper(&tls).await;
    assert_failed(&believing(&tls).post(&receiver.https(HOST)).await, Reason::Tls, "NoApplicationProtocol");
    assert_eq!(receiver.requests().len(), 0);
}

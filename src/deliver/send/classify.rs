//! Which [`Reason`] an error of the HTTP client is, and a line that helps the endpoint's owner.
//!
//! The client's own error says "error sending request"; what happened stands further down its chain of causes, so
//! the chain is walked and the first cause that we know decides. The URL never gets into the line (it may hold the
//! customer's secrets), nor an address that a name led to.

use std::error::Error;
use std::io;

use hyper_util::client::legacy;
use rustls::CertificateError;

use super::body::TooLate;
use super::excerpt::clean;
use crate::decide::attempt::Reason;
use crate::deliver::guard::resolve::ResolveError;

/// Longer details are cut: a certificate's names, for one, are the receiver's to choose.
const DETAIL_BYTES_MAX: usize = 300;

/// Names the reason and describes it in one line.
pub fn classify(error: &(dyn Error + 'static)) -> (Reason, String) {
    let (reason, detail) = known(error).unwrap_or_else(|| (Reason::Protocol, deepest(error)));
    let end = detail.len().min(DETAIL_BYTES_MAX);
    (reason, clean(&detail.as_bytes()[..end]))
}

fn known(error: &(dyn Error + 'static)) -> Option<(Reason, String)> {
    // The particular before the general: a refused certificate is also a failure to connect.
    if let Some(problem) = find::<ResolveError>(error) {
        return Some((of_name(problem), problem.to_string()));
    }
    if let Some(problem) = find::<TooLate>(error) {
        return Some((Reason::Timeout, problem.to_string()));
    }
    if let Some(problem) = find::<rustls::Error>(error) {
        return Some((Reason::Tls, tls(problem)));
    }
    if let Some(problem) = find::<legacy::Error>(error).filter(|problem| problem.is_connect()) {
        return Some(connect(problem));
    }
    // The innermost: hyper wraps the error of a connection in that of a request which waited for it.
    let last = chain(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>()).last();
    last.map(|problem| match problem.is_timeout() {
        true => (Reason::Timeout, "connected, but the server answers nothing any more".to_owned()),
        false => (Reason::Protocol, protocol(problem)),
    })
}

fn of_name(problem: &ResolveError) -> Reason {
    match problem {
        ResolveError::Blocked(_) => Reason::Blocked,
        ResolveError::Unresolved(why) if why.kind() == io::ErrorKind::TimedOut => Reason::Timeout,
        ResolveError::Unresolved(_) | ResolveError::NoAddress => Reason::Dns,
    }
}

fn tls(problem: &rustls::Error) -> String {
    match problem {
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS on this port".to_owned(),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the server's certificate is not accepted: its issuer is unknown, or an intermediate certificate is missing"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(why) => format!("the server's certificate is not accepted: {why}"),
        rustls::Error::AlertReceived(alert) => format!("the server refused the TLS connection: {alert:?}"),
        other => format!("TLS failed: {other}"),
    }
}

/// A connection that did not come to be. hyper-util wraps what went wrong with TCP (and with a proxy's tunnel) in
/// errors of its own, hyper-rustls hands an [`io::Error`] up as it is: then TCP stood, and the handshake ended.
fn connect(problem: &legacy::Error) -> (Reason, String) {
    if problem.source().is_some_and(|cause| cause.is::<io::Error>()) {
        return (Reason::Tls, format!("the connection ended during the TLS handshake: {}", deepest(problem)));
    }
    (Reason::Connect, format!("no connection: {}", deepest(problem)))
}

fn protocol(problem: &hyper::Error) -> String {
    if problem.is_parse_too_large() {
        "the response's headers are too large".to_owned()
    } else if problem.is_parse() {
        "what came back is not HTTP".to_owned()
    } else if problem.is_incomplete_message() {
        "the connection was closed before a status line".to_owned()
    } else {
        format!("the connection failed before a status line: {}", deepest(problem))
    }
}

/// The text of the last cause.
fn deepest(error: &(dyn Error + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}

/// The first cause of a type.
pub fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|cause| cause.downcast_ref())
}

/// An error and its causes, outermost first. An [`io::Error`] made from another error names that one's cause as its
/// own source, and would hide it, so it is asked for what is inside.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let next = |cause: &&'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> {
        let cause = *cause;
        match cause.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => cause.source(),
        }
    };
    std::iter::successors(Some(error), next).take(CAUSES_MAX)
}

/// How deep a chain is followed; real ones have about six.
const CAUSES_MAX: usize = 32;

//! The SMTP server that takes our e-mail on: its URL, and one message handed over.
//!
//! lettre's connection is used rather than its transport: that one gives up the whole message when a single recipient
//! is refused, so that one colleague who left would keep a notice from all others; and it waits for answers without a
//! limit. A connection per message: notices are rare, and one that was kept would often be found dead.

use std::fmt;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// The longest that handing over one message may take. With the goodbye it is less than the 15 s that the notifier gives a
/// sending, which must not be cut off after the server has the message.
const HAND_OVER_MAX: Duration = Duration::from_secs(13);

/// How long the server may take to say goodbye.
const QUIT_MAX: Duration = Duration::from_secs(1);

/// The longest piece of a server's words that is logged, in characters.
const WORDS_CHARS_MAX: usize = 300;

/// Where e-mail goes, and how: `RECADERO_SMTP_URL` in lettre's form. `Debug` does not show the credentials.
#[derive(Clone)]
pub struct Relay {
    host: String,
    port: u16,
    security: Security,
    hello: ClientId,
    credentials: Option<Credentials>,
}

#[derive(Clone)]
enum Security {
    /// Plain: for a relay on the same machine or network.
    None,
    /// STARTTLS where the server has it.
    Opportunistic(TlsParameters),
    /// STARTTLS or nothing.
    Required(TlsParameters),
    /// TLS from the first byte.
    Wrapped(TlsParameters),
}

/// Why a text is not a relay; never repeats it, since it may hold a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotARelay {
    /// Not a URL of this kind at all.
    #[error("is not an SMTP URL; write it like smtp://user:password@host:587?tls=required or smtps://host")]
    Form,
    /// An unknown `?tls=`, or another parameter.
    #[error("has an unknown parameter; tls=required and tls=opportunistic are for smtp://, and smtps:// has none")]
    Parameter,
    /// A name without a password, or the other way round.
    #[error("has a user without a password, or a password without a user; write both, or none")]
    Credentials,
    /// TLS cannot check a certificate for this host.
    #[error("has a host that no certificate can name")]
    Host,
}

impl Relay {
    /// Reads `smtp[s]://[user:password@]host[:port][/ehlo-name][?tls=required|opportunistic]`.
    pub fn parse(text: &str) -> Result<Self, NotARelay> {
        let url = Url::parse(text).map_err(|_| NotARelay::Form)?;
        let host = match url.host().ok_or(NotARelay::Form)? {
            Host::Domain(name) if !name.is_empty() => name.to_owned(),
            Host::Domain(_) => return Err(NotARelay::Form),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let parameters: Vec<_> = url.query_pairs().collect();
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        let (security, port) = match (url.scheme(), parameters.as_slice()) {
            ("smtp", []) => (Security::None, 25),
            ("smtp", [("tls", "required")]) => (Security::Required(tls(&host)?), 587),
            ("smtp", [("tls", "opportunistic")]) => (Security::Opportunistic(tls(&host)?), 587),
            ("smtps", []) => (Security::Wrapped(tls(&host)?), 465),
            ("smtp" | "smtps", _) => return Err(NotARelay::Parameter),
            _ => return Err(NotARelay::Form),
        };
        let hello = match url.path().trim_matches('/') {
            "" => ClientId::default(),
            name if name.contains('/') => return Err(NotARelay::Form),
            name => ClientId::Domain(name.to_owned()),
        };
        let credentials = credentials(&url)?;
        Ok(Self { host, port: url.port().unwrap_or(port), security, hello, credentials })
    }

    /// Hands one message over to all recipients that the server takes; `write` is given those that can be reached at
    /// all by this server. Answers with what was said of the others.
    ///
    /// # Errors
    ///
    /// One line, when nobody gets it, or when that is not known.
    pub async fn hand_over(
        &self,
        from: &Address,
        to: &[Address],
        write: impl FnOnce(&[Address]) -> Vec<u8>,
    ) -> Result<Vec<String>, String> {
        let handing = async {
            let mut connection = self.connect().await.map_err(one_line)?;
            let refused = transact(&mut connection, from, to, write).await?;
            Ok::<_, String>((connection, refused))
        };
        let late = |_| format!("{}:{} did not take it within {HAND_OVER_MAX:?}", self.host, self.port);
        let (mut connection, refused) = tokio::time::timeout(HAND_OVER_MAX, handing).await.map_err(late)??;
        // The message is taken; nothing that happens now may make it repeat.
        let _ = tokio::time::timeout(QUIT_MAX, connection.quit()).await;
        Ok(refused)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let address = (self.host.as_str(), self.port);
        let wrapper = if let Security::Wrapped(tls) = &self.security { Some(tls.clone()) } else { None };
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(HAND_OVER_MAX), &self.hello, wrapper, None).await?;
        match &self.security {
            Security::Required(tls) => connection.starttls(tls.clone(), &self.hello).await?,
            Security::Opportunistic(tls) if connection.can_starttls() => {
                connection.starttls(tls.clone(), &self.hello).await?;
            }
            Security::Opportunistic(_) | Security::None | Security::Wrapped(_) => {}
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Relay({}:{})", self.host, self.port)
    }
}

/// One message in one transaction: all recipients that are taken, or, where none is, an error.
async fn transact(
    connection: &mut AsyncSmtpConnection,
    from: &Address,
    to: &[Address],
    write: impl FnOnce(&[Address]) -> Vec<u8>,
) -> Result<Vec<String>, String> {
    let mut refused = Vec::new();
    let (mut reached, foreign) = to.iter().cloned().partition::<Vec<_>, _>(is_ascii);
    let mut parameters = Vec::new();
    if connection.server_info().supports_feature(Extension::SmtpUtfEight) && !foreign.is_empty() {
        reached.extend(foreign);
        parameters = vec![MailParameter::SmtpUtfEight, MailParameter::Body(MailBodyParameter::EightBitMime)];
    } else if !foreign.is_empty() {
        refused.push("the server does not take addresses beyond ASCII (SMTPUTF8)".to_owned());
    }
    connection.command(Mail::new(Some(from.clone()), parameters)).await.map_err(one_line)?;
    let mut taken = Vec::new();
    for address in reached {
        match connection.command(Rcpt::new(address.clone(), Vec::new())).await {
            Ok(_) => taken.push(address),
            // Only an answer is about the recipient; anything else is about the connection.
            Err(error) if error.status().is_some() => refused.push(one_line(error)),
            Err(error) => return Err(one_line(error)),
        }
    }
    if taken.is_empty() {
        return Err(refused.pop().unwrap_or_else(|| "there is no recipient".to_owned()));
    }
    connection.command(Data).await.map_err(one_line)?;
    connection.message(&write(&taken)).await.map_err(one_line)?;
    Ok(refused)
}

fn is_ascii(address: &Address) -> bool {
    AsRef::<str>::as_ref(address).is_ascii()
}

fn tls(host: &str) -> Result<TlsParameters, NotARelay> {
    // As for deliveries: the machine's certificates, or Mozilla's where it has none.
    let store = if rustls_native_certs::load_native_certs().certs.is_empty() {
        CertificateStore::WebpkiRoots
    } else {
        CertificateStore::Default
    };
    rustls::pki_types::ServerName::try_from(host).map_err(|_| NotARelay::Host)?;
    TlsParameters::builder(host.to_owned()).certificate_store(store).build().map_err(|_| NotARelay::Host)
}

fn credentials(url: &Url) -> Result<Option<Credentials>, NotARelay> {
    let decoded = |text: &str| {
        percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).map_err(|_| NotARelay::Credentials)
    };
    match (url.username(), url.password().unwrap_or_default()) {
        ("", "") => Ok(None),
        ("", _) | (_, "") => Err(NotARelay::Credentials),
        (user, password) => Ok(Some(Credentials::new(decoded(user)?, decoded(password)?))),
    }
}

/// What a server or the network said, fit for a line of the log.
fn one_line(error: Error) -> String {
    super::one_line(&error.to_string(), WORDS_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_read_in_lettres_form() {
        let port = |text| Relay::parse(text).map(|relay| relay.port);
        assert_eq!(port("smtp://mail.example.com"), Ok(25));
        assert_eq!(port("smtp://mail.example.com?tls=required"), Ok(587));
        assert_eq!(port("smtp://u:p%40ss@mail.example.com:2525/me.example.com?tls=opportunistic"), Ok(2525));
        assert_eq!(port("smtps://u:p@[::1]"), Ok(465));
        let relay = Relay::parse("smtp://u%40corp:p%40ss@[::1]:26/me.example.com").expect("a relay");
        assert_eq!(relay.credentials, Some(Credentials::new("u@corp".to_owned(), "p@ss".to_owned())));
        assert_eq!((relay.host.as_str(), relay.hello), ("::1", ClientId::Domain("me.example.com".to_owned())));
    }

    #[test]
    fn what_lettre_would_pass_over_or_find_out_later_is_refused() {
        for (text, why) in [
            ("mail.example.com:25", NotARelay::Form),
            ("http://mail.example.com", NotARelay::Form),
            ("smtp://", NotARelay::Form),
            ("smtp://h/a/b", NotARelay::Form),
            ("smtp://h?tls=yes", NotARelay::Parameter),
            ("smtp://h?tls=required&x=1", NotARelay::Parameter),
            ("smtps://h?tls=required", NotARelay::Parameter),
            ("smtp://user@h", NotARelay::Credentials),
            ("smtp://user:%ff@h", NotARelay::Credentials),
            ("smtps://a%20b", NotARelay::Host),
        ] {
            assert_eq!(Relay::parse(text).map(|_| ()), Err(why), "{text}");
        }
    }

    #[test]
    fn a_relay_shows_no_credentials() {
        let relay = Relay::parse("smtp://user:sw0rdfish@h:25").expect("a relay");
        assert_eq!(format!("{relay:?}"), "Relay(h:25)");
    }
}

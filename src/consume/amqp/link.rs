//! One connection to RabbitMQ: made when it is first needed, and again when it was lost.

use std::time::Duration;

use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::AmqpUrl;
use crate::consume::BrokerError;
use crate::consume::topology::{self, Topology};

/// Unless the URL says otherwise; a peer that is silent for twice as long is gone.
const HEARTBEAT_SECONDS: u16 = 10;
/// How long a connection, a channel or a declaration may take.
pub(super) const SETUP_WAIT_MAX: Duration = Duration::from_secs(10);

pub(super) struct Link {
    uri: AMQPUri,
    name: &'static str,
    needs: Needs,
    /// Whether what is missing is declared, or only checked.
    declare: bool,
    connection: Mutex<Option<Connection>>,
}

/// What has to exist before a connection is of use.
pub(super) enum Needs {
    Nothing,
    Outcomes,
    All(Topology),
}

impl Link {
    pub(super) fn new(url: &AmqpUrl, name: &'static str) -> Self {
        let mut uri = url.uri.clone();
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        Self { uri, name, needs: Needs::Nothing, declare: false, connection: Mutex::default() }
    }

    /// Declares or checks on every new connection, before anything else is done on it.
    pub(super) fn preparing(mut self, needs: Needs, declare: bool) -> Self {
        (self.needs, self.declare) = (needs, declare);
        self
    }

    pub(super) async fn connect(&self) -> Result<Connection, BrokerError> {
        let properties = ConnectionProperties::default().with_connection_name(self.name.into());
        within(async { Ok(Connection::connect_uri(self.uri.clone(), properties).await?) }).await
    }

    /// A new channel on the present connection, or on a new one.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        let mut present = self.connection.lock().await;
        if let Some(connection) = present.as_ref().filter(|connection| connection.status().connected()) {
            return within(async { Ok(connection.create_channel().await?) }).await;
        }
        *present = None;
        let connection = self.connect().await?;
        self.prepare_on(&connection).await?;
        let channel = within(async { Ok(connection.create_channel().await?) }).await;
        *present = Some(connection);
        channel
    }

    /// Whether RabbitMQ has stopped reading from this connection, because of an alarm, until that is over.
    pub(super) async fn blocked(&self) -> bool {
        self.connection.lock().await.as_ref().is_some_and(|connection| connection.status().blocked())
    }

    /// The largest frame that RabbitMQ takes on this connection, in bytes; 0 is no limit.
    pub(super) async fn frame_bytes_max(&self) -> usize {
        let present = self.connection.lock().await;
        present.as_ref().map_or(0, |connection| connection.configuration().frame_max() as usize)
    }

    /// Says goodbye to RabbitMQ, which logs a warning about those who do not.
    pub(super) async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            goodbye(&connection).await;
        }
    }

    /// Declares or checks once more on the present connection, if there is one.
    pub(super) async fn prepare(&self) -> Result<(), BrokerError> {
        match self.connection.lock().await.as_ref() {
            Some(connection) => self.prepare_on(connection).await,
            None => Ok(()),
        }
    }

    async fn prepare_on(&self, connection: &Connection) -> Result<(), BrokerError> {
        match &self.needs {
            Needs::Nothing => Ok(()),
            Needs::Outcomes => topology::prepare_outcomes(connection, self.declare).await,
            Needs::All(topology) => topology.prepare(connection, self.declare).await.map(drop),
        }
    }
}

/// Bounds what RabbitMQ has to answer soon.
pub(crate) async fn within<T>(answer: impl Future<Output = Result<T, BrokerError>>) -> Result<T, BrokerError> {
    timeout(SETUP_WAIT_MAX, answer).await.unwrap_or_else(|_| Err(silent(SETUP_WAIT_MAX)))
}

/// Closes a connection in good order, if it is still there.
pub(super) async fn goodbye(connection: &Connection) {
    let _ = within(async { Ok(connection.close(200, "OK".into()).await?) }).await;
}

pub(super) fn silent(waited: Duration) -> BrokerError {
    BrokerError::Unavailable(format!("no answer within {} s", waited.as_secs()))
}

impl From<lapin::Error> for BrokerError {
    fn from(error: lapin::Error) -> Self {
        let ErrorKind::ProtocolError(said) = error.kind() else { return Self::Unavailable(error.to_string()) };
        match said.kind() {
            AMQPErrorKind::Soft(
                AMQPSoftError::NOTFOUND
                | AMQPSoftError::ACCESSREFUSED
                | AMQPSoftError::PRECONDITIONFAILED
                | AMQPSoftError::RESOURCELOCKED,
            )
            | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED | AMQPHardError::COMMANDINVALID) => {
                Self::Refused(said.get_message().to_string())
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

//! A network that fails: stands between a process and a server, and loses what it is told to lose.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::rig::ports::Port;

/// The pause after what trickles.
const TRICKLE_PAUSE: Duration = Duration::from_millis(10);
/// The most bytes carried at once.
const BUFFER_BYTES: usize = 64 << 10;

/// How long the server gets to carry out what it was sent before the connection is gone.
const CARRIED_OUT: Duration = Duration::from_millis(5);

/// What becomes of the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// They arrive.
    Pass,
    /// What the process says is lost, and the connection stays.
    Deaf,
    /// What either says is lost, and connections stay; new ones too.
    BlackHole,
    /// So many bytes each way in ten milliseconds.
    Trickle(usize),
    /// After every so many packets of the process, one is passed on, its answer is lost, and the connection ends.
    LoseReplies(usize),
}

/// A proxy on a port of its own; it ends with this value.
pub struct Proxy {
    port: Port,
    mode: watch::Sender<Mode>,
    /// Changed to end all connections.
    epoch: watch::Sender<usize>,
    /// Where connections go, and whether they end with a reset.
    server: Arc<AtomicU16>,
    abrupt: Arc<AtomicBool>,
    cuts: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Rules {
    mode: watch::Receiver<Mode>,
    epoch: watch::Receiver<usize>,
    packets: Arc<AtomicUsize>,
    cuts: Arc<AtomicUsize>,
}

impl Proxy {
    /// Passes on to a port of 127.0.0.1.
    pub async fn to(server: u16) -> Self {
        let port = Port::take();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).await.unwrap();
        let (mode, epoch) = (watch::Sender::new(Mode::Pass), watch::Sender::new(0));
        let cuts = Arc::new(AtomicUsize::new(0));
        let (modes, epochs) = (mode.subscribe(), epoch.subscribe());
        let rules = Rules { mode: modes, epoch: epochs, packets: Arc::default(), cuts: cuts.clone() };
        let (server, abrupt) = (Arc::new(AtomicU16::new(server)), Arc::new(AtomicBool::default()));
        let (target, resets) = (server.clone(), abrupt.clone());
        let task = tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let (mut rules, resets) = (rules.clone(), resets.clone());
                rules.epoch.mark_unchanged();
                let server = target.load(Ordering::Relaxed);
                tokio::spawn(async move {
                    // A server that is away: the process sees its connection end.
                    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else { return };
                    let mut over = rules.epoch.clone();
                    tokio::select! {
                        biased;
                        _ = over.changed() => {}
                        _ = carry(&mut client, &mut server, &rules) => {}
                    }
                    if resets.load(Ordering::Relaxed) {
                        let _ = (client.set_zero_linger(), server.set_zero_linger());
                    }
                });
            }
        });
        Self { port, mode, epoch, server, abrupt, cuts, task }
    }

    /// Passes new connections on to another port.
    pub fn turn(&self, server: u16) {
        self.server.store(server, Ordering::Relaxed);
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Behaves otherwise from now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Ends all connections.
    pub fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Ends all connections with a reset, and later ones too.
    pub fn reset(&self) {
        self.abrupt.store(true, Ordering::Relaxed);
        self.cut();
    }

    /// How often connections were ended.
    pub fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Rules {
    /// How many bytes may be carried now; waits first where they trickle.
    async fn pace(&self) -> usize {
        let mode = *self.mode.borrow();
        let Mode::Trickle(bytes) = mode else { return BUFFER_BYTES };
        tokio::time::sleep(TRICKLE_PAUSE).await;
        bytes
    }
}

/// Until either side, or the mode, ends it.
async fn carry(client: &mut TcpStream, server: &mut TcpStream, rules: &Rules) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (silence, silent) = watch::channel(false);
    let requests = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let most = rules.pace().await;
            let count = from_client.read(&mut buffer[..most]).await?;
            if count == 0 {
                return std::io::Result::Ok(());
            }
            let mode = *rules.mode.borrow();
            match mode {
                Mode::Deaf | Mode::BlackHole => continue,
                Mode::LoseReplies(every) if rules.packets.fetch_add(1, Ordering::Relaxed) % every == every - 1 => {
                    silence.send_replace(true);
                    to_server.write_all(&buffer[..count]).await?;
                    tokio::time::sleep(CARRIED_OUT).await;
                    rules.cuts.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Mode::Pass | Mode::Trickle(_) | Mode::LoseReplies(_) => to_server.write_all(&buffer[..count]).await?,
            }
        }
    };
    let replies = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let most = rules.pace().await;
            let count = from_server.read(&mut buffer[..most]).await?;
            if count == 0 {
                return std::io::Result::Ok(());
            }
            if !*silent.borrow() && *rules.mode.borrow() != Mode::BlackHole {
                to_client.write_all(&buffer[..count]).await?;
            }
        }
    };
    tokio::select! {
        biased;
        ended = requests => ended,
        ended = replies => ended,
    }
}

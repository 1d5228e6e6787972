//! A TCP proxy on loopback that misbehaves when it is told to, while it runs.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// It arrives.
    Forward,
    /// Nothing arrives any more, in either direction, and nobody is told. What was held back is lost:
    /// such connections are cut when the mode changes.
    Swallow,
    /// New connections are closed at once; those that exist go on.
    Refuse,
}

/// The proxy. Ends, with its connections, when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    to: String,
    mode: AtomicU8,
    delay_ms: AtomicU64,
    ended: AtomicBool,
    /// What was sent, in both directions, if it is kept.
    kept: Option<Mutex<Vec<u8>>>,
    /// Client's and server's end.
    connections: Mutex<Vec<Link>>,
}

#[derive(Debug)]
struct Link {
    ends: [TcpStream; 2],
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Something that was sent is gone.
    torn: AtomicBool,
    /// How many directions have come to their end.
    ended: AtomicU8,
}

impl Proxy {
    /// Forwards to `host:port`.
    pub(crate) fn new(to: &str) -> Self {
        Self::of(to, None)
    }

    /// Likewise, and keeps all that is sent.
    pub(crate) fn keeping(to: &str) -> Self {
        Self::of(to, Some(Mutex::default()))
    }

    /// All that was sent so far.
    pub(crate) fn kept(&self) -> Vec<u8> {
        let kept = self.shared.kept.as_ref().expect("it keeps nothing");
        kept.lock().unwrap().clone()
    }

    fn of(to: &str, kept: Option<Mutex<Vec<u8>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            to: to.to_owned(),
            mode: AtomicU8::new(Mode::Forward as u8),
            delay_ms: AtomicU64::new(0),
            kept,
            ended: AtomicBool::new(false),
            connections: Mutex::new(Vec::new()),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                accepting.accept(client);
            }
        });
        Self { port, shared }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.shared.mode.store(mode as u8, Ordering::SeqCst);
        if mode != Mode::Swallow {
            self.shared
                .close(|link| link.state.torn.load(Ordering::SeqCst));
        }
    }

    /// Holds everything that is sent for so long, in each direction.
    pub(crate) fn delay_ms(&self, ms: u64) {
        self.shared.delay_ms.store(ms, Ordering::SeqCst);
    }

    /// Cuts all connections, whatever is on its way; answers how many there were.
    pub(crate) fn cut(&self) -> usize {
        self.shared.close(|_| true)
    }

    /// The server's side of all connections is closed towards the server: the server sees an end, the
    /// client does not yet.
    pub(crate) fn half_close(&self) {
        for link in self.shared.connections.lock().unwrap().iter() {
            link.ends[1].shutdown(Shutdown::Write).ok();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.cut();
        // The listener wakes up.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

impl Shared {
    fn is(&self, mode: Mode) -> bool {
        self.mode.load(Ordering::SeqCst) == mode as u8
    }

    fn close(&self, which: impl Fn(&Link) -> bool) -> usize {
        let mut connections = self.connections.lock().unwrap();
        let before = connections.len();
        connections.retain(|link| {
            let closing = which(link);
            if closing {
                for end in &link.ends {
                    end.shutdown(Shutdown::Both).ok();
                }
            }
            !closing
        });
        before - connections.len()
    }

    fn accept(self: &Arc<Self>, client: TcpStream) {
        if self.is(Mode::Refuse) {
            return;
        }
        let Ok(server) = TcpStream::connect(&self.to) else {
            return;
        };
        let state = Arc::new(State::default());
        for end in [&client, &server] {
            end.set_nodelay(true).unwrap();
        }
        let copy = |end: &TcpStream| end.try_clone().unwrap();
        let mut connections = self.connections.lock().unwrap();
        connections.retain(|link| link.state.ended.load(Ordering::SeqCst) < 2);
        connections.push(Link {
            ends: [copy(&client), copy(&server)],
            state: Arc::clone(&state),
        });
        drop(connections);
        for (from, to) in [(copy(&client), copy(&server)), (server, client)] {
            let (shared, state) = (Arc::clone(self), Arc::clone(&state));
            std::thread::spawn(move || shared.pump(from, to, &state));
        }
    }

    /// Carries one direction until it ends.
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, state: &State) {
        let torn = &state.torn;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = match from.read(&mut buffer) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            let delay_ms = self.delay_ms.load(Ordering::SeqCst);
            if delay_ms > 0 {
                std::thread::sleep(Duration::from_millis(delay_ms));
            }
            if torn.load(Ordering::SeqCst) || self.is(Mode::Swallow) {
                torn.store(true, Ordering::SeqCst);
                continue;
            }
            if let Some(kept) = &self.kept {
                kept.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        // An end is not told while nothing gets through.
        if !torn.load(Ordering::SeqCst) && !self.is(Mode::Swallow) {
            to.shutdown(Shutdown::Write).ok();
        }
        state.ended.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_proxy_does_what_it_is_told() {
    let echo = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = echo.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in echo.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut from, mut to) = (stream.try_clone().unwrap(), stream);
                std::io::copy(&mut from, &mut to)
            });
        }
    });
    let proxy = Proxy::new(&to);
    let connect = || TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    let answer = |stream: &mut TcpStream, wait_ms| {
        stream
            .set_read_timeout(Some(Duration::from_millis(wait_ms)))
            .unwrap();
        stream.write_all(b"hello").ok();
        let mut buffer = [0; 5];
        stream.read_exact(&mut buffer).map(|()| buffer)
    };
    let mut stream = connect();
    assert_eq!(&answer(&mut stream, 60_000).unwrap(), b"hello");
    proxy.delay_ms(5);
    assert_eq!(&answer(&mut stream, 60_000).unwrap(), b"hello");
    proxy.delay_ms(0);
    proxy.set(Mode::Refuse);
    assert_eq!(&answer(&mut stream, 60_000).unwrap(), b"hello");
    assert!(answer(&mut connect(), 60_000).is_err());
    proxy.set(Mode::Swallow);
    let silent = answer(&mut stream, 50).unwrap_err().kind();
    assert!(
        matches!(silent, ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{silent}"
    );
    proxy.set(Mode::Forward);
    // What was swallowed does not come later.
    let ended = answer(&mut stream, 60_000).unwrap_err().kind();
    assert!(
        !matches!(ended, ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{ended}"
    );
    let mut stream = connect();
    assert_eq!(&answer(&mut stream, 60_000).unwrap(), b"hello");
    proxy.half_close();
    assert!(answer(&mut stream, 60_000).is_err());
    let mut stream = connect();
    assert_eq!(&answer(&mut stream, 60_000).unwrap(), b"hello");
    assert!(proxy.cut() >= 1);
    assert!(answer(&mut stream, 60_000).is_err());
}

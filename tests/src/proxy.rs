//! A TCP proxy that can be made to fail: the network's faults on one machine.
//!
//! Clients of a server that is told the proxy's port ([`crate::kafka::Broker::behind`]) cannot go round it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What is taken from a connection at once: with a delay for each, the bandwidth shrinks too.
const CHUNK_BYTES: usize = 32 << 10;

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// All is well.
    Fair,
    /// Everything takes so much longer, each way.
    Slow(Duration),
    /// Connections stay, and nothing comes through.
    Stalled,
    /// Connections are closed, and new ones at once.
    Cut,
}

/// A proxy on a port of the loopback; its threads end with the process.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    weather: Weather,
    /// Where to; nobody is let in before it is known.
    target: Option<u16>,
    connections: Vec<TcpStream>,
}

impl Proxy {
    /// A proxy that leads nowhere yet.
    ///
    /// # Errors
    /// Where there is no free port.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let state = State { weather: Weather::Fair, target: None, connections: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let serving = Arc::clone(&shared);
        thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            for client in listener.incoming().flatten() {
                // One that cannot be served is closed, which is what a client of a dead server sees.
                let _ = Shared::serve(&serving, client);
            }
        })?;
        Ok(Self { port, shared })
    }

    /// Where it listens, on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets connections through to this port of the loopback.
    pub fn lead_to(&self, port: u16) {
        self.shared.lock().target = Some(port);
    }

    /// Changes how the network is.
    pub fn set(&self, weather: Weather) {
        let mut state = self.shared.lock();
        state.weather = weather;
        if weather == Weather::Cut {
            for connection in state.connections.drain(..) {
                // It may be closed already.
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(this: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        let target = {
            let state = this.lock();
            state.target.filter(|_| state.weather != Weather::Cut).ok_or(io::ErrorKind::ConnectionRefused)?
        };
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target))?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
        }
        let mut state = this.lock();
        state.connections.retain(|connection| connection.peer_addr().is_ok());
        state.connections.extend([client.try_clone()?, server.try_clone()?]);
        drop(state);
        for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
            let shared = Arc::clone(this);
            thread::Builder::new().name("proxy-pump".to_owned()).spawn(move || shared.pump(from, to))?;
        }
        Ok(())
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            self.endure();
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        for stream in [from, to] {
            // The other direction may have closed it.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits as long as the weather makes a packet wait.
    fn endure(&self) {
        let mut state = self.lock();
        while state.weather == Weather::Stalled {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let weather = state.weather;
        drop(state);
        if let Weather::Slow(delay) = weather {
            thread::sleep(delay);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// A server that says back what it hears.
    fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                thread::spawn(move || io::copy(&mut client.try_clone().unwrap(), &mut client));
            }
        });
        port
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap()
    }

    fn says_back(stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(b"hello")?;
        let mut heard = [0; 5];
        stream.read_exact(&mut heard)?;
        assert_eq!(&heard, b"hello");
        Ok(())
    }

    #[test]
    fn it_passes_on_slows_down_holds_back_and_cuts() {
        let proxy = Proxy::start().unwrap();
        proxy.lead_to(echo());
        let mut stream = connect(&proxy);
        says_back(&mut stream).unwrap();

        proxy.set(Weather::Slow(Duration::from_millis(60)));
        let begun = Instant::now();
        says_back(&mut stream).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(120));

        proxy.set(Weather::Stalled);
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(says_back(&mut stream).is_err());
        proxy.set(Weather::Fair);
        stream.set_read_timeout(None).unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();

        proxy.set(Weather::Cut);
        assert!(says_back(&mut stream).is_err());
        assert!(says_back(&mut connect(&proxy)).is_err());
        proxy.set(Weather::Fair);
        says_back(&mut connect(&proxy)).unwrap();
    }
}

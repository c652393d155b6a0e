//! What the loaded avatar takes, as VRChat itself tells it by OSCQuery.
//!
//! VRChat announces a small web server by mDNS (`VRChat-Client-…._oscjson._tcp`). Its tree at `/avatar` names every
//! parameter, `?HOST_INFO` the port for OSC. We announce a server of the same kind, whose tree has nothing but a writable
//! `/avatar/change`: to that VRChat sends a message when another avatar is put on. It does not always find us (it looks
//! for us at the network's address whatever we say), and so it is also asked every few seconds.
//!
//! All of it happens on a thread of its own. What it finds is laid down for the encoder, which takes it at its next
//! sample, and gives back what it no longer needs, so that nothing is freed on the sink's thread.

use super::super::SinkError;
use super::super::listen::{self, would_block};
use super::avatar::Avatar;
use super::http;
use super::tree;
use crate::clock::MonoTime;
use crossbeam_queue::ArrayQueue;
use mdns_sd::{IfKind, ServiceDaemon, ServiceEvent, ServiceInfo};
use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

const QUERY_SERVICE: &str = "_oscjson._tcp.local.";
const OSC_SERVICE: &str = "_osc._udp.local.";
/// How VRChat's own services are called.
const VRCHAT: &str = "VRChat-Client-";
const BELL: Token = Token(0);
const WEB: Token = Token(1);
const OSC: Token = Token(2);
/// How often mDNS's answers are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How often VRChat is asked which avatar it is, and how often at most.
const ASK: Duration = Duration::from_secs(5);
const ASK_AT_MOST: Duration = Duration::from_millis(250);
/// Datagrams and connections looked at in one round.
const ROUND: usize = 64;

/// Where VRChat is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Discovery {
    /// Nowhere.
    #[default]
    Off,
    /// On this machine's loopback interface alone.
    Loopback,
    /// On the network's interfaces too, where VRChat announces itself even to its own machine.
    Network,
}

/// What was found out.
pub(super) struct Find {
    pub avatar: Avatar,
    /// Where VRChat takes OSC.
    pub target: SocketAddr,
}

struct Shared {
    found: ArrayQueue<Find>,
    spent: ArrayQueue<Avatar>,
    is_closing: AtomicBool,
    bell: Waker,
}

/// The encoder's end.
pub(super) struct Search {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    listens_on: [SocketAddr; 2],
}

impl Search {
    /// Begins to look. `trusted`: the address that the configuration names, beside this machine.
    ///
    /// # Errors
    /// The system gives no socket or no thread.
    pub fn begin(discovery: Discovery, trusted: IpAddr) -> Result<Self, SinkError> {
        let failed = |source: io::Error| SinkError::Thread { output: "vrchat", source };
        let own = if discovery == Discovery::Network { "0.0.0.0:0" } else { "127.0.0.1:0" };
        let (web, web_address) = listen::tcp(own, 0)?;
        let (osc, osc_address) = listen::udp_polled(own, 0)?;
        let poll = Poll::new().map_err(failed)?;
        let shared = Arc::new(Shared {
            found: ArrayQueue::new(1),
            spent: ArrayQueue::new(4),
            is_closing: AtomicBool::new(false),
            bell: Waker::new(poll.registry(), BELL).map_err(failed)?,
        });
        let mut seeker = Seeker {
            shared: Arc::clone(&shared),
            poll,
            web: TcpListener::from_std(web),
            osc: UdpSocket::from_std(osc),
            page: http::Page::new(&own_name(), osc_address),
            client: http::client(),
            discovery,
            trusted,
            vrchat: None,
            avatar: None,
            ask_at: MonoTime::default(),
            was_told: false,
        };
        let ports = [web_address.port(), osc_address.port()];
        let run = move || {
            if let Err(problem) = seeker.run(ports) {
                tracing::error!("VRChat cannot be looked for by OSCQuery: {problem}");
            }
        };
        let thread = Builder::new().name("ft-vrchat".to_owned()).spawn(run).map_err(failed)?;
        Ok(Self { shared, thread: Some(thread), listens_on: [web_address, osc_address] })
    }

    /// Where our web server and our OSC port are.
    pub fn listens_on(&self) -> [SocketAddr; 2] {
        self.listens_on
    }

    /// What was found out since the last call.
    pub fn take(&self) -> Option<Find> {
        self.shared.found.pop()
    }

    /// Hands back what is no longer needed, to be freed elsewhere.
    pub fn give_back(&self, avatar: Avatar) {
        self.shared.spent.force_push(avatar);
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.shared.is_closing.store(true, Ordering::Release);
        if let Err(error) = self.shared.bell.wake() {
            tracing::debug!("the search for VRChat ends a moment later: {error}");
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the search for VRChat had panicked; please report this with the lines above");
        }
    }
}

/// Unique on this machine, as names of services must be.
fn own_name() -> String {
    format!("facetrackd-{:06X}", std::process::id())
}

/// Where a VRChat is.
struct Vrchat {
    service: String,
    web: SocketAddr,
}

struct Seeker {
    shared: Arc<Shared>,
    poll: Poll,
    web: TcpListener,
    osc: UdpSocket,
    page: http::Page,
    client: ureq::Agent,
    discovery: Discovery,
    trusted: IpAddr,
    vrchat: Option<Vrchat>,
    /// The avatar whose parameters were handed over last.
    avatar: Option<String>,
    ask_at: MonoTime,
    /// Whether the log has been told of the present trouble.
    was_told: bool,
}

/// Why there is nothing to look with.
type Trouble = Box<dyn std::error::Error>;

impl Seeker {
    fn run(&mut self, [web_port, osc_port]: [u16; 2]) -> Result<(), Trouble> {
        self.poll.registry().register(&mut self.web, WEB, Interest::READABLE)?;
        self.poll.registry().register(&mut self.osc, OSC, Interest::READABLE)?;
        let mdns = ServiceDaemon::new()?;
        if self.discovery == Discovery::Loopback {
            mdns.disable_interface(IfKind::All)?;
            mdns.enable_interface(IfKind::LoopbackV4)?;
        } else {
            mdns.disable_interface(IfKind::IPv6)?;
        }
        mdns.register(self.service(QUERY_SERVICE, web_port)?)?;
        mdns.register(self.service(OSC_SERVICE, osc_port)?)?;
        let services = mdns.browse(QUERY_SERVICE)?;
        let mut events = Events::with_capacity(16);
        while !self.shared.is_closing.load(Ordering::Acquire) {
            match self.poll.poll(&mut events, Some(LOOK)) {
                Err(error) if !would_block(&error) => return Err(error.into()),
                _ => {}
            }
            while self.shared.spent.pop().is_some() {}
            let now = MonoTime::now();
            if events.iter().any(|e| e.token() == WEB) {
                self.answer()?;
            }
            if events.iter().any(|e| e.token() == OSC) && self.hears_of_change()? {
                self.avatar = None;
                self.ask_at = self.ask_at.min(now + ASK_AT_MOST);
            }
            while let Ok(event) = services.try_recv() {
                self.notice(&event);
            }
            if now >= self.ask_at {
                self.ask_at = now + ASK;
                self.ask();
            }
        }
        // Its goodbye to the network is sent by its own thread; it has until the program ends.
        mdns.shutdown()?;
        Ok(())
    }

    fn service(&self, kind: &str, port: u16) -> Result<ServiceInfo, mdns_sd::Error> {
        let (name, host) = (own_name(), format!("{}.local.", own_name()));
        let properties: [(&str, &str); 1] = [("txtvers", "1")];
        let local = if self.discovery == Discovery::Network { "" } else { "127.0.0.1" };
        let info = ServiceInfo::new(kind, &name, &host, local, port, &properties[..])?;
        Ok(if self.discovery == Discovery::Network { info.enable_addr_auto() } else { info })
    }

    fn answer(&mut self) -> io::Result<()> {
        for _ in 0..ROUND {
            match self.web.accept() {
                Ok((stream, from)) => {
                    if let Err(error) = self.page.answer(stream.into()) {
                        tracing::debug!(%from, "a request was not answered: {error}");
                    }
                }
                Err(error) if would_block(&error) => return Ok(()),
                Err(error) => {
                    tracing::debug!("a connection was lost: {error}");
                    break;
                }
            }
        }
        self.poll.registry().reregister(&mut self.web, WEB, Interest::READABLE)
    }

    /// Reads what came by OSC; whether another avatar was put on.
    fn hears_of_change(&mut self) -> io::Result<bool> {
        let (mut bytes, mut heard) = ([0; 2048], false);
        for _ in 0..ROUND {
            match self.osc.recv_from(&mut bytes) {
                Ok((n, _)) => heard |= is_avatar_change(&bytes[..n]),
                Err(error) if would_block(&error) => return Ok(heard),
                Err(_) => {}
            }
        }
        self.poll.registry().reregister(&mut self.osc, OSC, Interest::READABLE)?;
        Ok(heard)
    }

    fn notice(&mut self, event: &ServiceEvent) {
        match event {
            ServiceEvent::ServiceResolved(service) if service.get_fullname().starts_with(VRCHAT) => {
                let is_trusted = |ip: &IpAddr| ip.is_loopback() || *ip == self.trusted;
                let mut addresses = service.get_addresses().iter().map(mdns_sd::ScopedIp::to_ip_addr);
                let Some(ip) = addresses.find(is_trusted) else {
                    tracing::debug!("{} is another machine's", service.get_fullname());
                    return;
                };
                let web = SocketAddr::new(ip, service.get_port());
                if self.vrchat.as_ref().is_none_or(|known| known.web != web) {
                    tracing::info!(%web, "VRChat is found");
                    self.vrchat = Some(Vrchat { service: service.get_fullname().to_owned(), web });
                    (self.avatar, self.ask_at) = (None, MonoTime::default());
                }
            }
            ServiceEvent::ServiceRemoved(_, name)
                if self.vrchat.as_ref().is_some_and(|v| v.service == *name) =>
            {
                tracing::info!("VRChat is gone");
                self.vrchat = None;
            }
            _ => {}
        }
    }

    /// Asks VRChat for its avatar, and for the parameters where it is another than before.
    fn ask(&mut self) {
        let Some(vrchat) = &self.vrchat else { return };
        match self.ask_at_web(vrchat.web) {
            Ok(Some((avatar, find))) => {
                tracing::info!(avatar, "the avatar takes {} parameters of a face", find.avatar.len());
                (self.avatar, self.was_told) = (Some(avatar), false);
                // One that was not taken yet is out of date.
                self.shared.found.force_push(find);
            }
            Ok(None) => self.was_told = false,
            Err(problem) if self.was_told => tracing::debug!("VRChat does not tell its avatar: {problem}"),
            Err(problem) => {
                tracing::warn!("VRChat does not tell its avatar: {problem}; it is asked again");
                self.was_told = true;
            }
        }
    }

    fn ask_at_web(&self, web: SocketAddr) -> Result<Option<(String, Find)>, Trouble> {
        let id = tree::value_of_change(&http::get(&self.client, web, "/avatar/change")?)?;
        if self.avatar.as_ref() == Some(&id) {
            return Ok(None);
        }
        let port = tree::osc_port(&http::get(&self.client, web, "/?HOST_INFO")?)?;
        let avatar = Avatar::new(&tree::inputs(&http::get(&self.client, web, "/avatar")?)?);
        Ok(Some((id, Find { avatar, target: SocketAddr::new(web.ip(), port) })))
    }
}

/// Whether a datagram is, or begins with, the message that another avatar was put on.
pub(super) fn is_avatar_change(datagram: &[u8]) -> bool {
    const ADDRESS: &[u8] = b"/avatar/change\0";
    // A bundle's head is sixteen bytes, and four say how long its first message is.
    let message =
        if datagram.starts_with(b"#bundle\0") { datagram.get(20..).unwrap_or(&[]) } else { datagram };
    message.starts_with(ADDRESS)
}

/// The address that stands for this machine where the configuration names none.
pub(super) const THIS_MACHINE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_message_of_a_change_is_one() {
        assert!(is_avatar_change(b"/avatar/change\0\0,s\0\0avtr_1\0\0"));
        let bundle =
            [&b"#bundle\0\0\0\0\0\0\0\0\x01\0\0\0\x18"[..], b"/avatar/change\0\0,s\0\0avtr_1\0\0"].concat();
        assert!(is_avatar_change(&bundle));
        for other in
            [&b""[..], b"#bundle\0", b"/avatar/change", b"/avatar/changes\0", b"/avatar/parameters/x\0\0"]
        {
            assert!(!is_avatar_change(other), "{other:?}");
        }
    }
}

//! One thread, one poll, any number of clients; nothing in it waits for one of them.
//!
//! A client is sent the next sample when it has answered the pings that went with earlier ones ([`IN_FLIGHT_MAX`]).
//! Without that, a slow client's samples would pile up in the kernel's buffers, and it would see seconds-old faces.
//! Whatever a client does wrong (too much, too large, too slow, not websocket) ends its connection and nothing else.

use super::super::listen::would_block;
use super::super::service::{BELL, Batch, Ears};
use super::{origin, text};
use crate::clock::MonoTime;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Registry, Token};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;
use tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tungstenite::handshake::{HandshakeError, MidHandshake};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Bytes, Error, Message, ServerHandshake, Utf8Bytes, WebSocket, http};

const LISTENER: Token = Token(1);
/// Token of the first client; the others follow.
const CLIENTS_FROM: usize = 2;
/// Samples a client has been sent and has not said to have received.
const IN_FLIGHT_MAX: u64 = 4;
/// Clients have nothing to say; this is room for their pongs and a polite goodbye.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Bytes that a client may send between two looks at it. More is a flood.
const ROUND_BYTES_MAX: usize = 64 * 1024;
/// How often deadlines are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How long clients may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From the connection to the end of the handshake.
    pub handshake: Duration,
    /// For taking what it was sent.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { handshake: Duration::from_secs(5), stall: Duration::from_secs(10) }
    }
}

/// Lets a program in, a page only of an allowed origin.
struct Doorman(Arc<[String]>);

impl Callback for Doorman {
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        // Two origins would leave it open which of them is looked at.
        let mut origins = request.headers().get_all(http::header::ORIGIN).iter();
        let allowed = match (origins.next().map(http::HeaderValue::to_str), origins.next()) {
            (None, _) => true,
            (Some(Ok(origin)), None) => origin::is_local(origin) || self.0.iter().any(|o| o == origin),
            _ => false,
        };
        if allowed {
            return Ok(response);
        }
        tracing::warn!(origin = ?request.headers().get(http::header::ORIGIN), "a web page from elsewhere was refused; `origins` would allow it");
        let mut refusal = ErrorResponse::new(Some("this origin is not allowed\n".to_owned()));
        *refusal.status_mut() = http::StatusCode::FORBIDDEN;
        Err(refusal)
    }
}

/// A connection that gives at most [`ROUND_BYTES_MAX`] bytes before it is looked at anew.
struct Metered {
    stream: TcpStream,
    left: usize,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the client floods"));
        }
        let n = buffer.len().min(self.left);
        let got = self.stream.read(&mut buffer[..n])?;
        self.left -= got;
        Ok(got)
    }
}

impl Write for Metered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

type Handshake = MidHandshake<ServerHandshake<Metered, Doorman>>;

enum State {
    Greeting(Handshake),
    Open(WebSocket<Metered>),
}

struct Client {
    state: State,
    /// When it is given up unless it gets on.
    deadline: MonoTime,
    /// Samples it was sent, and how many of them it said to have received.
    sent: u64,
    received: u64,
    /// Number of the last.
    has: u64,
    /// Bytes of the last samples are still ours to write.
    is_stuck: bool,
}

/// A client that is of no further use.
struct Gone;

/// The serving end.
pub(super) struct Server {
    ears: Ears,
    listener: TcpListener,
    origins: Arc<[String]>,
    limits: Limits,
    clients: Vec<Option<Client>>,
    newest: Utf8Bytes,
    /// Counts samples that were put into words.
    number: u64,
}

impl Server {
    /// # Errors
    /// The system cannot watch the listener.
    pub fn new(
        ears: Ears,
        listener: std::net::TcpListener,
        origins: Vec<String>,
        clients_max: usize,
        limits: Limits,
    ) -> io::Result<Self> {
        let mut listener = TcpListener::from_std(listener);
        ears.poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let mut clients = Vec::new();
        clients.resize_with(clients_max, || None);
        Ok(Self {
            ears,
            listener,
            origins: origins.into(),
            limits,
            clients,
            newest: Utf8Bytes::default(),
            number: 0,
        })
    }

    /// Serves until the output is closed.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(64);
        while !self.ears.is_closing() {
            if let Err(error) = self.ears.poll.poll(&mut events, Some(LOOK))
                && !would_block(&error)
            {
                tracing::error!("the websocket output serves nobody any more: {error}");
                return;
            }
            let now = MonoTime::now();
            for event in &events {
                match event.token() {
                    BELL => {}
                    LISTENER => self.accept(now),
                    Token(n) => self.attend(n - CLIENTS_FROM, now),
                }
            }
            if let Some(batch) = self.ears.newest() {
                self.tell(&batch, now);
            }
            self.give_up_on_the_late(now);
        }
        for client in self.clients.iter_mut().flatten() {
            client.say_goodbye();
        }
    }

    fn accept(&mut self, now: MonoTime) {
        // As many as can be served, then the next look: a crowd at the door keeps nobody from their samples.
        for _ in 0..=self.clients.len() {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if would_block(&error) => return,
                Err(error) => return tracing::warn!("a websocket client could not connect: {error}"),
            };
            let Some(place) = self.clients.iter().position(Option::is_none) else {
                tracing::warn!("a websocket client was turned away: {} are here already", self.clients.len());
                continue;
            };
            let token = Token(CLIENTS_FROM + place);
            let deadline = now + self.limits.handshake;
            match Client::greet(stream, token, self.ears.poll.registry(), Arc::clone(&self.origins), deadline)
            {
                Ok(client) => self.clients[place] = Some(client),
                Err(error) => tracing::warn!("a websocket client could not connect: {error}"),
            }
        }
        // More may wait; asking to be told again tells so at once.
        let again = self.ears.poll.registry().reregister(&mut self.listener, LISTENER, Interest::READABLE);
        again.unwrap_or_else(|error| tracing::warn!("no further websocket clients are heard: {error}"));
    }

    fn attend(&mut self, place: usize, now: MonoTime) {
        let Some(client) = self.clients[place].take() else { return };
        let Ok(mut client) = client.listen(now, self.limits.stall) else { return };
        if self.offer(&mut client, now).is_ok() {
            self.clients[place] = Some(client);
        }
    }

    /// Puts a sample into words, once for all, and offers it to everybody.
    fn tell(&mut self, batch: &Batch, now: MonoTime) {
        if !self.clients.iter().flatten().any(|c| matches!(c.state, State::Open(_))) {
            return;
        }
        match text(batch) {
            Ok(text) => self.newest = text.into(),
            Err(error) => return tracing::error!("a sample could not be put into JSON: {error}"),
        }
        self.number += 1;
        for place in 0..self.clients.len() {
            let Some(mut client) = self.clients[place].take() else { continue };
            if self.offer(&mut client, now).is_ok() {
                self.clients[place] = Some(client);
            }
        }
    }

    /// Sends the newest sample to a client that is ready for it and does not have it.
    fn offer(&self, client: &mut Client, now: MonoTime) -> Result<(), Gone> {
        let State::Open(socket) = &mut client.state else { return Ok(()) };
        if client.is_stuck || client.sent - client.received >= IN_FLIGHT_MAX || client.has == self.number {
            return Ok(());
        }
        if client.sent == client.received {
            client.deadline = now + self.limits.stall;
        }
        (client.sent, client.has) = (client.sent + 1, self.number);
        let ping = Bytes::copy_from_slice(&client.sent.to_be_bytes());
        // What cannot be written now is kept, and so both go in any case.
        is_through(socket.write(Message::Text(self.newest.clone())))?;
        is_through(socket.write(Message::Ping(ping)))?;
        client.is_stuck = !is_through(socket.flush())?;
        self.ears.count_sent(self.newest.len());
        Ok(())
    }

    fn give_up_on_the_late(&mut self, now: MonoTime) {
        for place in &mut self.clients {
            if place.as_ref().is_some_and(|c| c.is_late(now)) {
                *place = None;
                self.ears.count_failed();
            }
        }
    }
}

impl Client {
    fn greet(
        mut stream: TcpStream,
        token: Token,
        registry: &Registry,
        origins: Arc<[String]>,
        deadline: MonoTime,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(MESSAGE_BYTES_MAX)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let stream = Metered { stream, left: ROUND_BYTES_MAX };
        let state = State::Greeting(ServerHandshake::start(stream, Doorman(origins), Some(config)));
        Ok(Self { state, deadline, sent: 0, received: 0, has: 0, is_stuck: false })
    }

    fn listen(mut self, now: MonoTime, stall: Duration) -> Result<Self, Gone> {
        self.state = match self.state {
            State::Greeting(mut handshake) => {
                handshake.get_mut().get_mut().left = ROUND_BYTES_MAX;
                match handshake.handshake() {
                    Ok(socket) => State::Open(socket),
                    Err(HandshakeError::Interrupted(handshake)) => State::Greeting(handshake),
                    Err(HandshakeError::Failure(error)) => {
                        tracing::debug!("a websocket client's handshake failed: {error}");
                        return Err(Gone);
                    }
                }
            }
            open @ State::Open(_) => open,
        };
        let State::Open(socket) = &mut self.state else { return Ok(self) };
        socket.get_mut().left = ROUND_BYTES_MAX;
        loop {
            match socket.read() {
                Ok(Message::Pong(number)) => {
                    // Only what was sent can have been received.
                    let number = number.as_ref().try_into().map_or(0, u64::from_be_bytes);
                    if number > self.received && number <= self.sent {
                        self.received = number;
                        self.deadline = now + stall;
                    }
                }
                Ok(_) => {}
                Err(Error::Io(error)) if would_block(&error) => break,
                Err(error) => {
                    tracing::debug!("a websocket client is gone: {error}");
                    return Err(Gone);
                }
            }
        }
        if self.is_stuck {
            self.is_stuck = !is_through(socket.flush())?;
        }
        Ok(self)
    }

    fn is_late(&self, now: MonoTime) -> bool {
        let waits = match self.state {
            State::Greeting(_) => true,
            State::Open(_) => self.sent != self.received,
        };
        waits && now > self.deadline
    }

    fn say_goodbye(&mut self) {
        if let State::Open(socket) = &mut self.state
            && let Err(error) = socket.close(None)
        {
            tracing::debug!("a websocket client did not hear goodbye: {error}");
        }
    }
}

/// Whether all bytes were written; false where the rest has to wait.
fn is_through(result: tungstenite::Result<()>) -> Result<bool, Gone> {
    match result {
        Ok(()) => Ok(true),
        Err(Error::Io(error)) if would_block(&error) => Ok(false),
        Err(error) => {
            tracing::debug!("a websocket client is gone: {error}");
            Err(Gone)
        }
    }
}

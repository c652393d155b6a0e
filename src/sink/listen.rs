//! Sockets that others send to. They are this machine's alone unless the configuration says otherwise.

use super::SinkError;
use super::udp::find;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

/// Listens for connections on `address` (`HOST` or `HOST:PORT`; port 0 takes any). Non-blocking.
///
/// # Errors
/// The name cannot be resolved, or the port is taken.
pub(super) fn tcp(address: &str, default_port: u16) -> Result<(TcpListener, SocketAddr), SinkError> {
    let failed = |source| SinkError::Listen { address: address.to_owned(), source };
    let wanted = find(address, default_port)?;
    let listener = TcpListener::bind(wanted).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let own = listener.local_addr().map_err(failed)?;
    warn_of(own);
    Ok((listener, own))
}

/// Takes datagrams on `address` (`HOST` or `HOST:PORT`; port 0 takes any).
///
/// # Errors
/// The name cannot be resolved, or the port is taken.
pub(super) fn udp(address: &str, default_port: u16) -> Result<(UdpSocket, SocketAddr), SinkError> {
    let failed = |source| SinkError::Listen { address: address.to_owned(), source };
    let socket = UdpSocket::bind(find(address, default_port)?).map_err(failed)?;
    let own = socket.local_addr().map_err(failed)?;
    warn_of(own);
    Ok((socket, own))
}

/// As [`udp`], but never waiting.
///
/// # Errors
/// As [`udp`].
pub(super) fn udp_polled(address: &str, default_port: u16) -> Result<(UdpSocket, SocketAddr), SinkError> {
    let (socket, own) = udp(address, default_port)?;
    let failed = |source| SinkError::Listen { address: address.to_owned(), source };
    socket.set_nonblocking(true).map_err(failed)?;
    Ok((socket, own))
}

fn warn_of(own: SocketAddr) {
    if !own.ip().is_loopback() {
        tracing::warn!("listening on {own}: whoever reaches this machine can read the faces it tracks");
    }
}

/// Whether a call on a non-blocking socket only has nothing to do now.
pub(super) fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

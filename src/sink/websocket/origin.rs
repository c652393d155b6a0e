//! Which web pages may read a face.
//!
//! A browser says in `Origin` whose page opens the connection, and pages cannot change that. Programs send none.

use std::net::IpAddr;

/// Whether a page of `origin` is this machine's own: served by it, or a file on it.
///
/// `null` is not: a page from anywhere can make itself one by putting its script into a sandboxed frame. Chromium calls
/// files `file://`; a browser that calls them `null` needs a server, or `null` among the allowed origins.
pub(super) fn is_local(origin: &str) -> bool {
    if origin == "file://" {
        return true;
    }
    let Some(host) = ["http://", "https://"].into_iter().find_map(|scheme| origin.strip_prefix(scheme))
    else {
        return false;
    };
    // The port is whatever it is; without brackets an IPv6 address has no place here.
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(ip, _)| ip),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether this can be an origin as browsers write them.
pub(super) fn is_well_formed(origin: &str) -> bool {
    let scheme_and_host = |o: &str| {
        o.split_once("://").is_some_and(|(scheme, host)| {
            scheme.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
                && !scheme.is_empty()
                && !host.is_empty()
                && !host.contains(['/', ' ', '*'])
        })
    };
    origin == "null" || scheme_and_host(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_machine_are_local() {
        for local in [
            "file://",
            "http://localhost",
            "http://localhost:8000",
            "https://127.0.0.1:8443",
            "http://127.8.9.1",
            "http://[::1]:8000",
        ] {
            assert!(is_local(local), "{local}");
        }
        for foreign in [
            "null",
            "",
            "https://example.org",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org",
            "http://127.0.0.1@example.org",
            "http://example.org#localhost",
            "http://192.168.0.2:8000",
            "http://[::1",
            "http://[2001:db8::1]",
            "ftp://localhost",
            "http://LOCALHOST.",
        ] {
            assert!(!is_local(foreign), "{foreign}");
        }
    }

    #[test]
    fn what_is_no_origin_is_told_apart() {
        for good in ["https://example.org", "http://10.0.0.2:8000", "null", "chrome-extension://abc"] {
            assert!(is_well_formed(good), "{good}");
        }
        for bad in ["", "example.org", "https://example.org/", "https://*", "https://", "://x"] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }
}

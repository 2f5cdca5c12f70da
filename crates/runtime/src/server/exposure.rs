//! Whether a configuration lets more reach the server than may.

use std::net::SocketAddr;

use crate::config::ServerSection;

/// Says what a listener beyond loopback lacks. `authenticated`: callers are told by other means than tokens
/// too.
///
/// # Errors
/// A sentence that says what to do.
pub fn check(section: &ServerSection, authenticated: bool, insecure: bool) -> Result<(), String> {
    if insecure {
        return Ok(());
    }
    let known = authenticated || !section.tokens.is_empty();
    port("server.listen", section.listen.0, section.tls.is_some(), known, "server")?;
    if let Some(webhooks) = &section.webhooks {
        // What comes there proves itself by a signature.
        port("server.webhooks.listen", webhooks.listen.0, webhooks.tls.is_some(), true, "server.webhooks")?;
    }
    Ok(())
}

fn port(setting: &str, address: SocketAddr, tls: bool, known: bool, at: &str) -> Result<(), String> {
    let (lacks, set) = match (tls, known) {
        _ if address.ip().is_loopback() => return Ok(()),
        (true, true) => return Ok(()),
        (false, true) => ("TLS", format!("set {at}.tls")),
        (true, false) => ("authentication", format!("set {at}.tokens")),
        (false, false) => ("TLS and authentication", format!("set {at}.tls and {at}.tokens")),
    };
    Err(format!(
        "{setting} {address} can be reached from other machines, without {lacks}: {set} in kiban.yaml, listen on 127.0.0.1, or pass --insecure where something else protects the port"
    ))
}

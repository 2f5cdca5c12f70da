//! Checks of IP addresses, CIDR blocks and DNS names beyond those of objects.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kiban_base::names;

use super::at::At;
use super::cause::Causes;
use super::rule::dns_subdomain;

const NOT_AN_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const NOT_A_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
const ONE_PER_FAMILY: &str = "may specify no more than one IP for each IP family";

/// An address, and whether it was written without leading zeros.
fn parse(text: &str) -> Option<(IpAddr, bool)> {
    if let Ok(ip) = text.parse() {
        return Some((ip, true));
    }
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() != 4 || !parts.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let octets: Vec<u8> = parts.iter().filter_map(|p| p.parse().ok()).collect();
    let octets: [u8; 4] = octets.try_into().ok()?;
    Some((IpAddr::V4(Ipv4Addr::from(octets)), false))
}

/// The address of a text that may have leading zeros.
pub(crate) fn parse_ip(text: &str) -> Option<IpAddr> {
    parse(text).map(|(ip, _)| ip)
}

fn is_mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

/// An IP address in any of the forms that may be stored.
pub(crate) fn ip(at: &At<'_, '_>, out: &mut Causes) {
    let text = at.str();
    match parse(text) {
        None => out.invalid(at, text, NOT_AN_IP),
        Some((_, false)) => out.invalid(at, text, "must not have leading 0s"),
        Some((ip, true)) if is_mapped(ip) => {
            out.invalid(at, text, "must not be an IPv4-mapped IPv6 address");
        }
        Some(_) => {}
    }
}

/// An IP address in its one canonical form.
pub(crate) fn canonical_ip(text: &str) -> Vec<String> {
    match parse(text) {
        None => vec![NOT_AN_IP.to_string()],
        Some((_, false)) => vec!["must not have leading 0s".to_string()],
        Some((ip, true)) if is_mapped(ip) => vec!["must not be an IPv4-mapped IPv6 address".to_string()],
        Some((ip, true)) if ip.to_string() != text => {
            vec![format!("must be in canonical form (\"{ip}\")")]
        }
        Some(_) => Vec::new(),
    }
}

/// A block of addresses: address and length of its prefix.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    ip: IpAddr,
    prefix: u32,
}

impl Block {
    /// Reads `10.0.0.0/8`.
    pub(crate) fn parse(text: &str) -> Option<Block> {
        let (ip, prefix) = text.split_once('/')?;
        let ip = parse_ip(ip)?;
        let prefix: u32 = prefix.parse().ok()?;
        (prefix <= Self::bits(ip)).then_some(Block { ip, prefix })
    }

    fn bits(ip: IpAddr) -> u32 {
        if ip.is_ipv4() { 32 } else { 128 }
    }

    /// The address as a number, without what lies beyond `prefix` bits.
    fn number(ip: IpAddr, prefix: u32) -> u128 {
        let (number, bits) = match ip {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        };
        let beyond: u32 = bits - prefix.min(bits);
        number.checked_shr(beyond).and_then(|n| n.checked_shl(beyond)).unwrap_or(0)
    }

    fn base(self) -> IpAddr {
        let number = Self::number(self.ip, self.prefix);
        match self.ip {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(0))),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
        }
    }

    /// Whether `inner` lies within this block and is smaller.
    pub(crate) fn strictly_contains(self, inner: Block) -> bool {
        self.ip.is_ipv4() == inner.ip.is_ipv4()
            && self.prefix < inner.prefix
            && Self::number(inner.ip, self.prefix) == Self::number(self.ip, self.prefix)
    }

    /// Whether the block is of IPv4 addresses.
    pub(crate) fn is_ipv4(self) -> bool {
        self.ip.is_ipv4()
    }
}

/// A CIDR block without bits beyond its prefix.
pub(crate) fn cidr_text(at: &At<'_, '_>, text: &str, out: &mut Causes) {
    let Some(block) = Block::parse(text) else { return out.invalid(at, text, NOT_A_CIDR) };
    let (ip, prefix) = text.split_once('/').unwrap_or((text, ""));
    let strict = parse(ip).is_some_and(|(_, strict)| strict) && (prefix == "0" || !prefix.starts_with('0'));
    if !strict {
        out.invalid(at, text, "must not have leading 0s in IP or prefix length");
    } else if is_mapped(block.ip) {
        out.invalid(at, text, "must not have an IPv4-mapped IPv6 address");
    } else if block.base() != block.ip {
        out.invalid(at, text, "must not have bits set beyond the prefix length");
    }
}

/// [`cidr_text`] of the value itself.
pub(crate) fn cidr(at: &At<'_, '_>, out: &mut Causes) {
    cidr_text(at, at.str(), out);
}

/// A CIDR block in its one canonical form.
pub(crate) fn canonical_cidr(at: &At<'_, '_>, out: &mut Causes) {
    let mark = out.len();
    cidr(at, out);
    if out.len() == mark
        && let Some(block) = Block::parse(at.str())
    {
        let canonical = format!("{}/{}", block.base(), block.prefix);
        if canonical != at.str() {
            out.invalid(at, at.str(), &format!("must be in canonical form (\"{canonical}\")"));
        }
    }
}

/// Whether there is at most one block of each family.
pub(crate) fn blocks_are_dual(at: &At<'_, '_>) -> bool {
    let families: Vec<bool> = at.items().filter_map(|c| Block::parse(c.str())).map(Block::is_ipv4).collect();
    families.len() == 2 && families.first() != families.last()
}

/// An address that other machines can reach: none of the special ranges.
pub(crate) fn non_special_ip(at: &At<'_, '_>, out: &mut Causes) {
    let text = at.str();
    let Some(ip) = parse_ip(text) else { return out.invalid(at, text, "must be a valid IP address") };
    if ip.is_unspecified() {
        out.invalid(at, text, &format!("may not be unspecified ({text})"));
    }
    if ip.is_loopback() {
        out.invalid(at, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    let (link_local, multicast) = match ip {
        IpAddr::V4(v4) => (v4.is_link_local(), matches!(v4.octets(), [224, 0, 0, _])),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    if link_local {
        out.invalid(at, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if multicast {
        out.invalid(at, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

/// Addresses of a pod or its host, `[{ip}]`: valid, each once, one of a family.
pub(crate) fn ip_list(at: &At<'_, '_>, out: &mut Causes) {
    for item in at.items() {
        ip(&item.with(item.get("ip").value), out);
    }
    if at.len() < 2 {
        return;
    }
    let families: Vec<Option<bool>> =
        at.items().map(|i| parse_ip(i.get("ip").str()).map(|ip| ip.is_ipv4())).collect();
    if families.len() > 2 || families.first() == families.last() {
        out.invalid(at, at, ONE_PER_FAMILY);
    }
    let mut seen = BTreeSet::new();
    for item in at.items() {
        if !seen.insert(item.get("ip").str()) {
            out.duplicate(item, &item);
        }
    }
}

/// Whether two addresses are of different families.
pub(crate) fn are_dual(at: &At<'_, '_>) -> bool {
    let families: Vec<bool> = at.items().filter_map(|i| parse_ip(i.str())).map(|ip| ip.is_ipv4()).collect();
    families.len() == at.len() && families.contains(&true) && families.contains(&false)
}

/// A subdomain whose parts may have underscores: DNS search domains.
pub(crate) fn check_subdomain_with_underscore(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.len() > names::SUBDOMAIN_MAX {
        wrong.push(names::too_long(names::SUBDOMAIN_MAX));
    }
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let good = |part: &str| {
        let body = part.strip_prefix('_').unwrap_or(part).as_bytes();
        body.first().is_some_and(|b| alphanumeric(*b))
            && body.last().is_some_and(|b| alphanumeric(*b))
            && body.iter().all(|b| alphanumeric(*b) || matches!(b, b'-' | b'_'))
    };
    if !name.split('.').all(good) {
        let message = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' \
                       or '.', and must start and end with an alphanumeric character";
        let part = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
        wrong.push(names::regex_error(message, &format!(r"{part}(\.{part})*"), &["example.com"]));
    }
    wrong
}

/// A host name as load balancers report it.
pub(crate) fn host_name(at: &At<'_, '_>, out: &mut Causes) {
    dns_subdomain(at, out);
    if parse_ip(at.str()).is_some() {
        out.invalid(at, at.str(), "must be a DNS name, not an IP address");
    }
}

/// A fully qualified domain name of at least two parts, with or without the last dot.
pub(crate) fn domain_name(at: &At<'_, '_>, out: &mut Causes) {
    if at.is_empty() {
        return out.required(at, "");
    }
    let name = at.str().strip_suffix('.').unwrap_or(at.str());
    let wrong = names::check_dns1123_subdomain(name);
    if !wrong.is_empty() {
        out.invalid(at, name, &wrong.join(","));
    } else if !name.contains('.') {
        out.invalid(at, name, "should be a domain with at least two segments separated by dots");
    } else {
        for label in name.split('.') {
            out.invalid_each(at, label, names::check_dns1123_label(label));
        }
    }
}

/// A path below a domain: `acme.io/foo`.
pub(crate) fn domain_path(at: &At<'_, '_>, out: &mut Causes) {
    if at.is_empty() {
        return out.required(at, "");
    }
    let Some((host, path)) = at.str().split_once('/').filter(|(h, p)| !h.is_empty() && !p.is_empty()) else {
        return out.invalid(at, at.str(), "must be a domain-prefixed path (such as \"acme.io/foo\")");
    };
    out.invalid_each(at, host, names::check_dns1123_subdomain(host));
    let good = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
    if !path.bytes().all(good) {
        out.invalid(at, path, &names::regex_error("Invalid path", r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", &[]));
    }
}

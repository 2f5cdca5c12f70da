//! Addresses: a node's own, its pods' range, and a pod's within it.

use std::net::Ipv4Addr;

/// Nodes' own addresses start here (172.16.0.0/12, as `kind` does on a bridge).
const NODES: u32 = u32::from_be_bytes([172, 18, 0, 0]);

/// Pods' addresses: 10.128.0.0/9 in ranges of 256, beside the services' 10.96.0.0/12.
const PODS: u32 = u32::from_be_bytes([10, 128, 0, 0]);

/// How many ranges there are.
pub const RANGES: u32 = 1 << 15;

/// The address of the node with this number.
pub fn node_ip(number: u32) -> String {
    Ipv4Addr::from(NODES + 2 + number % 0x000d_ffff).to_string()
}

/// The range of the node with this number.
pub fn pod_cidr(number: u32) -> String {
    format!("{}/24", Ipv4Addr::from(PODS + (number % RANGES) * 256))
}

/// The number behind a range of ours.
pub fn range_number(cidr: &str) -> Option<u32> {
    let (ip, bits) = cidr.split_once('/')?;
    let ip = u32::from(ip.parse::<Ipv4Addr>().ok()?);
    (bits == "24" && ip >= PODS && ip - PODS < RANGES * 256 && ip % 256 == 0).then(|| (ip - PODS) / 256)
}

/// The addresses of one range: handed out in turn, as host-local does, so that one is not used again
/// while somebody may still remember who had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    base: u32,
    size: u32,
    next: u32,
    taken: std::collections::BTreeSet<u32>,
}

impl Range {
    /// The range that `cidr` names; `None` where it is no IPv4 range with room for pods.
    pub fn new(cidr: &str) -> Option<Self> {
        let (ip, bits) = cidr.split_once('/')?;
        let ip = u32::from(ip.parse::<Ipv4Addr>().ok()?);
        let bits: u32 = bits.parse().ok().filter(|b| (8..=29).contains(b))?;
        let size = 1_u32 << (32 - bits);
        Some(Self { base: ip & !(size - 1), size, next: 2, taken: std::collections::BTreeSet::new() })
    }

    /// A free address; `None` when all are taken. The first is the gateway's, the last the broadcast.
    pub fn take(&mut self) -> Option<String> {
        for _ in 0..self.size {
            let offset = self.next;
            self.next = if self.next + 2 >= self.size { 2 } else { self.next + 1 };
            if self.taken.insert(offset) {
                return Some(Ipv4Addr::from(self.base + offset).to_string());
            }
        }
        None
    }

    /// Marks an address as taken.
    pub fn hold(&mut self, ip: &str) {
        if let Some(offset) = self.offset(ip) {
            self.taken.insert(offset);
        }
    }

    /// Gives all addresses back.
    pub fn clear(&mut self) {
        self.taken.clear();
    }

    /// Gives an address back.
    pub fn free(&mut self, ip: &str) {
        if let Some(offset) = self.offset(ip) {
            self.taken.remove(&offset);
        }
    }

    fn offset(&self, ip: &str) -> Option<u32> {
        let offset = u32::from(ip.parse::<Ipv4Addr>().ok()?).checked_sub(self.base)?;
        (offset < self.size).then_some(offset)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ranges_do_not_overlap_and_numbers_come_back() {
        assert_eq!(pod_cidr(0), "10.128.0.0/24");
        assert_eq!(pod_cidr(1_000), "10.131.232.0/24");
        for number in [0, 1, 999, RANGES - 1] {
            assert_eq!(range_number(&pod_cidr(number)), Some(number));
        }
        for bad in ["10.64.0.0/24", "10.128.0.0/16", "10.128.0.1/24", "x", ""] {
            assert_eq!(range_number(bad), None, "{bad}");
        }
        assert_ne!(node_ip(0), node_ip(1));
    }

    #[test]
    fn addresses_are_handed_out_in_turn_until_none_is_left() {
        let mut range = Range::new("10.0.0.0/29").unwrap();
        let all: Vec<_> = std::iter::from_fn(|| range.take()).collect();
        assert_eq!(all, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        range.free("10.0.0.4");
        assert_eq!(range.take().unwrap(), "10.0.0.4");
        range.free("192.168.0.1");
        assert_eq!(range.take(), None);
        for bad in ["fd00::/64", "10.0.0.0", "10.0.0.0/30", "10.0.0.0/x"] {
            assert_eq!(Range::new(bad), None, "{bad}");
        }
    }
}

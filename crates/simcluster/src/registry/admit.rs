//! Admission that needs the rest of the cluster: service addresses, service accounts, priorities.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::PoisonError;

use kiban_kinds::prepare::admission::{self, PriorityClass, Refused};
use kiban_kinds::prepare::service::{self, ServicePool};
use serde_json::Value;

use super::{Cluster, refuse};
use crate::kind::{KindId, well_known};
use crate::object::{Key, Stored};
use crate::status::ApiError;
use crate::store::State;

/// Cluster IPs come from 10.96.0.0/12, kubeadm's default service range.
const SERVICE_RANGE: u32 = u32::from_be_bytes([10, 96, 0, 0]);
const SERVICE_RANGE_SIZE: u32 = 1 << 20;

/// The first addresses are for the API server, DNS and the like.
const FIRST_ADDRESS: u32 = 11;

/// `--service-node-port-range`'s default.
const NODE_PORTS: RangeInclusive<u16> = 30_000..=32_767;

/// Addresses and ports that services hold.
#[derive(Debug, Default)]
pub(super) struct Allocations {
    ips: BTreeSet<u32>,
    node_ports: BTreeSet<(String, u16)>,
    next_ip: u32,
}

impl Allocations {
    /// What the services of a state hold.
    pub(super) fn of(state: &State) -> Self {
        let mut taken = Self { next_ip: FIRST_ADDRESS, ..Self::default() };
        for service in state.objects(*well_known::SERVICE).values() {
            let (ips, ports) = service::held(&service.value());
            taken.ips.extend(ips.iter().filter_map(|ip| number(ip)));
            taken.node_ports.extend(ports);
        }
        taken
    }

    fn give_back(&mut self, service: &Value) {
        let (ips, ports) = service::held(service);
        for ip in ips.iter().filter_map(|ip| number(ip)) {
            self.ips.remove(&ip);
        }
        for port in ports {
            self.node_ports.remove(&port);
        }
    }
}

fn number(ip: &str) -> Option<u32> {
    ip.parse::<Ipv4Addr>().ok().map(u32::from)
}

impl ServicePool for Allocations {
    fn cluster_ip(&mut self, wanted: Option<&str>) -> Result<String, String> {
        let Some(wanted) = wanted else {
            for _ in 0..SERVICE_RANGE_SIZE {
                let candidate = SERVICE_RANGE + self.next_ip;
                self.next_ip = (self.next_ip + 1) % (SERVICE_RANGE_SIZE - 1);
                if candidate >= SERVICE_RANGE + FIRST_ADDRESS && self.ips.insert(candidate) {
                    return Ok(Ipv4Addr::from(candidate).to_string());
                }
            }
            return Err("range is full".into());
        };
        let ip = number(wanted).filter(|ip| (SERVICE_RANGE..SERVICE_RANGE + SERVICE_RANGE_SIZE).contains(ip));
        let ip = ip.ok_or("the provided IP is not in the valid range. The range of valid IPs is 10.96.0.0/12")?;
        if self.ips.insert(ip) { Ok(wanted.to_owned()) } else { Err("provided IP is already allocated".into()) }
    }

    fn node_port(&mut self, protocol: &str, wanted: Option<u16>) -> Result<u16, String> {
        let slot = |port: u16| (protocol.to_owned(), port);
        let Some(wanted) = wanted else {
            let free = NODE_PORTS.clone().find(|p| !self.node_ports.contains(&slot(*p))).ok_or("range is full")?;
            self.node_ports.insert(slot(free));
            return Ok(free);
        };
        if !NODE_PORTS.contains(&wanted) {
            let (first, last) = (NODE_PORTS.start(), NODE_PORTS.end());
            return Err(format!("provided port is not in the valid range. The range of valid ports is {first}-{last}"));
        }
        if self.node_ports.insert(slot(wanted)) { Ok(wanted) } else { Err("provided port is already allocated".into()) }
    }
}

impl Cluster {
    /// What creation adds or refuses, given the rest of the cluster.
    pub(super) fn admit_create(&self, kind: KindId, value: &mut Value) -> Result<(), ApiError> {
        if kind == *well_known::SERVICE {
            self.allocate(None, value)?;
        } else if kind == *well_known::POD {
            self.admit_pod(value).map_err(|why| {
                let name = value["metadata"]["name"].as_str().unwrap_or_default();
                ApiError::forbidden(kind, name, &why.to_string())
            })?;
        }
        Ok(())
    }

    /// The same for an update.
    pub(super) fn admit_update(&self, kind: KindId, old: &Value, value: &mut Value) -> Result<(), ApiError> {
        if kind == *well_known::SERVICE { self.allocate(Some(old), value) } else { Ok(()) }
    }

    /// Gives back what a deleted object held.
    pub(super) fn release(&self, kind: KindId, gone: &Stored) {
        if kind == *well_known::SERVICE {
            let mut held = self.0.allocations.lock().unwrap_or_else(PoisonError::into_inner);
            held.give_back(&gone.value());
        }
    }

    fn allocate(&self, old: Option<&Value>, service: &mut Value) -> Result<(), ApiError> {
        let mut pool = self.0.allocations.lock().unwrap_or_else(PoisonError::into_inner);
        let causes = service::allocate(old, service, &mut *pool);
        let name = service["metadata"]["name"].as_str().unwrap_or_default();
        refuse(*well_known::SERVICE, name, &causes)
    }

    /// Contract: the admission plugins ServiceAccount, Priority and DefaultTolerationSeconds.
    fn admit_pod(&self, pod: &mut Value) -> Result<(), Refused> {
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let account = |name: &str| {
            let key = Key::new(namespace.as_str(), name);
            self.get(*well_known::SERVICE_ACCOUNT, &key).map(|a| a.value())
        };
        admission::service_account(pod, &account, &mut || self.random(|r| r.suffix(5)))?;
        admission::priority(pod, &|name| self.priority_class(name))?;
        admission::default_tolerations(pod);
        Ok(())
    }

    fn priority_class(&self, name: Option<&str>) -> Option<PriorityClass> {
        self.0.store.with(|state| {
            let classes = state.objects(*well_known::PRIORITY_CLASS);
            let found = match name {
                Some(name) => classes.get(&Key::new("", name)).map(|c| c.value()),
                None => classes.values().map(|c| c.value()).find(|c| c["globalDefault"] == true),
            };
            found.map(|c| PriorityClass::from_object(&c))
        })
    }
}

//! Admission that needs the rest of the cluster: service addresses, service accounts, priorities.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::PoisonError;

use kiban_kinds::prepare::admission::{self, PriorityClass, Refused};
use kiban_kinds::prepare::service::{self, ServicePool};
use serde_json::{Value, json};

use super::{Cluster, refuse};
use crate::controllers::{definitions, volumes};
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

    fn give_back(&mut self, taken: Taken) {
        for ip in taken.ips {
            self.ips.remove(&ip);
        }
        for port in taken.node_ports {
            self.node_ports.remove(&port);
        }
    }
}

/// What one write took: given back where the write does not happen.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Taken {
    ips: BTreeSet<u32>,
    node_ports: BTreeSet<(String, u16)>,
}

impl Taken {
    /// What a service holds.
    fn held(service: &Value) -> Self {
        let (ips, ports) = service::held(service);
        Self {
            ips: ips.iter().filter_map(|ip| number(ip)).collect(),
            node_ports: ports.into_iter().collect(),
        }
    }

    fn without(mut self, kept: &Self) -> Self {
        self.ips.retain(|ip| !kept.ips.contains(ip));
        self.node_ports.retain(|port| !kept.node_ports.contains(port));
        self
    }
}

/// The pool of one write: takes note of what it takes.
struct Taking<'a> {
    pool: &'a mut Allocations,
    taken: Taken,
}

impl ServicePool for Taking<'_> {
    fn cluster_ip(&mut self, wanted: Option<&str>) -> Result<String, String> {
        let ip = self.pool.cluster_ip(wanted)?;
        self.taken.ips.extend(number(&ip));
        Ok(ip)
    }

    fn node_port(&mut self, protocol: &str, wanted: Option<u16>) -> Result<u16, String> {
        let port = self.pool.node_port(protocol, wanted)?;
        self.taken.node_ports.insert((protocol.to_owned(), port));
        Ok(port)
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
        let ip =
            ip.ok_or("the provided IP is not in the valid range. The range of valid IPs is 10.96.0.0/12")?;
        if self.ips.insert(ip) {
            Ok(wanted.to_owned())
        } else {
            Err("provided IP is already allocated".into())
        }
    }

    fn node_port(&mut self, protocol: &str, wanted: Option<u16>) -> Result<u16, String> {
        let slot = |port: u16| (protocol.to_owned(), port);
        let Some(wanted) = wanted else {
            let free =
                NODE_PORTS.clone().find(|p| !self.node_ports.contains(&slot(*p))).ok_or("range is full")?;
            self.node_ports.insert(slot(free));
            return Ok(free);
        };
        if !NODE_PORTS.contains(&wanted) {
            let (first, last) = (NODE_PORTS.start(), NODE_PORTS.end());
            return Err(format!(
                "provided port is not in the valid range. The range of valid ports is {first}-{last}"
            ));
        }
        if self.node_ports.insert(slot(wanted)) {
            Ok(wanted)
        } else {
            Err("provided port is already allocated".into())
        }
    }
}

/// Adds a finalizer that holds an object for as long as it is used (StorageObjectInUseProtection).
fn protect(value: &mut Value, finalizer: &str) {
    match value["metadata"]["finalizers"].as_array_mut() {
        Some(all) if all.iter().any(|f| f == finalizer) => {}
        Some(all) => all.push(finalizer.into()),
        None => value["metadata"]["finalizers"] = json!([finalizer]),
    }
}

impl Cluster {
    /// What creation adds or refuses, given the rest of the cluster.
    pub(super) fn admit_create(&self, kind: KindId, value: &mut Value) -> Result<Taken, ApiError> {
        if kind == *well_known::SERVICE {
            return self.allocate(None, value);
        }
        if kind == *well_known::POD {
            self.admit_pod(value).map_err(|why| {
                let name = value["metadata"]["name"].as_str().unwrap_or_default();
                ApiError::forbidden(kind, name, &why.to_string())
            })?;
        }
        if kind == *well_known::DEFINITION {
            definitions::admit(&self.snapshot(), value, self.now());
            return Ok(Taken::default());
        }
        if let Some(finalizer) = volumes::protection(kind) {
            protect(value, finalizer);
        }
        Ok(Taken::default())
    }

    /// The same for an update.
    pub(super) fn admit_update(
        &self,
        kind: KindId,
        old: &Value,
        value: &mut Value,
    ) -> Result<Taken, ApiError> {
        if kind == *well_known::SERVICE { self.allocate(Some(old), value) } else { Ok(Taken::default()) }
    }

    /// Gives back what a write took that did not happen.
    pub(super) fn give_back(&self, taken: Taken) {
        if !taken.ips.is_empty() || !taken.node_ports.is_empty() {
            self.0.allocations.lock().unwrap_or_else(PoisonError::into_inner).give_back(taken);
        }
    }

    /// Gives back what a deleted object held.
    pub(super) fn release(&self, kind: KindId, gone: &Stored) {
        if kind == *well_known::SERVICE {
            self.give_back(Taken::held(&gone.value()));
        }
    }

    /// Gives back what a changed object holds no more.
    pub(super) fn release_unused(&self, kind: KindId, old: &Value, new: &Stored) {
        if kind == *well_known::SERVICE {
            self.give_back(Taken::held(old).without(&Taken::held(&new.value())));
        }
    }

    fn allocate(&self, old: Option<&Value>, service: &mut Value) -> Result<Taken, ApiError> {
        let mut pool = self.0.allocations.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taking = Taking { pool: &mut pool, taken: Taken::default() };
        let causes = service::allocate(old, service, &mut taking);
        let taken = taking.taken;
        let name = service["metadata"]["name"].as_str().unwrap_or_default();
        match refuse(*well_known::SERVICE, name, &causes) {
            Ok(()) => Ok(taken),
            Err(e) => {
                pool.give_back(taken);
                Err(e)
            }
        }
    }

    /// Contract: the admission plugins ServiceAccount, Priority, DefaultTolerationSeconds and
    /// RuntimeClass.
    fn admit_pod(&self, pod: &mut Value) -> Result<(), Refused> {
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let account = |name: &str| {
            let key = Key::new(namespace.as_str(), name);
            self.get(*well_known::SERVICE_ACCOUNT, &key).map(|a| a.value())
        };
        admission::service_account(pod, &account, &mut || self.random(|r| r.suffix(5)))?;
        admission::priority(pod, &|name| self.priority_class(name))?;
        admission::default_tolerations(pod);
        admission::runtime_class(pod, &|name| {
            self.get(*well_known::RUNTIME_CLASS, &Key::new("", name)).map(|class| class.value())
        })?;
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

//! Which process holds a lease, so that one on the same machine can tell that it is dead.
//!
//! A process is known for certain by the machine's boot, its PID namespace (a container's PIDs are not
//! its neighbour's), its PID, and when it began (PIDs come again). Only processes of the same user are
//! judged: others may be hidden (`hidepid`). Where one of these cannot be read, on other systems than
//! Linux for one, nobody is ever taken for dead, and leases run out as usual.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// The annotation of a Lease that holds it.
pub(super) const ANNOTATION: &str = "kiban.dev/holder-process";

/// One process of one boot of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    boot: String,
    namespace: String,
    user: u32,
    pid: u32,
    began: u64,
}

impl Process {
    /// The process that this runs in.
    pub(super) fn this() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// A process of this place.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let (boot, namespace, user) = place()?;
        Some(Self { boot, namespace, user, pid, began: began(pid)? })
    }

    /// Reads what [`fmt::Display`] wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (boot, namespace) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (user, pid, began) = (number()?, number()?, number()?);
        let (user, pid) = (u32::try_from(user).ok()?, u32::try_from(pid).ok()?);
        (parts.next().is_none() && !boot.is_empty() && !namespace.is_empty()).then_some(Self {
            boot,
            namespace,
            user,
            pid,
            began,
        })
    }

    /// True where it ran in this very place and is no longer there.
    pub(super) fn is_gone(&self) -> bool {
        let here = place() == Some((self.boot.clone(), self.namespace.clone(), self.user));
        // That this process finds itself proves that processes can be looked up here at all.
        here && began(std::process::id()).is_some() && began(self.pid) != Some(self.began)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}/{}", self.boot, self.namespace, self.user, self.pid, self.began)
    }
}

/// The boot, the PID namespace and the user.
fn place() -> Option<(String, String, u32)> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    let user = fs::metadata("/proc/self").ok()?.uid();
    let digits: String = link.to_str()?.chars().filter(char::is_ascii_digit).collect();
    (!boot.is_empty() && !digits.is_empty()).then_some((boot, digits, user))
}

/// When a process began, in ticks since the boot; none where there is no such process, or where it has
/// ended and only waits to be collected. Contract: proc(5), /proc/pid/stat: state and starttime are the
/// 1st and 20th field after the command in parentheses.
fn began(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_a_dead_process_of_this_place_is_gone() {
        let Some(this) = Process::this() else { return };
        assert_eq!(Process::parse(&this.to_string()), Some(this.clone()));
        assert!(!this.is_gone());
        let another_life = Process { began: this.began + 1, ..this.clone() };
        assert!(another_life.is_gone(), "its PID is taken by this process");
        assert!(!Process { boot: "other".into(), ..another_life.clone() }.is_gone());
        assert!(!Process { user: this.user + 1, ..another_life.clone() }.is_gone());
        assert!(!Process { namespace: "1".into(), ..another_life }.is_gone());
        assert_eq!(Process::parse("a/b/c/d/e"), None);
        assert_eq!(Process::parse("a/1/2/3/4/5"), None);
        assert_eq!(Process::parse(""), None);
    }

    #[test]
    fn a_child_that_was_killed_is_gone() {
        let Some(this) = Process::this() else { return };
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let held = Process { pid: child.id(), began: began(child.id()).unwrap(), ..this };
        assert!(!held.is_gone());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(held.is_gone());
    }
}

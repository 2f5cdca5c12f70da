//! The rules behind the checked texts; each returns a sentence for the person who wrote the file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use kiban_base::clock::Timestamp;
use kiban_base::{cron, names, quantity};

/// The longest name of an app, team, environment or job: `kiban-inventory-<app>-<env>` and
/// `<app>-<job>-<time>` must stay within Kubernetes' limits.
pub const MAX_NAME: usize = 40;

/// The longest part of a DNS name between dots.
const MAX_LABEL: usize = 63;
/// The longest path that gateways take.
const MAX_URL_PATH: usize = 1024;

type Checked = Result<(), String>;

fn is_label(text: &str, max: usize) -> bool {
    text.len() <= max && names::is_dns1123_label(text)
}

pub(super) fn name(text: &str) -> Checked {
    if text.len() > MAX_NAME {
        return Err(format!("{text:?} has {} characters, at most {MAX_NAME} are allowed", text.len()));
    }
    if is_label(text, MAX_NAME) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is no name: use lower-case letters, digits and '-', with a letter or digit at both ends"
    ))
}

pub(super) fn app_name(text: &str) -> Checked {
    name(text)?;
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(format!(
            "{text:?} is no app name: it must begin with a letter, because a Service is called so"
        ));
    }
    if text == "platform" {
        return Err(
            "an app cannot be called \"platform\": rendered/<env>/platform holds cluster-scoped objects"
                .into(),
        );
    }
    Ok(())
}

pub(super) fn object_name(text: &str) -> Checked {
    if names::is_dns1123_subdomain(text) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is no name of a Kubernetes object: use lower-case letters, digits, '-' and '.', at most 253"
    ))
}

pub(super) fn port_name(text: &str) -> Checked {
    if names::is_port_name(text) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is no port name: use at most 15 lower-case letters, digits and single '-', with at least one letter"
    ))
}

pub(super) fn var_name(text: &str) -> Checked {
    if !names::is_strict_env_var_name(text) {
        return Err(format!("{text:?} is no name of an environment variable: use letters, digits and '_'"));
    }
    for (prefix, owner) in [("KUBERNETES_", "Kubernetes"), ("KIBAN_", "Kiban")] {
        if text.starts_with(prefix) {
            return Err(format!("environment variables that begin with {prefix} are set by {owner}"));
        }
    }
    Ok(())
}

pub(super) fn host(text: &str) -> Checked {
    let bare = text.strip_prefix("*.").unwrap_or(text);
    if text.contains("://") {
        return Err(format!("{text:?} is a URL: give the host name alone"));
    }
    if text.contains('/') || text.contains(':') {
        return Err(format!("{text:?} is no host name: give a path or port in its own field"));
    }
    if text.parse::<IpAddr>().is_ok() {
        return Err(format!("{text:?} is an address: a host name is needed"));
    }
    if text.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(format!("{text:?} is no host name: write it in lower case"));
    }
    if names::is_dns1123_subdomain(bare) && bare.contains('.') {
        return match bare.split('.').find(|label| label.len() > MAX_LABEL) {
            Some(label) => Err(format!(
                "{text:?} is no host name: {label:?} has {} characters, {MAX_LABEL} are possible between dots",
                label.len()
            )),
            None if bare.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit())) => {
                Err(format!("{text:?} is no host name: a name ends in letters, not in a number"))
            }
            None => Ok(()),
        };
    }
    Err(format!("{text:?} is no host name such as orders.example.com"))
}

pub(super) fn url_path(text: &str) -> Checked {
    if !text.starts_with('/') {
        return Err(format!("{text:?} is no path: it must begin with '/'"));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#')) {
        return Err(format!("{text:?} is no path: it holds a space, '?' or '#'"));
    }
    if text.len() > MAX_URL_PATH {
        return Err(format!("a path of {} characters: at most {MAX_URL_PATH} are possible", text.len()));
    }
    let parts: Vec<&str> = text.split('/').skip(1).collect();
    let inner = parts.len().saturating_sub(1);
    let bad = parts
        .iter()
        .enumerate()
        .find(|(at, part)| matches!(**part, "." | "..") || part.is_empty() && *at < inner);
    match bad {
        Some((_, part)) => Err(format!("{text:?} is no path: {part:?} stands between two '/'")),
        None => Ok(()),
    }
}

pub(super) fn file_path(text: &str) -> Checked {
    if !text.starts_with('/') {
        return Err(format!("{text:?} is no path in the container: it must begin with '/'"));
    }
    let tail = &text[1..];
    if tail.is_empty()
        || text.contains(':')
        || text.contains(char::is_control)
        || tail.split('/').any(|p| matches!(p, "" | "." | ".."))
    {
        return Err(format!(
            "{text:?} is no path in the container: it holds ':', a control character, an empty part, '.' or '..', or is '/'"
        ));
    }
    Ok(())
}

pub(super) fn relative_path(text: &str) -> Checked {
    let bad = text.contains(['\\', ':'])
        || text.contains(char::is_control)
        || text.split('/').any(|p| matches!(p, "" | "." | ".."));
    if bad {
        return Err(format!("{text:?} is no path inside the app's folder"));
    }
    Ok(())
}

fn is_registry(part: &str) -> bool {
    let (name, port) = part.split_once(':').unwrap_or((part, "0"));
    let labels = name.split('.').all(|l| {
        !l.is_empty()
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    });
    labels && port.parse::<u16>().is_ok()
}

/// One component of a repository's path: runs of `[a-z0-9]` with `.`, `_`, `__` or dashes between them.
fn is_path_component(part: &str) -> bool {
    let alnum = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !part.starts_with(alnum) || !part.ends_with(alnum) {
        return false;
    }
    part.split(alnum)
        .filter(|s| !s.is_empty())
        .all(|s| matches!(s, "." | "_" | "__") || s.chars().all(|c| c == '-'))
}

pub(super) fn image_repo(text: &str) -> Checked {
    if text.contains('@') {
        return Err(format!("{text:?} has a digest: the environment's pin file says which image runs"));
    }
    let (registry, path) = match text.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
        _ => (None, text),
    };
    if let Some((_, tag)) = path.rsplit_once(':') {
        return Err(format!(
            "image {text:?} has a tag ({tag}): the environment's pin file says which image runs"
        ));
    }
    let good = text.len() <= 255
        && registry.is_none_or(is_registry)
        && !path.is_empty()
        && path.split('/').all(is_path_component);
    if good {
        Ok(())
    } else {
        Err(format!("{text:?} is no image repository such as registry.example/team/app"))
    }
}

pub(super) fn digest(text: &str) -> Checked {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() == 64 && hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) {
        return Ok(());
    }
    Err(format!("{text:?} is no digest: sha256: and 64 hexadecimal digits are needed"))
}

pub(super) fn tag(text: &str) -> Checked {
    let mut chars = text.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    if first && text.len() <= 128 && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
    {
        return Ok(());
    }
    Err(format!("{text:?} is no image tag"))
}

pub(super) fn git_url(text: &str) -> Checked {
    let scheme = ["https://", "ssh://", "git@"].iter().any(|p| text.len() > p.len() && text.starts_with(p));
    if scheme && !text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Ok(());
    }
    Err(format!("{text:?} is no git URL: begin with https://, ssh:// or git@"))
}

pub(super) fn quantity(text: &str) -> Checked {
    let Ok(amount) = quantity::Quantity::parse(text) else {
        return Err(format!("{text:?} is no quantity such as 250m or 512Mi{}", unit_hint(text)));
    };
    if amount.is_zero() || amount.is_negative() {
        return Err(format!("{text:?} must be more than zero"));
    }
    Ok(())
}

/// Units that people write and Kubernetes does not know.
const UNIT_HINTS: [(&str, &str); 10] = [
    ("KB", "Ki"),
    ("kb", "Ki"),
    ("K", "Ki"),
    ("MB", "Mi"),
    ("mb", "Mi"),
    ("MiB", "Mi"),
    ("Mb", "Mi"),
    ("GB", "Gi"),
    ("gb", "Gi"),
    ("GiB", "Gi"),
];

fn unit_hint(text: &str) -> String {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(number.len()..).unwrap_or_default();
    let known = UNIT_HINTS.iter().find(|(wrong, _)| *wrong == unit);
    known.map(|(_, right)| format!("; did you mean \"{number}{right}\"?")).unwrap_or_default()
}

pub(super) fn cidr(text: &str) -> Checked {
    let parsed = text
        .split_once('/')
        .and_then(|(ip, bits)| Some((ip.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?)));
    let first = match parsed {
        Some((IpAddr::V4(ip), bits)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Some(IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask)))
        }
        Some((IpAddr::V6(ip), bits)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Some(IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask)))
        }
        _ => None,
    };
    match (first, parsed) {
        (Some(first), Some((ip, _))) if first == ip => Ok(()),
        (Some(first), Some((ip, bits))) => Err(format!(
            "{text:?} is no block of addresses: {ip} is not its first; did you mean \"{first}/{bits}\"?"
        )),
        _ => Err(format!("{text:?} is no block of addresses such as 10.20.0.0/16")),
    }
}

pub(super) fn schedule(text: &str) -> Checked {
    match cron::Schedule::parse(text) {
        // Within five years of any day every pattern of days comes round.
        Ok(schedule) => match Timestamp::parse("2026-01-01T00:00:00Z") {
            Some(start) if schedule.next_after(start, None).is_none() => {
                Err(format!("{text:?} never comes: no month has such a day"))
            }
            _ => Ok(()),
        },
        Err(error) => Err(format!("{text:?} is no cron schedule: {error}")),
    }
}

pub(super) fn time_zone(text: &str) -> Checked {
    cron::check_time_zone(text).map_err(|_| format!("{text:?} is no time zone such as Asia/Tokyo or Etc/UTC"))
}

pub(super) fn label_key(text: &str) -> Checked {
    if names::is_qualified_name(text) {
        return Ok(());
    }
    Err(format!("{text:?} is no key of a label or annotation: [prefix/]name is needed"))
}

pub(super) fn meta_key(text: &str) -> Checked {
    label_key(text)?;
    let prefix = text.split_once('/').map(|(prefix, _)| prefix);
    let owned = |p: &str| {
        ["kiban.dev", "kubernetes.io", "k8s.io"].iter().any(|d| p == *d || p.ends_with(&format!(".{d}")))
    };
    match prefix {
        Some(p) if owned(p) => Err(format!("{text:?} cannot be set: {p}/ is taken")),
        _ => Ok(()),
    }
}

pub(super) fn label_value(text: &str) -> Checked {
    if names::is_label_value(text) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is no label value: at most 63 characters of A-Z a-z 0-9 . _ -, alphanumeric at both ends"
    ))
}

pub(super) fn uid(text: &str) -> Checked {
    let lengths = text.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    if lengths && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f' | '-')) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is no UID: kubectl get namespace kube-system -o jsonpath={{.metadata.uid}} prints it"
    ))
}

/// Milliseconds of one unit.
const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no duration such as 800ms, 60s or 1h30m");
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
        return Err(format!("{text:?} needs a unit, such as {text}s or {text}ms"));
    }
    let (mut rest, mut total) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let size = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?.1;
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(size)).ok_or_else(bad)?;
        total = total.checked_add(part).ok_or_else(bad)?;
        rest = tail;
    }
    if text.is_empty() { Err(bad()) } else { Ok(Duration::from_millis(total)) }
}

pub(super) fn percent(text: &str) -> Result<u32, String> {
    let bad = || format!("{text:?} is no share such as 60% or 99.95%");
    let Some(number) = text.strip_suffix('%') else {
        return match text.parse::<f64>() {
            Ok(_) => Err(format!("{text:?} needs its sign: {text}%")),
            Err(_) => Err(bad()),
        };
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 4 || whole.len() > 4 {
        return Err(bad());
    }
    let whole: u32 = whole.parse().map_err(|_| bad())?;
    let part: u32 = format!("{part:0<4}").parse().map_err(|_| bad())?;
    let ppm = whole * 10_000 + part;
    if ppm > 10_000_000 { Err(format!("{text:?} is more than 1000%")) } else { Ok(ppm) }
}

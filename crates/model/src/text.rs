//! Checked texts: names, quantities, durations, shares, images. A value that exists is valid.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::time::Duration as StdDuration;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::ser::{Serialize, Serializer};

mod checks;
#[cfg(test)]
mod tests;

pub use checks::MAX_NAME;

/// The name under which a deserializer is asked for a scalar's exact source text, whatever its type.
///
/// The YAML deserializer of this crate answers with the text as written (`007`, `yes`, `1e3`); any other
/// one sees an ordinary newtype.
pub const SOURCE_TEXT: &str = "$kiban::text";

/// As [`SOURCE_TEXT`], but what some reader of YAML takes for a boolean or nothing is refused.
pub const CHECKED_TEXT: &str = "$kiban::checked";
/// As [`CHECKED_TEXT`] for scalars; lists and maps are read as such.
pub const SHORT_FORM: &str = "$kiban::short";

/// Asks `deserializer` for a scalar's source text; see [`CHECKED_TEXT`].
///
/// # Errors
/// When the value is no scalar.
pub fn source_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Scalar;
    impl<'de> Visitor<'de> for Scalar {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }
        fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<String, D::Error> {
            d.deserialize_any(self)
        }
        fn visit_str<E>(self, v: &str) -> Result<String, E> {
            Ok(v.to_owned())
        }
        fn visit_i64<E>(self, v: i64) -> Result<String, E> {
            Ok(v.to_string())
        }
        fn visit_u64<E>(self, v: u64) -> Result<String, E> {
            Ok(v.to_string())
        }
        fn visit_f64<E>(self, v: f64) -> Result<String, E> {
            Ok(v.to_string())
        }
    }
    deserializer.deserialize_newtype_struct(CHECKED_TEXT, Scalar)
}

/// Declares a text type that is checked when it is made.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:path, $pattern:expr, $description:expr) => {
        checked_text!($(#[$doc])* $name, $check, $pattern, $description, "string");
    };
    ($(#[$doc:meta])* $name:ident, $check:path, $pattern:expr, $description:expr, $type:tt) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and keeps it.
            ///
            /// # Errors
            /// A sentence that says what is wrong with the text.
            pub fn new(text: &str) -> Result<Self, String> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }

            /// A text of this program's own that is known to be good.
            #[allow(dead_code)]
            pub(crate) fn from_static(text: &'static str) -> Self {
                debug_assert!($check(text).is_ok(), "{text}");
                Self(text.to_owned())
            }

            /// The text as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                Self::new(text)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = source_text(d)?;
                Self::new(&text).map_err(D::Error::custom)
            }
        }
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": $type, "pattern": $pattern, "description": $description})
            }
        }
    };
}

checked_text!(
    /// An app's name: an RFC 1035 label (a Service is called so) of at most [`MAX_NAME`] characters, because
    /// longer names are derived from it.
    AppName, checks::app_name, "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$",
    "Name of an app: lower-case letters, digits and '-', a letter first, at most 40 characters"
);
checked_text!(
    /// The name of a team, an environment, a job or a secret's file: a DNS label of at most [`MAX_NAME`]
    /// characters.
    Name, checks::name, "^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$",
    "Lower-case letters, digits and '-', at most 40 characters"
);
checked_text!(
    /// A name of an object in Kubernetes: a DNS subdomain of at most 253 characters.
    ObjectName, checks::object_name, "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    "Name of a Kubernetes object"
);
checked_text!(
    /// A port's name: an IANA service name, at most 15 characters.
    PortName, checks::port_name, "^(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$",
    "Name of a port: lower-case letters, digits and single '-', at least one letter, at most 15 characters"
);
checked_text!(
    /// The name of an environment variable.
    VarName, checks::var_name, "^[A-Za-z_][A-Za-z0-9_.-]*$",
    "Name of an environment variable; KUBERNETES_ and KIBAN_ are reserved"
);
checked_text!(
    /// A host name of the public DNS, possibly with one `*.` in front.
    Host, checks::host, "^(\\*\\.)?([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
    "Host name such as orders.example.com"
);
checked_text!(
    /// A path of a URL: begins with `/`.
    UrlPath, checks::url_path, "^/[^?#\\s]*$", "Path of a URL, beginning with '/'"
);
checked_text!(
    /// A path in a container: absolute, normal, not `/`.
    FilePath, checks::file_path, "^/[^:]+$", "Absolute path in the container"
);
checked_text!(
    /// A path inside the app's folder, `/` between its parts, never upwards.
    RelativePath, checks::relative_path, "^[^/].*$", "Path inside the app's folder"
);
checked_text!(
    /// An image repository without tag and digest: `registry.example/checkout/orders`.
    ImageRepo, checks::image_repo,
    "^([a-zA-Z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$",
    "Image repository without tag or digest; an environment's pin file says which image runs"
);
checked_text!(
    /// A digest of an image: `sha256:` and 64 hexadecimal digits.
    Digest, checks::digest, "^sha256:[0-9a-f]{64}$", "Digest of an image: sha256:<64 hexadecimal digits>"
);
checked_text!(
    /// A tag of an image.
    Tag, checks::tag, "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", "Tag of an image",
    ["string", "number"]
);
checked_text!(
    /// The URL of a git repository.
    GitUrl, checks::git_url, "^(https://|ssh://|git@)[^\\s]+$", "URL of the app's git repository"
);
checked_text!(
    /// A positive amount of CPU, memory or disk in Kubernetes' notation: `250m`, `512Mi`.
    Quantity, checks::quantity, "^[0-9]+(\\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][0-9]+)?$",
    "Quantity in Kubernetes' notation: 250m, 512Mi, 2",
    ["string", "number"]
);
checked_text!(
    /// A block of addresses: `10.20.0.0/16`, `2001:db8::/32`.
    Cidr, checks::cidr, "^[0-9a-fA-F:.]+/[0-9]{1,3}$", "Block of addresses: 10.20.0.0/16"
);
checked_text!(
    /// A schedule in cron's five fields, or `@hourly`, `@daily` and the like, as Kubernetes' CronJob reads it.
    Schedule, checks::schedule, "^(@(yearly|annually|monthly|weekly|daily|midnight|hourly|every .+)|\\S+( +\\S+){4})$",
    "Cron schedule of five fields (minute hour day month weekday) or @daily and the like"
);
checked_text!(
    /// A time zone of the IANA database: `Asia/Tokyo`, `Etc/UTC`.
    TimeZone, checks::time_zone, "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$", "Time zone: Asia/Tokyo"
);
checked_text!(
    /// A label's or annotation's key: an optional DNS prefix, `/`, a name; not of a domain that Kiban or
    /// Kubernetes own.
    MetaKey, checks::meta_key, "^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$",
    "Key of a label or annotation; app.kubernetes.io/, kiban.dev/ and Kubernetes' own domains are taken"
);
checked_text!(
    /// A label's or annotation's key of any domain.
    LabelKey, checks::label_key, "^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$",
    "Key of a label or annotation: [prefix/]name"
);
checked_text!(
    /// A label's value.
    LabelValue, checks::label_value, "^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$",
    "Value of a label: at most 63 characters of A-Z a-z 0-9 . _ -, alphanumeric at both ends"
);
checked_text!(
    /// The UID of an object of Kubernetes, lower-case.
    Uid, checks::uid, "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", "UID of an object"
);

impl Quantity {
    /// The amount, to compare and to count with.
    pub fn amount(&self) -> kiban_base::quantity::Quantity {
        // What exists was parsed when it was made.
        kiban_base::quantity::Quantity::parse(&self.0).unwrap_or(kiban_base::quantity::Quantity::ZERO)
    }
}

/// A span of time: `800ms`, `60s`, `1h30m`, `7d`. Whole milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(StdDuration);

impl Duration {
    /// Parses a duration.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn new(text: &str) -> Result<Self, String> {
        checks::duration(text).map(Self)
    }

    /// `n` seconds.
    pub const fn secs(n: u64) -> Self {
        Self(StdDuration::from_secs(n))
    }

    /// `n` milliseconds.
    pub const fn millis(n: u64) -> Self {
        Self(StdDuration::from_millis(n))
    }

    /// As the standard library's type.
    pub const fn get(self) -> StdDuration {
        self.0
    }

    /// Whole milliseconds.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whole seconds, rounded up: what Kubernetes' integer fields take.
    pub fn as_secs_up(self) -> u64 {
        self.0.as_secs().saturating_add(u64::from(self.0.subsec_nanos() > 0))
    }

    /// The sum.
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.as_millis();
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
            if ms >= size && ms.is_multiple_of(size) {
                return write!(f, "{}{unit}", ms / size);
            }
        }
        if ms == 0 { f.write_str("0s") } else { write!(f, "{ms}ms") }
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(&source_text(d)?).map_err(D::Error::custom)
    }
}

impl schemars::JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^([0-9]+(ms|s|m|h|d|w))+$",
            "description": "Duration with its unit: 800ms, 60s, 1h30m, 7d"
        })
    }
}

/// A share of a whole, in parts per million: `60%`, `99.95%`. Above 100 % is possible (CPU of its request).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u32);

impl Percent {
    /// Parses `60%` or `99.95%`: at most four digits after the point, 0 to 1000 %.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn new(text: &str) -> Result<Self, String> {
        checks::percent(text).map(Self)
    }

    /// `n` whole per cent.
    pub const fn whole(n: u32) -> Self {
        Self(n.saturating_mul(10_000))
    }

    /// `n` hundredths of a per cent: 9990 is 99.9 %.
    pub const fn hundredths(n: u32) -> Self {
        Self(n.saturating_mul(100))
    }

    /// Parts per million: 60 % is 600,000.
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// Per cent, rounded to the nearest whole one: what an HPA's target takes.
    pub const fn rounded(self) -> u32 {
        (self.0 + 5_000) / 10_000
    }

    /// As a ratio: 60 % is 0.6.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 10_000, self.0 % 10_000);
        if part == 0 {
            return write!(f, "{whole}%");
        }
        let digits = format!("{part:04}");
        write!(f, "{whole}.{}%", digits.trim_end_matches('0'))
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(&source_text(d)?).map_err(D::Error::custom)
    }
}

impl schemars::JsonSchema for Percent {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Percent".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[0-9]{1,4}(\\.[0-9]{1,4})?%$",
            "description": "Share with its sign: 60%, 99.95%"
        })
    }
}

//! Tests of the checked texts.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::app::{CallTarget, LatencyObjective};

#[test]
fn durations_are_read_and_written() {
    for (text, ms, written) in [
        ("800ms", 800, "800ms"),
        ("60s", 60_000, "1m"),
        ("1h30m", 5_400_000, "90m"),
        ("1s500ms", 1500, "1500ms"),
        ("7d", 604_800_000, "7d"),
        ("2w", 1_209_600_000, "14d"),
        ("0s", 0, "0s"),
    ] {
        let read = Duration::new(text).unwrap();
        assert_eq!((read.as_millis(), read.to_string().as_str()), (ms, written), "{text}");
        assert_eq!(Duration::new(written).unwrap(), read);
    }
    for bad in [
        "",
        "s",
        "5",
        "5 s",
        "-5s",
        "1.5s",
        "5S",
        "5x",
        "99999999999999999999s",
        "9999999999999d",
        "5sm",
        "٣s",
    ] {
        assert!(Duration::new(bad).is_err(), "{bad}");
    }
    assert_eq!(Duration::millis(1500).as_secs_up(), 2);
}

#[test]
fn shares_are_read_exactly() {
    for (text, ppm, written) in [
        ("60%", 600_000, "60%"),
        ("99.95%", 999_500, "99.95%"),
        ("99.9990%", 999_990, "99.999%"),
        ("0.5%", 5_000, "0.5%"),
        ("150%", 1_500_000, "150%"),
    ] {
        let read = Percent::new(text).unwrap();
        assert_eq!((read.ppm(), read.to_string().as_str()), (ppm, written));
    }
    for bad in ["", "%", "60", "sixty", "-1%", "1.00001%", "1001%", "1e2%", ".5%", "5.%", "60 %"] {
        assert!(Percent::new(bad).is_err(), "{bad}");
    }
    assert_eq!(LatencyObjective::new("95% < 300ms").unwrap().to_string(), "95% < 300ms");
}

#[test]
fn images_follow_the_grammar_of_registries() {
    for good in [
        "orders",
        "library/orders",
        "registry.example/checkout/orders",
        "localhost/x",
        "localhost:5000/x/y",
        "a.b:443/c_d/e__f/g-h",
        "registry.example.com/a/b.c",
        "UPPER.example.com/x",
    ] {
        assert!(ImageRepo::new(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "A/b",
        "a:1",
        "a.b/c:1",
        "a@sha256:0",
        "a.b:x/c",
        "a.b:70000/c",
        "a_",
        "a..b/c",
        "a b",
        "-a.b/c",
        "ä",
        "a___b",
    ] {
        assert!(ImageRepo::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn targets_of_calls_are_told_apart() {
    let app = |team: Option<&str>, app: &str| CallTarget::App {
        team: team.map(|t| Name::new(t).unwrap()),
        app: AppName::new(app).unwrap(),
    };
    let host = |host: &str, port| CallTarget::Host { host: Host::new(host).unwrap(), port };
    for (text, target) in [
        ("stock", app(None, "stock")),
        ("warehouse/stock", app(Some("warehouse"), "stock")),
        ("api.example.com", host("api.example.com", 443)),
        ("api.example.com:8443", host("api.example.com", 8443)),
        ("*.example.com", host("*.example.com", 443)),
        ("10.0.0.0/8", CallTarget::Cidr(Cidr::new("10.0.0.0/8").unwrap())),
        ("2001:db8::/32", CallTarget::Cidr(Cidr::new("2001:db8::/32").unwrap())),
    ] {
        assert_eq!(CallTarget::new(text).unwrap(), target, "{text}");
        assert_eq!(target.to_string(), text);
    }
    let pg = CallTarget::new("pg:orders-db").unwrap();
    assert!(matches!(&pg, CallTarget::Resource { kind, .. } if kind.port() == 5432), "{pg:?}");
    for bad in [
        "",
        "Stock",
        "a/b/c",
        "a.b:x",
        "a.b:0",
        "a.b:70000",
        "10.0.0.0/33",
        "10.0.0.1",
        "pg:",
        "pg:A",
        "x:y",
        "http://a.b",
        ":",
        "/",
    ] {
        assert!(CallTarget::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn paths_stay_where_they_belong() {
    for good in ["/tmp", "/var/cache/x", "/a.b/.c"] {
        assert!(FilePath::new(good).is_ok(), "{good}");
    }
    for bad in ["", "/", "tmp", "/a/../b", "/a//b", "/a/", "/a:b", "/./a"] {
        assert!(FilePath::new(bad).is_err(), "{bad}");
    }
    for bad in ["", "/a", "../a", "a/../b", "a//b", "./a", "a\\b", "C:x"] {
        assert!(RelativePath::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn amounts_can_be_compared() {
    assert!(Quantity::new("512Mi").unwrap().amount() < Quantity::new("1Gi").unwrap().amount());
    for bad in ["", "0", "-1", "1.5.5", "1KB", "Mi", "1 Gi", "NaN", "1e"] {
        assert!(Quantity::new(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_check_panic(text in any::<String>(), near in "[a-z0-9:/.@%<*+-]{0,16}") {
        for text in [&text, &near] {
            let _ = (AppName::new(text), Host::new(text), ImageRepo::new(text), Quantity::new(text), Cidr::new(text));
            let _ = (Schedule::new(text), TimeZone::new(text), MetaKey::new(text), FilePath::new(text), Uid::new(text));
            let _ = (CallTarget::new(text), LatencyObjective::new(text), GitUrl::new(text), PortName::new(text));
            if let Ok(read) = Duration::new(text) {
                prop_assert_eq!(Duration::new(&read.to_string()), Ok(read));
            }
            if let Ok(read) = Percent::new(text) {
                prop_assert_eq!(Percent::new(&read.to_string()), Ok(read));
            }
            if let Ok(read) = CallTarget::new(text) {
                prop_assert_eq!(CallTarget::new(&read.to_string()), Ok(read));
            }
        }
    }
}

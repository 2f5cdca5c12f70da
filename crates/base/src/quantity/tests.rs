//! Quantities against the canonical forms and errors that the API server gives.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn q(text: &str) -> Quantity {
    Quantity::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn canonical_text_is_that_of_the_api_server() {
    // From upstream's own table of forms, plus the corners.
    let table = [
        ("0", "0"),
        ("0n", "0"),
        ("0Ki", "0"),
        ("0.0", "0"),
        ("-0", "0"),
        ("1", "1"),
        ("+1", "1"),
        ("001", "1"),
        ("1.0", "1"),
        ("1.", "1"),
        (".5", "500m"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("100m", "100m"),
        ("0.1", "100m"),
        ("0.01", "10m"),
        ("0.0000001", "100n"),
        ("1u", "1u"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("1.1n", "2n"),
        ("-1.1n", "-2n"),
        ("1k", "1k"),
        ("1000", "1k"),
        ("1000000", "1M"),
        ("1000k", "1M"),
        ("12345", "12345"),
        ("12000", "12k"),
        ("1.2M", "1200k"),
        ("1G", "1G"),
        ("1T", "1T"),
        ("1P", "1P"),
        ("1E", "1E"),
        ("10E", "10E"),
        ("1000E", "1000E"),
        ("1Ki", "1Ki"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Mi", "512Ki"),
        ("0.5Ki", "512"),
        ("1025Ki", "1025Ki"),
        ("1Ei", "1Ei"),
        ("7Ei", "7Ei"),
        ("8Ei", "9223372036854775807"),
        ("100Ei", "9223372036854775807"),
        ("-8Ei", "-9223372036854775807"),
        ("0.0001Ki", "102400u"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("1e6", "1e6"),
        ("12e2", "1200"),
        ("1.5e3", "1500"),
        ("1e-3", "1e-3"),
        ("1e0", "1"),
        ("100e-2", "1"),
        ("1e+4", "10e3"),
        ("-500m", "-500m"),
        ("-1Gi", "-1Gi"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("1e100", "10e99"),
    ];
    for (text, want) in table {
        assert_eq!(q(text).to_string(), want, "{text}");
        assert_eq!(q(want), q(text), "{text}");
    }
}

#[test]
fn bad_texts_get_the_error_of_the_api_server() {
    use QuantityError::{Format, Suffix};
    let table = [
        ("", Format),
        ("aoeu", Format),
        ("1.1.M", Format),
        ("1+1.0M", Format),
        ("0.1mi", Suffix),
        ("0.1am", Format),
        (".5i", Suffix),
        ("1i", Suffix),
        ("-3.01i", Suffix),
        ("1 ", Format),
        (" 1", Format),
        ("1 Mi", Format),
        ("1mi", Suffix),
        ("1K", Suffix),
        ("1kB", Format),
        ("1GiB", Format),
        ("1e", Suffix),
        ("1e3.5", Format),
        ("1e99999999999999999999", Suffix),
        ("１", Format),
        ("1µ", Format),
        ("--1", Suffix),
        ("0x10", Format),
        ("NaN", Format),
    ];
    for (text, want) in table {
        assert_eq!(Quantity::parse(text).err(), Some(want), "{text:?}");
    }
    assert_eq!(
        Format.to_string(),
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    );
}

#[test]
fn whole_and_milli_units_round_up() {
    let table = [
        ("1", 1, 1000),
        ("1m", 1, 1),
        ("1n", 1, 1),
        ("-1m", -1, -1),
        ("1500m", 2, 1500),
        ("1.0001", 2, 1001),
        ("1Gi", 1 << 30, (1 << 30) * 1000),
        ("16E", i64::MAX, i64::MAX),
        ("-16E", i64::MIN, i64::MIN),
        ("1e200", i64::MAX, i64::MAX),
        ("9P", 9_000_000_000_000_000, 9_000_000_000_000_000_000),
    ];
    for (text, value, milli) in table {
        assert_eq!((q(text).value(), q(text).milli()), (value, milli), "{text}");
    }
}

#[test]
fn sums_keep_the_family_and_zero_takes_the_others() {
    let table = [
        ("1Gi", "512Mi", "1536Mi", "512Mi"),
        ("100m", "1", "1100m", "-900m"),
        ("0", "1Gi", "1Gi", "-1Gi"),
        ("1Gi", "0", "1Gi", "1Gi"),
        ("1k", "1Ki", "2024", "-24"),
        ("1e3", "1", "1001", "999"),
    ];
    for (a, b, sum, difference) in table {
        assert_eq!(q(a).add(q(b)).to_string(), sum, "{a} + {b}");
        assert_eq!(q(a).sub(q(b)).to_string(), difference, "{a} - {b}");
    }
    assert_eq!(q("1e900").add(q("1n")), q("1e900"));
}

#[test]
fn order_looks_at_the_amount() {
    let sorted = ["-1e50", "-1Gi", "-1n", "0", "1n", "999u", "1m", "0.5", "1", "1k", "1Ki", "1M", "1e50"];
    for pair in sorted.windows(2) {
        assert!(q(pair[0]) < q(pair[1]), "{pair:?}");
        assert!(q(pair[1]) > q(pair[0]), "{pair:?}");
    }
    assert_eq!(q("1"), q("1000m"));
    assert_eq!(q("1024"), q("1Ki"));
}

#[test]
fn the_api_server_keeps_some_spellings() {
    for (text, want) in [
        ("1.500", "1.500"),
        ("1.5", "1500m"),
        ("0.500", "500m"),
        ("1025Ki", "1025Ki"),
        ("1024Mi", "1Gi"),
        ("+5", "+5"),
        ("1.5Gi", "1536Mi"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("0", "0"),
        ("1E3", "1E3"),
    ] {
        assert_eq!(Quantity::stored_text(text).unwrap(), want, "{text}");
    }
}

#[test]
fn json_may_be_text_or_number() {
    for (json, want) in [("\"1Gi\"", "1Gi"), ("2", "2"), ("0.5", "500m"), ("1e3", "1k"), ("null", "0")] {
        let got: Quantity = serde_json::from_str(json).unwrap();
        assert_eq!(got, q(want), "{json}");
    }
    assert!(serde_json::from_str::<Quantity>("[]").is_err());
    assert_eq!(serde_json::to_string(&q("0.5Gi")).unwrap(), "\"512Mi\"");
    assert!((q("0.1").as_f64() - 0.1).abs() < f64::EPSILON);
}

proptest! {
    #[test]
    fn parsing_never_panics_and_canonical_text_is_stable(text in "[-+]?[0-9.]{0,45}[eEinumkKMGTP]{0,3}[-+]?[0-9]{0,5}") {
        if let Ok(first) = Quantity::parse(&text) {
            let canonical = first.to_string();
            let second = Quantity::parse(&canonical).unwrap();
            prop_assert_eq!(first, second);
            prop_assert_eq!(&second.to_string(), &canonical);
        }
    }

    #[test]
    fn any_text_is_answered(text in ".{0,40}") {
        let _ = Quantity::parse(&text);
    }

    #[test]
    fn sums_agree_with_integers(a in -1_000_000_000_i64..1_000_000_000, b in -1_000_000_000_i64..1_000_000_000) {
        let (x, y) = (Quantity::from_milli(a), Quantity::from_milli(b));
        prop_assert_eq!(x.add(y).milli(), a + b);
        prop_assert_eq!(x.sub(y).milli(), a - b);
        prop_assert_eq!(x.cmp(&y), a.cmp(&b));
    }
}

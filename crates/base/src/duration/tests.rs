//! Durations in each dialect, both ways.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

#[test]
fn go_durations_read_and_print_as_go_does() {
    let table = [
        ("0", 0, "0s"),
        ("0s", 0, "0s"),
        ("1ns", 1, "1ns"),
        ("1.1us", 1_100, "1.1µs"),
        ("2µs", 2_000, "2µs"),
        ("2μs", 2_000, "2µs"),
        ("2.2ms", 2_200_000, "2.2ms"),
        ("300ms", 300_000_000, "300ms"),
        ("3.3s", 3_300_000_000, "3.3s"),
        ("4m5s", 245_000_000_000, "4m5s"),
        ("4m5.001s", 245_001_000_000, "4m5.001s"),
        ("5h6m7.001s", 18_367_001_000_000, "5h6m7.001s"),
        ("90m", 5_400_000_000_000, "1h30m0s"),
        ("1h", 3_600_000_000_000, "1h0m0s"),
        ("-1.5h", -5_400_000_000_000, "-1h30m0s"),
        ("+5s", 5_000_000_000, "5s"),
        (".5s", 500_000_000, "500ms"),
        ("1.s", 1_000_000_000, "1s"),
        ("1h2h", 10_800_000_000_000, "3h0m0s"),
        ("0.3333333333333333333h", 1_199_999_999_999, "19m59.999999999s"),
        ("2562047h47m16.854775807s", i64::MAX, "2562047h47m16.854775807s"),
        ("-2562047h47m16.854775808s", i64::MIN, "-2562047h47m16.854775808s"),
    ];
    for (text, nanos, printed) in table {
        assert_eq!(parse_go_nanos(text), Ok(nanos), "{text}");
        assert_eq!(format_go_nanos(nanos), printed, "{text}");
    }
}

#[test]
fn bad_go_durations_get_gos_sentences() {
    let table = [
        ("", "time: invalid duration \"\""),
        ("3", "time: missing unit in duration \"3\""),
        ("-", "time: invalid duration \"-\""),
        ("s", "time: invalid duration \"s\""),
        (".", "time: invalid duration \".\""),
        (".s", "time: invalid duration \".s\""),
        ("1d", "time: unknown unit \"d\" in duration \"1d\""),
        ("1s ", "time: unknown unit \"s \" in duration \"1s \""),
        ("1é", "time: unknown unit \"\\xc3\\xa9\" in duration \"1\\xc3\\xa9\""),
        ("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""),
        ("3000000h", "time: invalid duration \"3000000h\""),
        ("99999999999999999999s", "time: invalid duration \"99999999999999999999s\""),
    ];
    for (text, want) in table {
        assert_eq!(parse_go_nanos(text).unwrap_err().to_string(), want, "{text}");
    }
    assert_eq!(parse_go("-1s").unwrap_err().to_string(), "negative duration -1s not allowed");
}

#[test]
fn prometheus_durations_read_and_print_as_prometheus_does() {
    let table = [
        ("0", 0, "0s"),
        ("0s", 0, "0s"),
        ("324ms", 324, "324ms"),
        ("3s", 3_000, "3s"),
        ("5m", 300_000, "5m"),
        ("1h", 3_600_000, "1h"),
        ("4d", 345_600_000, "4d"),
        ("4d1h", 349_200_000, "4d1h"),
        ("14d", 1_209_600_000, "2w"),
        ("3w", 1_814_400_000, "3w"),
        ("3w2d1h", 1_990_800_000, "23d1h"),
        ("10y", 315_360_000_000, "10y"),
        ("1s500ms", 1_500, "1s500ms"),
        ("90s", 90_000, "1m30s"),
    ];
    for (text, ms, printed) in table {
        assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        assert_eq!(format(Duration::from_millis(ms)), printed, "{text}");
    }
    for bad in ["1", "1y1m1d", "-1w", "1.5d", "d", "1s1s", "1m 2s", "5µs", "٣s", "1s5"] {
        assert_eq!(parse(bad), Err(DurationError::NotPrometheus(bad.to_string())), "{bad}");
    }
    assert_eq!(parse(""), Err(DurationError::Empty));
    assert_eq!(parse("294y"), Err(DurationError::OutOfRange));
    assert_eq!(parse("99999999999999999999s"), Err(DurationError::OutOfRange));
}

#[test]
fn ages_print_as_kubectl_does() {
    let table = [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (11_000, "3h3m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (691_200, "8d"),
        (63_071_999, "729d"),
        (63_072_000, "2y"),
        (65_000_000, "2y22d"),
        (252_288_000, "8y"),
    ];
    for (seconds, want) in table {
        assert_eq!(human(Duration::from_secs(seconds)), want, "{seconds}");
    }
}

proptest! {
    #[test]
    fn go_texts_come_back(nanos in any::<i64>()) {
        prop_assert_eq!(parse_go_nanos(&format_go_nanos(nanos)), Ok(nanos));
    }

    #[test]
    fn prometheus_texts_come_back(ms in 0_u64..9_000_000_000_000) {
        let duration = Duration::from_millis(ms);
        prop_assert_eq!(parse(&format(duration)), Ok(duration));
    }

    #[test]
    fn any_text_is_answered(text in ".{0,30}") {
        let _ = (parse(&text), parse_go_nanos(&text));
    }
}

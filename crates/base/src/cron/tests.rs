//! Schedules against the parser of Kubernetes, and against clocks that jump.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// The next `n` times after `from`, in the zone.
fn times(schedule: &str, from: &str, zone: Option<&str>, n: usize) -> Vec<String> {
    let schedule = Schedule::parse_with_zone(schedule).unwrap();
    let mut now = at(from);
    let mut out = Vec::new();
    for _ in 0..n {
        match schedule.next_after(now, zone) {
            Some(next) => now = next,
            None => break,
        }
        out.push(now.rfc3339());
    }
    out
}

#[test]
fn the_next_time_is_right_in_utc() {
    let table = [
        ("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),
        ("* * * * *", "2026-01-01T00:00:59.999999Z", "2026-01-01T00:01:00Z"),
        ("*/15 * * * *", "2026-01-01T00:45:00Z", "2026-01-01T01:00:00Z"),
        ("15 3 * * *", "2026-01-01T03:15:00Z", "2026-01-02T03:15:00Z"),
        ("15 3 * * *", "2026-01-01T03:14:59Z", "2026-01-01T03:15:00Z"),
        ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 1 jan ?", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("0 9 * * mon-FRI", "2026-11-27T10:00:00Z", "2026-11-30T09:00:00Z"),
        ("0 0 13 * 5", "2026-11-01T00:00:00Z", "2026-11-06T00:00:00Z"),
        ("0 0 */10 * 5", "2026-11-01T00:00:00Z", "2026-11-06T00:00:00Z"),
        ("0 0 13 * *", "2026-11-01T00:00:00Z", "2026-11-13T00:00:00Z"),
        ("5/20 * * * *", "2026-01-01T00:05:00Z", "2026-01-01T00:25:00Z"),
        ("10-20/5,50 * * * *", "2026-01-01T00:20:00Z", "2026-01-01T00:50:00Z"),
        ("0 0 31 * *", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z"),
        ("@hourly", "2026-01-01T00:30:00Z", "2026-01-01T01:00:00Z"),
        ("@daily", "2026-01-01T00:30:00Z", "2026-01-02T00:00:00Z"),
        ("@midnight", "2026-01-01T00:30:00Z", "2026-01-02T00:00:00Z"),
        ("@weekly", "2026-11-24T00:00:00Z", "2026-11-29T00:00:00Z"),
        ("@monthly", "2026-11-24T00:00:00Z", "2026-12-01T00:00:00Z"),
        ("@yearly", "2026-11-24T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("@annually", "2026-11-24T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("@every 1h30m", "2026-01-01T00:00:00.5Z", "2026-01-01T01:30:00Z"),
        ("@every 10ms", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
    ];
    for (schedule, from, want) in table {
        assert_eq!(times(schedule, from, None, 1), [want], "{schedule}");
    }
    assert!(times("0 0 31 2 *", "2026-01-01T00:00:00Z", None, 1).is_empty());
    assert!(times("0 0 1 1 *", "2026-01-01T00:00:00Z", Some("Moon/Base"), 1).is_empty());
}

#[test]
fn zones_shift_the_schedule() {
    assert_eq!(
        times("15 3 * * *", "2026-11-24T00:00:00Z", Some("Asia/Tokyo"), 2),
        ["2026-11-24T18:15:00Z", "2026-11-25T18:15:00Z"]
    );
    assert_eq!(times("TZ=Asia/Tokyo 0 0 * * *", "2026-11-24T00:00:00Z", None, 1), ["2026-11-24T15:00:00Z"]);
    assert_eq!(
        times("CRON_TZ=Asia/Tokyo @daily", "2026-11-24T00:00:00Z", Some("UTC"), 1),
        ["2026-11-24T15:00:00Z"]
    );
}

#[test]
fn a_time_that_the_clock_leaves_out_does_not_occur() {
    // New York goes from 02:00 to 03:00 on 8 March 2026.
    assert_eq!(
        times("30 2 * * *", "2026-03-07T12:00:00Z", Some("America/New_York"), 2),
        ["2026-03-09T06:30:00Z", "2026-03-10T06:30:00Z"]
    );
    assert_eq!(
        times("0 * * * *", "2026-03-08T06:00:00Z", Some("America/New_York"), 2),
        ["2026-03-08T07:00:00Z", "2026-03-08T08:00:00Z"]
    );
    // Cairo's midnight of 24 April 2026 does not exist.
    assert_eq!(times("0 0 * * *", "2026-04-23T12:00:00Z", Some("Africa/Cairo"), 1), ["2026-04-24T21:00:00Z"]);
    assert_eq!(times("0 1 * * *", "2026-04-23T12:00:00Z", Some("Africa/Cairo"), 1), ["2026-04-23T22:00:00Z"]);
}

#[test]
fn a_time_that_the_clock_shows_twice_occurs_twice() {
    // New York goes from 02:00 back to 01:00 on 1 November 2026.
    assert_eq!(
        times("30 1 * * *", "2026-11-01T00:00:00Z", Some("America/New_York"), 3),
        ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-02T06:30:00Z"]
    );
    // Lord Howe moves by half an hour.
    assert_eq!(
        times("45 1 * * *", "2026-04-04T00:00:00Z", Some("Australia/Lord_Howe"), 2),
        ["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"]
    );
}

#[test]
fn bad_schedules_get_the_sentences_of_the_parser() {
    let table = [
        ("", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("*/2/3 * * * *", "too many slashes: */2/3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
        ("-1 * * * *", "failed to parse int from : strconv.Atoi: parsing \"\": invalid syntax"),
        ("*/-1 * * * *", "negative number (-1) not allowed: -1"),
        ("* * * foo *", "failed to parse int from foo: strconv.Atoi: parsing \"foo\": invalid syntax"),
        ("@often", "unrecognized descriptor: @often"),
        ("@every", "unrecognized descriptor: @every"),
        ("@every x", "failed to parse duration @every x: time: invalid duration \"x\""),
        ("TZ=Moon/Base * * * * *", "provided bad location Moon/Base: unknown time zone Moon/Base"),
        ("TZ=UTC", "expected exactly 5 fields, found 0: []"),
        ("TZ=UTC 0 0 * * *", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
        ("CRON_TZ=Asia/Tokyo @daily", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
    ];
    for (text, want) in table {
        assert_eq!(Schedule::parse(text).unwrap_err().to_string(), want, "{text:?}");
    }
}

#[test]
fn time_zones_are_checked_as_the_api_server_does() {
    for good in ["UTC", "Etc/UTC", "Asia/Tokyo", "America/Argentina/Buenos_Aires"] {
        assert_eq!(check_time_zone(good), Ok(()), "{good}");
    }
    for (bad, want) in [
        ("", "timeZone must be nil or non-empty string"),
        ("Local", "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"),
        ("Moon/Base", "unknown time zone Moon/Base"),
        ("AMERICA/new_york", "unknown time zone AMERICA/new_york"),
        ("../etc/passwd", "unknown time zone ../etc/passwd"),
    ] {
        assert_eq!(check_time_zone(bad).unwrap_err().to_string(), want, "{bad}");
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "[-0-9*/,?@a-zTZ= ]{0,30}", secs in 0_i64..4_000_000_000) {
        if let Ok(schedule) = Schedule::parse_with_zone(&text) {
            let from = Timestamp::from_secs(secs);
            if let Some(next) = schedule.next_after(from, Some("Europe/Berlin")) {
                prop_assert!(next > from);
            }
        }
    }

    #[test]
    fn walking_minutes_finds_the_same_times(
        minute in 0_u32..60, hour in 0_u32..24, weekday in 0_u32..7, secs in 1_700_000_000_i64..1_800_000_000,
    ) {
        let text = format!("{minute} {hour} * * {weekday}");
        let schedule = Schedule::parse(&text).unwrap();
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let want = (secs.div_euclid(60) + 1..).take(60 * 24 * 15).find(|m| {
            let t = jiff::Timestamp::from_second(m * 60).unwrap().to_zoned_datetime(zone.clone());
            t.minute() as u32 == minute
                && t.hour() as u32 == hour
                && t.weekday().to_sunday_zero_offset() as u32 == weekday
        });
        let got = schedule.next_after(Timestamp::from_secs(secs), Some("Europe/Berlin"));
        prop_assert_eq!(got.map(|t| t.secs()), want.map(|m| m * 60));
    }
}

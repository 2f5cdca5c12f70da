//! Sets of completion indexes as statuses print them: `1,3-5,7`.

use std::collections::BTreeSet;

/// Indexes of an Indexed Job.
pub(super) type Indexes = BTreeSet<i64>;

/// Reads a set; indexes that the Job does not have (any more) are left out.
pub(super) fn parse(text: &str, completions: i64) -> Indexes {
    let range = |part: &str| -> Option<std::ops::Range<i64>> {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (i64, i64) = (from.parse().ok()?, to.parse().ok()?);
        Some(from.max(0)..to.saturating_add(1).min(completions))
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// Prints a set.
pub(super) fn print(indexes: &Indexes) -> String {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == *index => *end = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let print = |(from, to): &(i64, i64)| match to - from {
        0 => from.to_string(),
        1 => format!("{from},{to}"),
        _ => format!("{from}-{to}"),
    };
    runs.iter().map(print).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_read_back_as_printed() {
        let cases: [(&[i64], &str); 5] =
            [(&[], ""), (&[4], "4"), (&[1, 2], "1,2"), (&[1, 3, 4, 5, 7], "1,3-5,7"), (&[0, 1, 2], "0-2")];
        for (indexes, text) in cases {
            let set: Indexes = indexes.iter().copied().collect();
            assert_eq!(print(&set), text);
            assert_eq!(parse(text, 100), set);
        }
        assert_eq!(print(&parse("0-9,12", 3)), "0-2", "a Job that shrank");
        assert_eq!(print(&parse("x,3-,-4,5-2,0-9223372036854775807", 2)), "0,1");
    }
}

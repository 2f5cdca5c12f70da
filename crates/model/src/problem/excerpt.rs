//! A line of a file below its problem: cut around the place, with carets that stand below it in a terminal.

/// The most columns of a line that are shown.
const MAX_COLUMNS: usize = 100;
/// Columns that are kept before the place.
const BEFORE: usize = 30;
/// What stands for what was cut off.
const CUT: &str = "…";
/// What terminals make of a tab at most.
const TAB: usize = 8;

/// Characters that take no column: they go with the one before them.
const COMBINING: [(u32, u32); 6] = [
    (0x0300, 0x036f),
    (0x1ab0, 0x1aff),
    (0x1dc0, 0x1dff),
    (0x20d0, 0x20ff),
    (0xfe00, 0xfe0f),
    (0xfe20, 0xfe2f),
];
/// Characters that nobody sees and that change what others look like; they are written out.
const HIDDEN: [(u32, u32); 7] = [
    (0x0000, 0x001f),
    (0x007f, 0x009f),
    (0x200b, 0x200f),
    (0x2028, 0x202e),
    (0x2060, 0x206f),
    (0xfeff, 0xfeff),
    (0xe0000, 0xe007f),
];
/// Characters that take two columns: East Asian wide and full-width ones, and emoji.
const WIDE: [(u32, u32); 13] = [
    (0x1100, 0x115f),
    (0x2329, 0x232a),
    (0x2e80, 0x303e),
    (0x3041, 0x33ff),
    (0x3400, 0x4dbf),
    (0x4e00, 0x9fff),
    (0xa000, 0xa4cf),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe30, 0xfe6f),
    (0xff00, 0xff60),
    (0xffe0, 0xffe6),
    (0x1f300, 0x3fffd),
];

fn is_in(c: char, ranges: &[(u32, u32)]) -> bool {
    ranges.iter().any(|(from, to)| (*from..=*to).contains(&u32::from(c)))
}

/// A character as it is shown, and the columns that it takes.
struct Glyph {
    shown: String,
    columns: usize,
}

impl Glyph {
    fn of(c: char) -> Self {
        let columns = match c {
            '\t' => TAB,
            _ if is_in(c, &HIDDEN) => {
                let shown: String = c.escape_default().collect();
                return Self { columns: shown.len(), shown };
            }
            _ if is_in(c, &COMBINING) => 0,
            _ if is_in(c, &WIDE) => 2,
            _ => 1,
        };
        Self { shown: c.to_string(), columns }
    }

    /// What stands above or below it: a tab stays a tab, whatever the terminal makes of it.
    fn blank(&self, with: char) -> String {
        if self.shown == "\t" && with == ' ' {
            return self.shown.clone();
        }
        let columns = if self.shown == "\t" { 1 } else { self.columns };
        with.to_string().repeat(columns)
    }
}

/// A text without what would change the terminal or hide something.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| Glyph::of(c).shown).collect()
}

/// The line `text`, and below it carets at the `width` characters from `column` (from 1) on.
pub(super) fn lines(text: &str, column: u32, width: u32) -> (String, String) {
    let glyphs: Vec<Glyph> = text.chars().map(Glyph::of).collect();
    let at = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX).min(glyphs.len());
    let (from, to) = window(&glyphs, at);
    let shown: String =
        glyphs.iter().skip(from).take(to.saturating_sub(from)).map(|g| g.shown.as_str()).collect();
    let (head, tail) = (if from > 0 { CUT } else { "" }, if to < glyphs.len() { CUT } else { "" });
    let mut below = " ".repeat(head.chars().count());
    below.extend(glyphs.iter().skip(from).take(at.saturating_sub(from)).map(|g| g.blank(' ')));
    let end = at.saturating_add(usize::try_from(width).unwrap_or(usize::MAX)).min(to);
    let carets: String = glyphs.iter().skip(at).take(end.saturating_sub(at)).map(|g| g.blank('^')).collect();
    below.push_str(if carets.is_empty() { "^" } else { &carets });
    (format!("{head}{shown}{tail}"), below)
}

/// The first character that is shown, and the first one behind those.
fn window(glyphs: &[Glyph], at: usize) -> (usize, usize) {
    if glyphs.iter().map(|g| g.columns).sum::<usize>() <= MAX_COLUMNS {
        return (0, glyphs.len());
    }
    let mut used = 0;
    let mut from = at;
    for (index, glyph) in glyphs.iter().enumerate().take(at).rev() {
        used += glyph.columns;
        if used > BEFORE {
            break;
        }
        from = index;
    }
    let mut to = from;
    let mut columns = 0;
    for (index, glyph) in glyphs.iter().enumerate().skip(from) {
        columns += glyph.columns;
        if columns > MAX_COLUMNS {
            break;
        }
        to = index + 1;
    }
    (from, to)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Line, column, width; what is shown of it, and what stands below.
    #[test]
    fn a_line_is_cut_around_its_place_and_the_carets_stand_below_it() {
        let long = format!("{}needle{}", "a".repeat(200), "b".repeat(200));
        let shown = format!("…{}needle{}…", "a".repeat(30), "b".repeat(64));
        let table = [
            ("name: x", 7, 1, "name: x".to_owned(), "      ^".to_owned()),
            ("\tname: x", 2, 4, "\tname: x".to_owned(), "\t^^^^".to_owned()),
            ("名前: 値", 5, 1, "名前: 値".to_owned(), "      ^^".to_owned()),
            ("e\u{301}: x", 5, 1, "e\u{301}: x".to_owned(), "   ^".to_owned()),
            ("a\u{1b}[2J: x", 7, 1, "a\\u{1b}[2J: x".to_owned(), format!("{}^", " ".repeat(11))),
            ("a: \u{202e}x", 5, 1, "a: \\u{202e}x".to_owned(), format!("{}^", " ".repeat(11))),
            ("a:", 3, 0, "a:".to_owned(), "  ^".to_owned()),
            ("", 1, 5, String::new(), "^".to_owned()),
            (&long, 201, 6, shown, format!("{}^^^^^^", " ".repeat(31))),
            (&long, 1, 900, format!("{}…", "a".repeat(100)), "^".repeat(100)),
        ];
        for (text, column, width, line, below) in table {
            assert_eq!(lines(text, column, width), (line, below), "{text:?} {column}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_longer_than_a_terminal(text in "\\PC{0,300}", column: u32, width: u32) {
            let (line, below) = lines(&text, column, width);
            prop_assert!(line.chars().count() <= MAX_COLUMNS + 2 || text.chars().any(|c| Glyph::of(c).columns == 0));
            prop_assert!(below.ends_with('^'));
        }
    }
}

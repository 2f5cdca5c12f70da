//! Tokens of label selectors, as apimachinery's lexer cuts them.

/// A token and the text that error messages quote for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item<'a> {
    pub(super) token: Token,
    pub(super) literal: std::borrow::Cow<'a, str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Error,
    End,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Identifier,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
}

const SYMBOLS: [(&str, Token); 9] = [
    (")", Token::Close),
    (",", Token::Comma),
    ("!", Token::Not),
    ("==", Token::DoubleEquals),
    ("=", Token::Equals),
    (">", Token::Greater),
    ("<", Token::Less),
    ("!=", Token::NotEquals),
    ("(", Token::Open),
];

/// Cuts the whole text; the last item is always [`Token::End`].
pub(super) fn scan(text: &str) -> Vec<Item<'_>> {
    // A NUL ends the text, as it ends upstream's lexer.
    let text = text.split('\0').next().unwrap_or("");
    let mut items = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(is_space);
        let Some(first) = rest.chars().next() else {
            items.push(Item { token: Token::End, literal: "".into() });
            return items;
        };
        let (item, after) = if is_symbol(first) { symbol(rest) } else { word(rest) };
        items.push(item);
        rest = after;
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_symbol(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

fn word(text: &str) -> (Item<'_>, &str) {
    let end = text.find(|c| is_symbol(c) || is_space(c)).unwrap_or(text.len());
    let (literal, rest) = text.split_at(end);
    let token = match literal {
        "in" => Token::In,
        "notin" => Token::NotIn,
        _ => Token::Identifier,
    };
    (Item { token, literal: literal.into() }, rest)
}

/// The longest known symbol at the start. All symbols start with a known one, so there is always a match.
fn symbol(text: &str) -> (Item<'_>, &str) {
    let longest = SYMBOLS.iter().filter(|(s, _)| text.starts_with(s)).max_by_key(|(s, _)| s.len());
    match longest {
        Some((s, token)) => {
            let (literal, rest) = text.split_at(s.len());
            (Item { token: *token, literal: literal.into() }, rest)
        }
        None => {
            let message = format!("error expected: keyword found '{text}'");
            (Item { token: Token::Error, literal: message.into() }, "")
        }
    }
}

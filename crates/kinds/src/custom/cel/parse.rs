//! Reading expressions.

/// Bytes of an expression.
const MAX_TEXT: usize = 32 << 10;
/// Levels of nesting.
const MAX_DEPTH: usize = 64;

/// A node of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    List(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
    Name(String),
    Field(Box<Expr>, String),
    /// `a.?b`.
    OptionalField(Box<Expr>, String),
    Index(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Binary(Op, Box<Expr>, Box<Expr>),
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    Has(Box<Expr>, String),
    /// `list.all(x, …)` and its like: macro, list, variable, expressions.
    Macro(Macro, Box<Expr>, String, Vec<Expr>),
    Call(Option<Box<Expr>>, String, Vec<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Macro {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

impl Expr {
    /// All nodes directly below.
    pub(crate) fn children(&self) -> Vec<&Expr> {
        match self {
            Self::List(items) => items.iter().collect(),
            Self::Map(entries) => entries.iter().flat_map(|(k, v)| [k, v]).collect(),
            Self::Field(a, _)
            | Self::OptionalField(a, _)
            | Self::Not(a)
            | Self::Negative(a)
            | Self::Has(a, _) => vec![a],
            Self::Index(a, b) | Self::Binary(_, a, b) => vec![a, b],
            Self::If(a, b, c) => vec![a, b, c],
            Self::Macro(_, a, _, rest) => std::iter::once(&**a).chain(rest).collect(),
            Self::Call(on, _, rest) => on.as_deref().into_iter().chain(rest).collect(),
            _ => Vec::new(),
        }
    }

    /// Some node is this name.
    pub(crate) fn names(&self, name: &str) -> bool {
        matches!(self, Self::Name(own) if own == name) || self.children().iter().any(|c| c.names(name))
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Int(i64),
    Double(f64),
    Text(String),
    Mark(&'static str),
}

const MARKS: [&str; 27] = [
    "||", "&&", "==", "!=", "<=", ">=", ".?", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",",
    "(", ")", "[", "]", "{", "}", "=", "|",
];

/// Reads an expression whole.
pub(super) fn read(text: &str) -> Result<Expr, String> {
    if text.len() > MAX_TEXT {
        return Err("the expression is too long".to_owned());
    }
    let tokens = tokens(text)?;
    let mut reader = Reader { tokens, at: 0, depth: 0 };
    let expr = reader.expr()?;
    match reader.tokens.get(reader.at) {
        None => Ok(expr),
        Some(token) => Err(format!("Syntax error: unexpected {}", shown(token))),
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Word(word) => format!("'{word}'"),
        Token::Int(n) => n.to_string(),
        Token::Double(n) => n.to_string(),
        Token::Text(text) => format!("{text:?}"),
        Token::Mark(mark) => format!("'{mark}'"),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c.is_whitespace() {
            rest = &rest[c.len_utf8()..];
        } else if let Some(after) = rest.strip_prefix("//") {
            rest = &after[after.find('\n').unwrap_or(after.len())..];
        } else if let Some((value, used)) = quoted(rest)? {
            out.push(Token::Text(value));
            rest = &rest[used..];
        } else if c.is_ascii_digit() {
            let (token, used) = number(rest)?;
            out.push(token);
            rest = &rest[used..];
        } else if c.is_ascii_alphabetic() || c == '_' {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            out.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            let mark = MARKS.iter().find(|m| rest.starts_with(**m));
            let mark = mark.ok_or_else(|| format!("Syntax error: token recognition error at: '{c}'"))?;
            out.push(Token::Mark(mark));
            rest = &rest[mark.len()..];
        }
    }
    Ok(out)
}

fn number(text: &str) -> Result<(Token, usize), String> {
    let bad = |t: &str| format!("Syntax error: invalid number '{t}'");
    if let Some(hex) = text.strip_prefix("0x") {
        let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
        let value = i64::from_str_radix(&hex[..end], 16).map_err(|_| bad(text))?;
        return Ok((Token::Int(value), end + 2));
    }
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = digits(0);
    let mut real = false;
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
        real = true;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if end + 1 + sign < bytes.len() && digits(end + 1 + sign) > 0 {
            end += 1 + sign + digits(end + 1 + sign);
            real = true;
        }
    }
    let own = &text[..end];
    // An unsigned number is one all the same.
    let suffix = usize::from(!real && matches!(bytes.get(end), Some(b'u' | b'U')));
    let token = match real {
        true => own.parse().map(Token::Double).map_err(|_| bad(own))?,
        false => own.parse().map(Token::Int).map_err(|_| bad(own))?,
    };
    Ok((token, end + suffix))
}

/// A text in quotes at the start, with how many bytes it takes.
fn quoted(text: &str) -> Result<Option<(String, usize)>, String> {
    let (raw, body) = match text.strip_prefix(['r', 'R']).filter(|t| t.starts_with(['"', '\''])) {
        Some(body) => (true, body),
        None => (false, text),
    };
    let Some(quote) = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|q| body.starts_with(q)) else {
        return Ok(None);
    };
    let start = text.len() - body.len() + quote.len();
    let mut out = String::new();
    let mut at = start;
    loop {
        let rest = &text[at..];
        if rest.starts_with(quote) {
            return Ok(Some((out, at + quote.len())));
        }
        let Some(c) = rest.chars().next() else { return Err("Syntax error: a text does not end".to_owned()) };
        if c == '\\' && !raw {
            let (value, used) = escape(&rest[1..])?;
            out.push(value);
            at += 1 + used;
        } else {
            out.push(c);
            at += c.len_utf8();
        }
    }
}

fn escape(text: &str) -> Result<(char, usize), String> {
    let bad = || "Syntax error: unknown escape in a text".to_owned();
    let c = text.chars().next().ok_or_else(bad)?;
    let coded = |from: usize, to: usize, radix: u32| {
        let code = text.get(from..to).and_then(|t| u32::from_str_radix(t, radix).ok());
        code.and_then(char::from_u32).map(|c| (c, to)).ok_or_else(bad)
    };
    Ok(match c {
        'n' => ('\n', 1),
        'r' => ('\r', 1),
        't' => ('\t', 1),
        'a' => ('\u{7}', 1),
        'b' => ('\u{8}', 1),
        'f' => ('\u{c}', 1),
        'v' => ('\u{b}', 1),
        '\\' | '\'' | '"' | '`' | '?' => (c, 1),
        'x' | 'X' => return coded(1, 3, 16),
        'u' => return coded(1, 5, 16),
        'U' => return coded(1, 9, 16),
        '0'..='3' => return coded(0, 3, 8),
        _ => return Err(bad()),
    })
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

const LEVELS: [&[(&str, Op)]; 3] = [
    &[("||", Op::Or)],
    &[("&&", Op::And)],
    &[
        ("==", Op::Equal),
        ("!=", Op::NotEqual),
        ("<", Op::Less),
        ("<=", Op::LessOrEqual),
        (">", Op::Greater),
        (">=", Op::GreaterOrEqual),
        ("in", Op::In),
    ],
];
const SUMS: [(&str, Op); 2] = [("+", Op::Add), ("-", Op::Subtract)];
const PRODUCTS: [(&str, Op); 3] = [("*", Op::Multiply), ("/", Op::Divide), ("%", Op::Remainder)];

impl Reader {
    fn take(&mut self, wanted: &str) -> bool {
        let here = match self.tokens.get(self.at) {
            Some(Token::Mark(mark)) => *mark == wanted,
            Some(Token::Word(word)) => wanted == "in" && word == "in",
            _ => false,
        };
        self.at += usize::from(here);
        here
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        if self.take(wanted) {
            return Ok(());
        }
        let found = self.tokens.get(self.at).map_or_else(|| "the end".to_owned(), shown);
        Err(format!("Syntax error: expected '{wanted}', found {found}"))
    }

    fn word(&mut self) -> Result<String, String> {
        match self.tokens.get(self.at) {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(word.clone())
            }
            other => Err(format!(
                "Syntax error: expected a name, found {}",
                other.map_or_else(|| "the end".to_owned(), shown)
            )),
        }
    }

    fn expr(&mut self) -> Result<Expr, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("the expression is nested too deeply".to_owned());
        }
        let condition = self.level(0)?;
        let out = if self.take("?") {
            let yes = self.expr()?;
            self.expect(":")?;
            let no = self.expr()?;
            Expr::If(Box::new(condition), Box::new(yes), Box::new(no))
        } else {
            condition
        };
        self.depth -= 1;
        Ok(out)
    }

    fn level(&mut self, level: usize) -> Result<Expr, String> {
        let operators: &[(&str, Op)] = match level {
            0..=2 => LEVELS[level],
            3 => &SUMS,
            4 => &PRODUCTS,
            _ => return self.unary(),
        };
        let mut left = self.level(level + 1)?;
        let mut chain = 0_usize;
        while let Some((_, op)) = operators.iter().find(|(mark, _)| self.take(mark)) {
            chain += 1;
            if chain > MAX_DEPTH * 8 {
                return Err("the expression has too many terms".to_owned());
            }
            let right = self.level(level + 1)?;
            left = Expr::Binary(*op, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, String> {
        let (mut not, mut negative) = (0_usize, 0_usize);
        while self.take("!") {
            not += 1;
        }
        while not == 0 && self.take("-") {
            negative += 1;
        }
        let inner = self.member()?;
        Ok(match (not % 2, negative % 2) {
            (1, _) => Expr::Not(Box::new(inner)),
            (_, 1) => Expr::Negative(Box::new(inner)),
            _ => inner,
        })
    }

    fn member(&mut self) -> Result<Expr, String> {
        let mut left = self.primary()?;
        let mut chain = 0_usize;
        loop {
            chain += 1;
            if chain > MAX_DEPTH * 2 {
                return Err("the expression has too many steps".to_owned());
            }
            if self.take(".?") {
                left = Expr::OptionalField(Box::new(left), unescaped(&self.word()?));
            } else if self.take(".") {
                let name = self.word()?;
                left = if self.take("(") {
                    let arguments = self.arguments(")")?;
                    called(left, name, arguments)?
                } else {
                    Expr::Field(Box::new(left), unescaped(&name))
                };
            } else if self.take("[") {
                let index = self.expr()?;
                self.expect("]")?;
                left = Expr::Index(Box::new(left), Box::new(index));
            } else {
                return Ok(left);
            }
        }
    }

    fn arguments(&mut self, end: &str) -> Result<Vec<Expr>, String> {
        let mut out = Vec::new();
        while !self.take(end) {
            out.push(self.expr()?);
            if !self.take(",") {
                self.expect(end)?;
                break;
            }
        }
        Ok(out)
    }

    fn primary(&mut self) -> Result<Expr, String> {
        let token = self.tokens.get(self.at).cloned().ok_or("Syntax error: the expression ends early")?;
        self.at += 1;
        Ok(match token {
            Token::Int(n) => Expr::Int(n),
            Token::Double(n) => Expr::Double(n),
            Token::Text(text) => Expr::Text(text),
            Token::Mark("(") => {
                let inner = self.expr()?;
                self.expect(")")?;
                inner
            }
            Token::Mark("[") => Expr::List(self.arguments("]")?),
            Token::Mark("{") => self.map()?,
            Token::Word(word) => match word.as_str() {
                "true" => Expr::Bool(true),
                "false" => Expr::Bool(false),
                "null" => Expr::Null,
                _ if self.take("(") => {
                    let mut arguments = self.arguments(")")?;
                    match (word.as_str(), arguments.as_slice()) {
                        ("has", [Expr::Field(_, _)]) => match arguments.remove(0) {
                            Expr::Field(on, name) => Expr::Has(on, name),
                            other => other,
                        },
                        ("has", _) => return Err("invalid argument to has() macro".to_owned()),
                        _ => Expr::Call(None, word, arguments),
                    }
                }
                _ => Expr::Name(word),
            },
            other => return Err(format!("Syntax error: unexpected {}", shown(&other))),
        })
    }

    fn map(&mut self) -> Result<Expr, String> {
        let mut out = Vec::new();
        while !self.take("}") {
            let key = self.expr()?;
            self.expect(":")?;
            out.push((key, self.expr()?));
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Expr::Map(out))
    }
}

/// A call on a value: a macro, the namespace `optional`, or a function.
fn called(on: Expr, name: String, mut arguments: Vec<Expr>) -> Result<Expr, String> {
    let which = match (name.as_str(), arguments.len()) {
        ("all", 2) => Macro::All,
        ("exists", 2) => Macro::Exists,
        ("exists_one" | "existsOne", 2) => Macro::ExistsOne,
        ("filter", 2) => Macro::Filter,
        ("map", 2 | 3) => Macro::Map,
        _ => return Ok(Expr::Call(Some(Box::new(on)), name, arguments)),
    };
    match arguments.remove(0) {
        Expr::Name(variable) => Ok(Expr::Macro(which, Box::new(on), variable, arguments)),
        _ => Err("argument must be a simple name".to_owned()),
    }
}

/// Field names that are no names of the language are written with these in rules.
fn unescaped(name: &str) -> String {
    const RESERVED: [&str; 20] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
    ];
    if let Some(word) = name.strip_prefix("__").and_then(|n| n.strip_suffix("__"))
        && (RESERVED.contains(&word) || word == "while")
    {
        return word.to_owned();
    }
    if !name.contains("__") {
        return name.to_owned();
    }
    name.replace("__underscores__", "\0")
        .replace("__dot__", ".")
        .replace("__dash__", "-")
        .replace("__slash__", "/")
        .replace('\0', "__")
}

//! Changes to inputs: of bytes, of words, of JSON documents.

use kiban_base::rng::Rng;
use serde_json::{Value, json};

/// Inputs do not grow beyond this.
const MAX: usize = 256 << 10;
/// Texts that readers trip over.
const ODD: &[&[u8]] = &[
    b"",
    b"0",
    b"-1",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"18446744073709551616",
    b"1e309",
    b"0x1p-9",
    b"NaN",
    b"null",
    b"~",
    b"''",
    b"\0",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xf0\x9f\xa6\x80",
    b"\xe2\x80\xa8",
    b"\r\n",
    b"..",
    b"%2e%2e%2f",
    b"%00",
    b"//",
    b"${x}",
    b"&a [*a,*a]",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
    b"---\n",
];

/// A seeded source of changes.
#[derive(Debug)]
pub struct Mutator {
    rng: Rng,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    /// A mutator with a dictionary.
    pub fn new(rng: Rng, words: Vec<Vec<u8>>) -> Self {
        Self { rng, words }
    }

    /// The generator, for choices that belong to the same sequence.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// A changed copy of `input`; `other` lends pieces.
    pub fn mutate(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut out = input.to_vec();
        for _ in 0..=self.rng.below(4) {
            let done = self.rng.chance(0.5) && self.mutate_json(&mut out, other);
            if !done {
                self.mutate_bytes(&mut out, other);
            }
        }
        out.truncate(MAX);
        out
    }

    fn index(&mut self, length: usize) -> usize {
        self.rng.below(length as u64) as usize
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.index(length);
        // Short pieces most of the time, any length now and then.
        let most = if self.rng.chance(0.8) { 16.min(length - start) } else { length - start };
        start..start + self.index(most + 1)
    }

    fn word(&mut self) -> Vec<u8> {
        if self.rng.chance(0.3) || self.words.is_empty() {
            return self.rng.pick(ODD).map_or_else(Vec::new, |w| w.to_vec());
        }
        self.rng.pick(&self.words).cloned().unwrap_or_default()
    }

    fn mutate_bytes(&mut self, out: &mut Vec<u8>, other: &[u8]) {
        let at = self.index(out.len() + 1);
        match self.rng.below(9) {
            0 => {
                let bit = self.rng.below(8);
                if let Some(byte) = out.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            1 => {
                let value = self.rng.u64() as u8;
                if let Some(byte) = out.get_mut(at) {
                    *byte = value;
                }
            }
            2 => drop(out.splice(at..at, self.word())),
            3 if !out.is_empty() => {
                let range = self.range(out.len());
                let word = self.word();
                drop(out.splice(range, word));
            }
            4 if !out.is_empty() => drop(out.drain(self.range(out.len()))),
            5 if !out.is_empty() => {
                let range = self.range(out.len());
                let piece = out.get(range).unwrap_or_default().repeat(1 + self.index(5));
                drop(out.splice(at..at, piece));
            }
            6 if !other.is_empty() => {
                let range = self.range(other.len());
                drop(out.splice(at..at, other.get(range).unwrap_or_default().iter().copied()));
            }
            7 => out.truncate(at),
            _ => self.change_number(out),
        }
    }

    /// Puts another number in the place of one that is there.
    fn change_number(&mut self, out: &mut Vec<u8>) {
        let starts: Vec<usize> = (0..out.len().min(4_096))
            .filter(|i| out[*i].is_ascii_digit() && (*i == 0 || !out[*i - 1].is_ascii_digit()))
            .collect();
        let Some(&start) = self.rng.pick(&starts) else { return };
        let length = out.iter().skip(start).take_while(|b| b.is_ascii_digit()).count();
        let bits = self.rng.below(64);
        let number = match self.rng.below(3) {
            0 => (self.rng.u64() >> bits).to_string(),
            1 => format!("-{}", self.rng.u64() >> bits),
            _ => format!("{}", (1_u128 << bits) - u128::from(self.rng.below(2))),
        };
        drop(out.splice(start..start + length, number.into_bytes()));
    }

    /// Changes one of the documents that lie on lines of their own; false where there is none.
    fn mutate_json(&mut self, out: &mut Vec<u8>, other: &[u8]) -> bool {
        let mut lines: Vec<&[u8]> = out.split(|b| *b == b'\n').collect();
        let at = self.index(lines.len());
        let Some(mut document) = lines.get(at).and_then(|line| serde_json::from_slice::<Value>(line).ok())
        else {
            return false;
        };
        if !(document.is_object() || document.is_array()) {
            return false;
        }
        let lender = other.split(|b| *b == b'\n').find_map(|line| serde_json::from_slice(line).ok());
        self.change(&mut document, lender.as_ref());
        let text = document.to_string();
        if let Some(line) = lines.get_mut(at) {
            *line = text.as_bytes();
        }
        *out = lines.join(&b'\n');
        true
    }

    fn change(&mut self, value: &mut Value, lender: Option<&Value>) {
        if self.rng.chance(0.75) {
            let children = match value {
                Value::Object(map) => map.len(),
                Value::Array(items) => items.len(),
                _ => 0,
            };
            let at = self.index(children);
            let child = match value {
                Value::Object(map) => map.values_mut().nth(at),
                Value::Array(items) => items.get_mut(at),
                _ => None,
            };
            if let Some(child) = child {
                return self.change(child, lender);
            }
        }
        self.change_here(value, lender);
    }

    fn change_here(&mut self, value: &mut Value, lender: Option<&Value>) {
        let word = String::from_utf8_lossy(&self.word()).into_owned();
        let new = self.odd_value(&word, lender);
        match (self.rng.below(4), value) {
            (0, Value::Object(map)) => drop(map.insert(word, new)),
            (1, Value::Object(map)) => {
                let at = self.index(map.len());
                if let Some(key) = map.keys().nth(at).cloned() {
                    let old = map.remove(&key);
                    if self.rng.chance(0.3) {
                        map.insert(word, old.unwrap_or_default());
                    }
                }
            }
            (0, Value::Array(items)) => items.push(new),
            (1, Value::Array(items)) if !items.is_empty() => {
                let at = self.index(items.len());
                let copy = items[at].clone();
                items.insert(at, copy);
            }
            (2, Value::Array(items)) if !items.is_empty() => drop(items.remove(self.index(items.len()))),
            (2, Value::Number(number)) => {
                let by = self.rng.below(5) as i64 - 2;
                *number = (number.as_i64().unwrap_or(0).wrapping_add(by)).into();
            }
            (_, slot) => *slot = new,
        }
    }

    fn odd_value(&mut self, word: &str, lender: Option<&Value>) -> Value {
        match self.rng.below(14) {
            0 => Value::Null,
            1 => json!(self.rng.chance(0.5)),
            2 => json!(0),
            3 => json!(-1),
            4 => json!(i64::MAX),
            5 => json!(1e300),
            6 => json!([]),
            7 => json!({}),
            8 => json!([null]),
            9 => json!({word: null}),
            10 => json!("x".repeat(1 + self.index(300))),
            11 => json!(u64::MAX >> self.rng.below(64)),
            12 => lender.map_or(Value::Null, |l| self.part_of(l).clone()),
            _ => json!(word),
        }
    }

    /// Some value within another.
    fn part_of<'v>(&mut self, mut value: &'v Value) -> &'v Value {
        while self.rng.chance(0.7) {
            let child = match value {
                Value::Object(map) => map.values().nth(self.index(map.len())),
                Value::Array(items) => items.get(self.index(items.len())),
                _ => None,
            };
            let Some(child) = child else { break };
            value = child;
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let run = || {
            let mut mutator = Mutator::new(Rng::new(7), vec![b"spec".to_vec()]);
            (0..500).map(|_| mutator.mutate(br#"{"a":[1,{"b":"c"}]}"#, br#"{"d":null}"#)).collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn nothing_is_too_small_to_be_changed() {
        let mut mutator = Mutator::new(Rng::new(1), Vec::new());
        let mut input = Vec::new();
        for _ in 0..2_000 {
            let other = input.clone();
            input = mutator.mutate(&input, &other);
            input.truncate(64);
        }
    }
}

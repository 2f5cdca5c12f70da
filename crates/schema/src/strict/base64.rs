//! Base64 as Go reads it: line breaks are skipped, and an error names the byte that it is at.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::DecodeError;

/// Standard base64 with padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn illegal(at: usize) -> DecodeError {
    DecodeError(format!("illegal base64 data at input byte {at}"))
}

/// The value of a letter of the alphabet.
fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// The bytes that a text stands for. Bits beyond the last byte are ignored.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, DecodeError> {
    let length = text.len();
    let mut letters = text.bytes().enumerate().filter(|(_, b)| !matches!(b, b'\r' | b'\n')).peekable();
    let mut out = Vec::with_capacity(length / 4 * 3);
    let mut block = 0u32;
    let mut count = 0usize;
    while let Some((at, byte)) = letters.next() {
        if let Some(value) = sextet(byte) {
            block = block << 6 | value;
            count += 1;
            if count == 4 {
                out.extend_from_slice(&block.to_be_bytes()[1..]);
                (block, count) = (0, 0);
            }
            continue;
        }
        if byte != b'=' || count < 2 {
            return Err(illegal(at));
        }
        if count == 2 {
            match letters.next() {
                Some((_, b'=')) => {}
                Some((at, _)) => return Err(illegal(at)),
                None => return Err(illegal(length)),
            }
        }
        if let Some((at, _)) = letters.next() {
            return Err(illegal(at));
        }
        let whole = block << (6 * (4 - count) as u32);
        out.extend_from_slice(&whole.to_be_bytes()[1..count]);
        return Ok(out);
    }
    if count == 0 { Ok(out) } else { Err(illegal(length - count)) }
}

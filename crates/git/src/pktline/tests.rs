//! Packets and bands.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn all(mut text: &[u8]) -> Result<Vec<Packet>, String> {
    let mut found = Vec::new();
    while let Some(packet) = read(&mut text).map_err(|why| why.to_string())? {
        found.push(packet);
    }
    Ok(found)
}

#[test]
fn packets_are_read_to_the_end_or_refused() {
    let data = |text: &str| Packet::Data(text.as_bytes().to_vec());
    assert_eq!(
        all(b"0006a\n0004000100020000"),
        Ok(vec![data("a\n"), data(""), Packet::Delimiter, Packet::End, Packet::Flush])
    );
    assert_eq!(all(b""), Ok(Vec::new()));
    for (text, words) in [
        ("0003", "is no length"),
        ("fff1", "is no length"),
        ("+006a\n", "is no length"),
        ("00", "fill"),
        ("0009abc", "fill"),
    ] {
        assert!(all(text.as_bytes()).unwrap_err().contains(words), "{text}");
    }
    let mut longest = b"fff0".to_vec();
    longest.extend(vec![b'x'; 65516]);
    assert_eq!(all(&longest).unwrap().len(), 1);
}

#[test]
fn bands_are_data_words_and_errors() {
    let mut text = Vec::new();
    for piece in [&b"\x01PA"[..], b"\x02remote: hel", b"\x01CK", b"\x02lo\nsecond\x1b[31m\n"] {
        put(&mut text, piece);
    }
    flush(&mut text);
    put(&mut text, b"\x01behind");
    let mut input = text.as_slice();
    let mut bands = Bands::new(&mut input, "https://git.example/m");
    let mut out = Vec::new();
    bands.read_to_end(&mut out).unwrap();
    assert_eq!(out, b"PACK");
    assert_eq!(bands.words(), "remote: hello; second [31m");

    let refused = |piece: &[u8]| {
        let mut text = Vec::new();
        put(&mut text, piece);
        let mut input = text.as_slice();
        std::io::copy(&mut Bands::new(&mut input, "https://git.example/m"), &mut std::io::sink())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(refused(b"\x03no space left\n"), "https://git.example/m says: no space left");
    assert_eq!(refused(b"\x04x"), "a packet is of no known band");
    assert_eq!(refused(b""), "a packet is of no known band");
    assert_eq!(refused(b"\x01x"), "unexpected end of file", "it did not end");
}

proptest! {
    #[test]
    fn what_is_put_is_read_again(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..8)) {
        let mut text = Vec::new();
        pieces.iter().for_each(|piece| put(&mut text, piece));
        prop_assert_eq!(all(&text), Ok(pieces.into_iter().map(Packet::Data).collect()));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = all(&bytes);
        let _ = crate::remote::read_report(&mut bytes.as_slice(), "x");
    }
}

//! Packet lines: the frames of git's protocol, and the bands that a pack and messages share.

#[cfg(test)]
mod tests;

use std::io::{self, BufRead, Read};

use crate::error::{Error, tame};

/// The longest packet, with its four digits.
const LONGEST: usize = 65520;
/// How much of what a server tells people is kept.
const WORDS: usize = 4096;

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// A line or a piece of data.
    Data(Vec<u8>),
    /// The end of a list (0000).
    Flush,
    /// The end of a section (0001).
    Delimiter,
    /// The end of an answer (0002).
    End,
}

/// Reads one packet. `None` at the end of the input.
///
/// # Errors
/// Where the input cannot be read, ends inside of a packet, or has a length that no packet has.
pub fn read(input: &mut dyn BufRead) -> io::Result<Option<Packet>> {
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut digits = [0; 4];
    input.read_exact(&mut digits)?;
    let wrong = || {
        io::Error::new(io::ErrorKind::InvalidData, format!("{:?} is no length of a packet", tame(&digits, 4)))
    };
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(wrong());
    }
    let length = std::str::from_utf8(&digits)
        .ok()
        .and_then(|d| usize::from_str_radix(d, 16).ok())
        .ok_or_else(wrong)?;
    match length {
        0 => return Ok(Some(Packet::Flush)),
        1 => return Ok(Some(Packet::Delimiter)),
        2 => return Ok(Some(Packet::End)),
        3 => return Err(wrong()),
        length if length > LONGEST => return Err(wrong()),
        _ => {}
    }
    let mut data = vec![0; length - 4];
    input.read_exact(&mut data)?;
    Ok(Some(Packet::Data(data)))
}

/// Adds a packet with this data.
pub(crate) fn put(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(format!("{:04x}", data.len() + 4).as_bytes());
    out.extend_from_slice(data);
}

/// Adds the end of a list.
pub(crate) fn flush(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0000");
}

/// Adds the end of a section.
pub(crate) fn delimiter(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0001");
}

/// A line without its end.
pub(crate) fn line(data: &[u8]) -> &[u8] {
    data.strip_suffix(b"\n").unwrap_or(data)
}

/// The data of one band of three: the first is read through this, the second is for people, the third ends it.
pub(crate) struct Bands<'a> {
    input: &'a mut dyn BufRead,
    remote: &'a str,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
    words: Vec<u8>,
}

impl<'a> Bands<'a> {
    pub(crate) fn new(input: &'a mut dyn BufRead, remote: &'a str) -> Self {
        Self { input, remote, piece: Vec::new(), at: 0, ended: false, words: Vec::new() }
    }

    /// What the server told people.
    pub(crate) fn words(&self) -> String {
        // Progress is written over itself: what matters are whole lines.
        let text = String::from_utf8_lossy(&self.words);
        let lines =
            text.split(['\n', '\r']).map(|line| tame(line.as_bytes(), 500)).filter(|line| !line.is_empty());
        lines.collect::<Vec<_>>().join("; ")
    }

    fn next(&mut self) -> io::Result<()> {
        match read(self.input)? {
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(Packet::Data(data)) => match data.split_first() {
                Some((1, _)) => (self.piece, self.at) = (data, 1),
                Some((2, text)) => {
                    self.words.extend_from_slice(text);
                    let over = self.words.len().saturating_sub(WORDS);
                    self.words.drain(..over);
                }
                Some((3, text)) => {
                    let words = tame(text, WORDS);
                    return Err(io::Error::other(Error::Refused { remote: self.remote.to_owned(), words }));
                }
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet is of no known band")),
            },
            Some(_) => self.ended = true,
        }
        Ok(())
    }
}

impl Read for Bands<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.piece.len() && !self.ended {
            self.next()?;
        }
        let got = self.piece.get(self.at..).unwrap_or_default().read(out)?;
        self.at += got;
        Ok(got)
    }
}

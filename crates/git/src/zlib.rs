//! One zlib stream at a time, with the size known and held to.

use std::io::{self, BufRead, Write};

use flate2::{Compression, Decompress, FlushDecompress, Status};

/// Why a stream could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ZlibError {
    #[error("reading it failed: {0}")]
    Read(#[from] io::Error),
    #[error("its compressed data is damaged")]
    Damaged,
    #[error("it ends in the middle of its compressed data")]
    Short,
    #[error("it unpacks to {got} bytes or more, where its header says {said}")]
    Size { said: u64, got: u64 },
}

/// How much is set aside before the first byte is unpacked, whatever a header claims.
const FIRST: u64 = 64 << 10;

/// Unpacks streams one after the other.
pub(crate) struct Inflater {
    state: Decompress,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self { state: Decompress::new(true) }
    }

    /// Takes one stream from `input`, and no byte behind it. It must unpack to exactly `size` bytes.
    pub(crate) fn inflate(&mut self, input: &mut impl BufRead, size: u64) -> Result<Vec<u8>, ZlibError> {
        self.some(input, size, size.saturating_add(1)).and_then(|out| {
            if out.len() as u64 == size {
                Ok(out)
            } else {
                Err(ZlibError::Size { said: size, got: out.len() as u64 })
            }
        })
    }

    /// The first bytes of a stream, at most `most`.
    pub(crate) fn start(&mut self, input: &mut impl BufRead, most: u64) -> Result<Vec<u8>, ZlibError> {
        self.some(input, u64::MAX, most)
    }

    /// Unpacks until the stream ends, or `room` bytes are there.
    fn some(&mut self, input: &mut impl BufRead, size: u64, room: u64) -> Result<Vec<u8>, ZlibError> {
        self.state.reset(true);
        let mut out = Vec::with_capacity(usize::try_from(room.min(FIRST)).unwrap_or(0));
        loop {
            if out.len() as u64 > size {
                return Err(ZlibError::Size { said: size, got: out.len() as u64 });
            }
            if out.len() == out.capacity() {
                // Doubles, as bytes are really there; never beyond the size that was announced.
                let more = room.saturating_sub(out.len() as u64).min(out.len().max(4096) as u64);
                if more == 0 {
                    return Ok(out);
                }
                out.reserve_exact(usize::try_from(more).unwrap_or(0));
            }
            let chunk = input.fill_buf()?;
            let (ended, before, had) = (chunk.is_empty(), self.state.total_in(), out.len());
            let status = self.state.decompress_vec(chunk, &mut out, FlushDecompress::None);
            let used = self.state.total_in().saturating_sub(before);
            input.consume(usize::try_from(used).unwrap_or(0));
            match status {
                Ok(Status::StreamEnd) => return Ok(out),
                Ok(_) if used == 0 && out.len() == had && out.len() < out.capacity() => {
                    return Err(if ended { ZlibError::Short } else { ZlibError::Damaged });
                }
                Ok(_) => {}
                Err(_) => return Err(ZlibError::Damaged),
            }
        }
    }
}

/// Packs bytes as one stream.
pub(crate) fn deflate(data: &[u8]) -> io::Result<Vec<u8>> {
    let mut out =
        flate2::write::ZlibEncoder::new(Vec::with_capacity(data.len() / 2 + 16), Compression::default());
    out.write_all(data)?;
    out.finish()
}

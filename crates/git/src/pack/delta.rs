//! Differences: instructions that copy from a base or add bytes.

/// Takes a number of seven bits a byte, lowest first, from the front of `delta`.
fn number(delta: &mut &[u8]) -> Option<u64> {
    let (mut value, mut shift) = (0u64, 0u32);
    loop {
        let (byte, rest) = delta.split_first()?;
        *delta = rest;
        if shift > 56 {
            return None;
        }
        value |= u64::from(byte & 127) << shift;
        shift += 7;
        if byte & 128 == 0 {
            return Some(value);
        }
    }
}

/// The sizes that a difference begins with: of its base, of its result.
pub(crate) fn sizes(mut delta: &[u8]) -> Option<(u64, u64)> {
    Some((number(&mut delta)?, number(&mut delta)?))
}

/// Makes an object from its base. The caller has looked at [`sizes`] and found the result small enough.
pub(crate) fn apply(base: &[u8], mut delta: &[u8]) -> Result<Vec<u8>, &'static str> {
    const CUT: &str = "a difference is cut off";
    let from = number(&mut delta).ok_or(CUT)?;
    let size = number(&mut delta).ok_or(CUT)?;
    if from != base.len() as u64 {
        return Err("a difference is not to the object that it names");
    }
    let size =
        usize::try_from(size).map_err(|_| "a difference makes an object too large for this machine")?;
    // What is set aside at once is bounded by what is there, not by what is claimed.
    let mut out = Vec::with_capacity(size.min(base.len().saturating_add(delta.len()).saturating_mul(2)));
    while let Some((op, rest)) = delta.split_first() {
        delta = rest;
        let piece = match op {
            0 => return Err("a difference has an instruction that is reserved"),
            op if op & 128 == 0 => {
                let (piece, rest) = delta.split_at_checked(usize::from(*op)).ok_or(CUT)?;
                delta = rest;
                piece
            }
            op => {
                let (from, length) = copy(*op, &mut delta).ok_or(CUT)?;
                base.get(from..from.saturating_add(length))
                    .ok_or("a difference copies from beyond its base")?
            }
        };
        if piece.len() > size - out.len() {
            return Err("a difference makes more than it announces");
        }
        out.extend_from_slice(piece);
    }
    if out.len() == size { Ok(out) } else { Err("a difference makes less than it announces") }
}

/// Offset and length of a copy; zero bytes of both are left out, as the bits of the instruction tell.
fn copy(op: u8, delta: &mut &[u8]) -> Option<(usize, usize)> {
    let (mut from, mut length) = (0usize, 0usize);
    for bit in 0..7 {
        if op & (1 << bit) != 0 {
            let (byte, rest) = delta.split_first()?;
            *delta = rest;
            if bit < 4 {
                from |= usize::from(*byte) << (8 * bit);
            } else {
                length |= usize::from(*byte) << (8 * (bit - 4));
            }
        }
    }
    Some((from, if length == 0 { 0x10000 } else { length }))
}

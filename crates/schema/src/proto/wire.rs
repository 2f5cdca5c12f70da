//! Protobuf's wire format: tags, varints, lengths.

/// Bytes that break the wire format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end inside a value.
    #[error("unexpected EOF")]
    Truncated,
    /// A varint of more than ten bytes.
    #[error("integer overflow")]
    Overflow,
    /// Field number 0, or one beyond protobuf's range.
    #[error("illegal tag {0}")]
    Tag(u64),
    /// A wire type that Kubernetes' messages never use.
    #[error("illegal wireType {0}")]
    Type(u8),
    /// A field of another type than the table says.
    #[error("wrong wireType = {found} for field {number}")]
    Mismatch {
        /// The field.
        number: u32,
        /// The wire type that it has.
        found: u8,
    },
    /// A number that JSON cannot write.
    #[error("field {0} is not a finite number")]
    NotFinite(u32),
}

/// What a field holds, by its wire type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Payload<'b> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Bytes(&'b [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

impl<'b> Payload<'b> {
    fn mismatch(self, number: u32) -> WireError {
        let found = match self {
            Payload::Varint(_) => 0,
            Payload::Fixed64(_) => 1,
            Payload::Bytes(_) => 2,
            Payload::Fixed32(_) => 5,
        };
        WireError::Mismatch { number, found }
    }

    pub(super) fn bytes(self, number: u32) -> Result<&'b [u8], WireError> {
        match self {
            Payload::Bytes(bytes) => Ok(bytes),
            other => Err(other.mismatch(number)),
        }
    }

    pub(super) fn varint(self, number: u32) -> Result<u64, WireError> {
        match self {
            Payload::Varint(value) => Ok(value),
            other => Err(other.mismatch(number)),
        }
    }

    pub(super) fn float(self, number: u32) -> Result<f64, WireError> {
        let value = match self {
            Payload::Fixed64(bits) => f64::from_bits(bits),
            other => return Err(other.mismatch(number)),
        };
        if value.is_finite() { Ok(value) } else { Err(WireError::NotFinite(number)) }
    }

    /// Bytes as text; what is no UTF-8 becomes the replacement character, as in Go's JSON.
    pub(super) fn text(self, number: u32) -> Result<String, WireError> {
        Ok(String::from_utf8_lossy(self.bytes(number)?).into_owned())
    }
}

/// Reads one message's fields in turn.
#[derive(Debug, Clone)]
pub(super) struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// The next field's number and payload; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Payload<'b>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = match u32::try_from(tag >> 3) {
            Ok(n) if n > 0 && n < 1 << 29 => n,
            _ => return Err(WireError::Tag(tag >> 3)),
        };
        let payload = match (tag & 7) as u8 {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(self.fixed64()?),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
                Payload::Bytes(self.take(length)?)
            }
            5 => {
                let bytes = self.take(4)?.try_into().map_err(|_| WireError::Truncated)?;
                Payload::Fixed32(u32::from_le_bytes(bytes))
            }
            other => return Err(WireError::Type(other)),
        };
        Ok(Some((number, payload)))
    }

    /// The next of a run of packed numbers; none at the end.
    pub(super) fn packed(&mut self, float: bool) -> Result<Option<Payload<'b>>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        Ok(Some(if float { Payload::Fixed64(self.fixed64()?) } else { Payload::Varint(self.varint()?) }))
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed64(&mut self) -> Result<u64, WireError> {
        let bytes = self.take(8)?.try_into().map_err(|_| WireError::Truncated)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(WireError::Truncated)?;
            self.rest = rest;
            // Bits beyond 64 are dropped, as Go does.
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::Overflow)
    }
}

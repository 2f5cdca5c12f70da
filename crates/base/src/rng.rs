//! Randomness as an argument: a small seeded generator whose sequence never changes.
//!
//! The algorithm is xoshiro256**, seeded by splitmix64. It is no source of secrets.

use std::fmt::Write;

/// Letters of generated name suffixes: Kubernetes leaves out vowels and lookalikes.
pub const SUFFIX_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A deterministic generator: the same seed gives the same sequence on every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A generator for `seed`.
    pub fn new(seed: u64) -> Self {
        let mut mix = seed;
        Self { state: std::array::from_fn(|_| splitmix64(&mut mix)) }
    }

    /// A generator for `seed` and a name, so that parts of a simulation do not disturb each other.
    pub fn named(seed: u64, name: &str) -> Self {
        // FNV-1a: stable across versions of the standard library, which its hashers are not.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Self::new(seed ^ hash)
    }

    /// The next 64 random bits.
    pub fn u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number in `0..bound`; zero when `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Multiply-shift; its bias is below 2^-40 for the bounds that simulations use.
        ((u128::from(self.u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `[0, 1)`.
    pub fn f64(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.f64() < p
    }

    /// One of the items, or none of an empty slice.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    /// Puts the items into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// A version 4 UUID in its usual text form.
    pub fn uuid_v4(&mut self) -> String {
        let bits = (u128::from(self.u64()) << 64) | u128::from(self.u64());
        let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        let mut out = String::with_capacity(36);
        for (i, c) in hex.chars().enumerate() {
            if matches!(i, 8 | 12 | 16 | 20) {
                out.push('-');
            }
            out.push(c);
        }
        out
    }

    /// `len` letters as Kubernetes appends to `generateName`.
    pub fn suffix(&mut self, len: usize) -> String {
        (0..len).map(|_| char::from(*self.pick(SUFFIX_ALPHABET).unwrap_or(&b'b'))).collect()
    }

    /// `len` lowercase hexadecimal digits.
    pub fn hex(&mut self, len: usize) -> String {
        let mut out = String::with_capacity(len + 16);
        while out.len() < len {
            let _ = write!(out, "{:016x}", self.u64());
        }
        out.truncate(len);
        out
    }
}

/// One step of splitmix64: advances `state` and mixes it.
pub fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_seed_gives_the_published_sequence() {
        // Reference values of splitmix64 with seed 1234567.
        let mut state = 1_234_567;
        let got: Vec<u64> = (0..3).map(|_| splitmix64(&mut state)).collect();
        assert_eq!(got, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
        assert_eq!(Rng::new(7), Rng::new(7));
        assert_ne!(Rng::new(7).u64(), Rng::new(8).u64());
        assert_ne!(Rng::named(7, "pods").u64(), Rng::named(7, "nodes").u64());
    }

    #[test]
    fn uuids_carry_version_and_variant() {
        let mut rng = Rng::new(1);
        for _ in 0..100 {
            let id = rng.uuid_v4();
            assert_eq!(id.len(), 36);
            assert_eq!(id.as_bytes()[14], b'4');
            assert!(b"89ab".contains(&id.as_bytes()[19]), "{id}");
            assert_eq!(id.matches('-').count(), 4);
        }
    }

    #[test]
    fn suffixes_use_the_safe_alphabet() {
        let mut rng = Rng::new(2);
        let text = rng.suffix(1000);
        assert!(text.bytes().all(|b| SUFFIX_ALPHABET.contains(&b)));
        assert_eq!(text.len(), 1000);
        assert_eq!(rng.hex(10).len(), 10);
        assert_eq!(rng.suffix(0), "");
    }

    #[test]
    fn bounds_hold_and_every_value_occurs() {
        let mut rng = Rng::new(3);
        let mut seen = [0_u32; 7];
        for _ in 0..7000 {
            seen[rng.below(7) as usize] += 1;
            let f = rng.f64();
            assert!((0.0..1.0).contains(&f));
        }
        assert!(seen.iter().all(|n| (800..1200).contains(n)), "{seen:?}");
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.pick::<u8>(&[]), None);
    }

    #[test]
    fn shuffling_keeps_the_items() {
        let mut items: Vec<u32> = (0..100).collect();
        Rng::new(4).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}

//! Inputs worth starting from: the seeds, and what was accepted since.

use std::collections::BTreeSet;

use kiban_base::rng::Rng;

/// More inputs than this push old ones out.
const SIZE: usize = 2_000;
/// Words kept for the dictionary.
const WORDS: usize = 4_000;

/// The inputs of one target.
#[derive(Debug)]
pub struct Corpus {
    seeds: usize,
    inputs: Vec<Vec<u8>>,
}

impl Corpus {
    /// Starts with seeds, which stay.
    pub fn new(seeds: Vec<Vec<u8>>) -> Self {
        let inputs = if seeds.is_empty() { vec![Vec::new()] } else { seeds };
        Self { seeds: inputs.len(), inputs }
    }

    /// One of them.
    pub fn pick(&self, rng: &mut Rng) -> &[u8] {
        rng.pick(&self.inputs).map_or(&[], Vec::as_slice)
    }

    /// The seeds.
    pub fn seeds(&self) -> &[Vec<u8>] {
        self.inputs.get(..self.seeds).unwrap_or_default()
    }

    /// Keeps an input that was accepted, in the place of another once there are many.
    pub fn keep(&mut self, input: Vec<u8>, rng: &mut Rng) {
        if self.inputs.len() < self.seeds + SIZE {
            self.inputs.push(input);
            return;
        }
        let at = self.seeds + rng.below(SIZE as u64) as usize;
        if let Some(slot) = self.inputs.get_mut(at) {
            *slot = input;
        }
    }

    /// Words of the seeds, for mutations that put one where it does not belong.
    pub fn words(&self) -> Vec<Vec<u8>> {
        let is_word = |b: &u8| b.is_ascii_alphanumeric() || b"-_./$:~".contains(b);
        let words: BTreeSet<&[u8]> = self
            .seeds()
            .iter()
            .flat_map(|seed| seed.split(|b| !is_word(b)))
            .filter(|word| (2..40).contains(&word.len()))
            .take(1_000_000)
            .collect();
        let step = words.len() / WORDS + 1;
        words.into_iter().step_by(step).map(<[u8]>::to_vec).collect()
    }
}

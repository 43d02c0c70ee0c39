//! Weights of f32 in 29 bits each, without loss. Of the 8 bits of an exponent, a column of weights mostly needs five: it spans 2³⁰ and no more, unless
//! a weight is next to nothing beside the column's largest. A product of one row does nothing but wait for its weights, and waits 9 % less.
//!
//! Lossless is meant literally: products have the same bits as with the weights as they are, and weights that do not fit stay as they are.
//!
//! A panel of 16 columns begins with a vector of scales, one for each column. Groups of 32 steps of the sum follow, in 29 vectors of words. A word holds
//! a weight with a short exponent (its sign in bit 31, the exponent in bits 27 to 23, then the fraction), which is a float that only needs its column's
//! scale; and in bits 30 to 28 a piece of one of the group's three weights that have no word of their own.

use crate::PANEL;

/// Steps of a group.
pub const STEPS: usize = 32;
/// Vectors of words of a group, and the bits of a weight.
pub const WORDS: usize = 29;
/// Where a word has its own weight.
pub const OWN: u32 = 0x8fff_ffff;
/// Where it has a piece of another.
const PIECE: u32 = 0x7000_0000;
/// Words in a row that together have another weight in pieces.
pub const RUN: usize = 10;
/// Exponents that a column may have.
const SPAN: u32 = 31;
const LANES: usize = PANEL as usize;
/// Bits of the fraction.
const FRACTION: u32 = 23;

/// Weights in panels of this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct F29 {
    pub panels: usize,
    /// Of the sum: a multiple of [`STEPS`].
    pub steps: usize,
}

/// The word that has the weight of a step of a group, in all bits but three; `None` for those that are made of pieces, each of which comes after the
/// words that have them.
pub fn own_word(step: usize) -> Option<usize> {
    let (run, at) = (step / (RUN + 1), step % (RUN + 1));
    Some(RUN * run + at).filter(|w| at < RUN && *w < WORDS)
}

/// Some bits of a weight that has no word of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The word that has them, in bits 30 to 28.
    pub word: usize,
    /// How far they go to the right; to the left where it is negative.
    pub right: i32,
    /// Where they are then.
    pub mask: u32,
}

/// Where the pieces of the weight of a step are that has no word of its own: in ten words before it; the third has just nine, and its other two bits are
/// in the tenth words of the first two.
pub fn pieces(step: usize) -> impl Iterator<Item = Piece> {
    let run = step / (RUN + 1);
    let threes = (0..RUN - 1).map(move |p| Piece { word: RUN * run + p, right: 3 * (p as i32 + 1), mask: PIECE >> (3 * (p + 1)) });
    let (sign, last) = if run < 2 { ((RUN * run + RUN - 1, 1), (RUN * run + RUN - 1, 28)) } else { ((RUN - 1, 2), (2 * RUN - 1, 29)) };
    threes.chain([Piece { word: sign.0, right: -sign.1, mask: 1 << 31 }, Piece { word: last.0, right: last.1, mask: 1 }])
}

impl F29 {
    /// The form for panels of these sizes, `[panels, steps…, 16]`, of which the last steps lie in whole groups.
    pub fn of(sizes: &[usize]) -> Option<F29> {
        let [panels, steps @ .., lanes] = sizes else { return None };
        let grouped = steps.last().is_some_and(|s| *s > 0 && s % STEPS == 0);
        (grouped && *lanes == LANES).then(|| F29 { panels: *panels, steps: steps.iter().product() })
    }
    /// Words from one panel to the next.
    pub fn panel_words(&self) -> usize {
        LANES + self.steps / STEPS * WORDS * LANES
    }
    pub fn bytes(&self) -> usize {
        self.panels * self.panel_words() * 4
    }
    /// Whether all weights, in f32 of little endian, keep their bits.
    pub fn holds(&self, weights: &[u8]) -> bool {
        weights.len() == self.panels * self.steps * LANES * 4 && self.each(weights).all(|panel| Column::of(panel).is_some())
    }
    /// The weights in this form, panel by panel; `None` in the place of one that would not keep its bits.
    pub fn encode<'a>(&'a self, weights: &'a [u8]) -> impl Iterator<Item = Option<Vec<u8>>> + 'a {
        self.each(weights).map(|panel| {
            let columns = Column::of(panel)?;
            let mut words: Vec<u32> = Vec::with_capacity(self.panel_words());
            words.extend(columns.iter().map(|c| c.scale().to_bits()));
            for group in panel.chunks(STEPS * LANES * 4) {
                let start = words.len();
                words.resize(start + WORDS * LANES, 0);
                let group_words = &mut words[start..];
                for (i, bits) in bits_of(group).enumerate() {
                    let short = columns[i % LANES].short(bits);
                    let (step, lane) = (i / LANES, i % LANES);
                    match own_word(step) {
                        Some(w) => group_words[w * LANES + lane] |= short,
                        None => pieces(step).for_each(|p| {
                            let part = short & p.mask;
                            group_words[p.word * LANES + lane] |= if p.right < 0 { part >> -p.right } else { part << p.right };
                        }),
                    }
                }
            }
            Some(words.iter().flat_map(|w| w.to_le_bytes()).collect())
        })
    }
    fn each<'a>(&self, weights: &'a [u8]) -> std::slice::Chunks<'a, u8> {
        weights.chunks((self.steps * LANES * 4).max(1))
    }
}

fn bits_of(weights: &[u8]) -> impl Iterator<Item = u32> {
    weights.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// What the short exponents of a column count from.
#[derive(Clone, Copy)]
struct Column {
    /// The largest exponent; 0 where all weights are.
    top: u32,
}

impl Column {
    /// Those of a panel, unless a weight does not fit: it has no exponent of its own (but for 0), or one that is too far from the column's largest.
    fn of(panel: &[u8]) -> Option<[Column; LANES]> {
        let (mut least, mut most) = ([u32::MAX; LANES], [0u32; LANES]);
        let mut odd = false;
        for row in panel.chunks_exact(LANES * 4) {
            for (lane, bits) in bits_of(row).enumerate() {
                let (number, exponent) = (bits & !(1 << 31), (bits >> FRACTION) & 0xff);
                odd |= number != 0 && exponent == 0;
                least[lane] = least[lane].min(if number == 0 { u32::MAX } else { exponent });
                most[lane] = most[lane].max(exponent);
            }
        }
        let fits = least.iter().zip(most).all(|(least, most)| *least > most || most - least < SPAN && most <= 31 + 127);
        (fits && !odd).then(|| most.map(|top| Column { top }))
    }
    /// Short exponents are 1 to 31.
    fn short(self, bits: u32) -> u32 {
        if bits << 1 == 0 { bits } else { (bits + (SPAN << FRACTION)) - (self.top << FRACTION) }
    }
    /// What short floats are multiplied by: exact, as is the product.
    fn scale(self) -> f32 {
        if self.top == 0 { 1.0 } else { f32::from_bits((self.top + 127 - SPAN) << FRACTION) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The weight at a step and column, as libraries read it.
    fn decoded(form: F29, bytes: &[u8], panel: usize, step: usize, lane: usize) -> f32 {
        let words: Vec<u32> = bits_of(bytes).collect();
        let panel = &words[panel * form.panel_words()..][..form.panel_words()];
        let group = &panel[LANES + step / STEPS * WORDS * LANES..][..WORDS * LANES];
        let word = |i: usize| group[i * LANES + lane];
        let short = match own_word(step % STEPS) {
            Some(w) => word(w) & OWN,
            None => pieces(step % STEPS).fold(0, |v, p| {
                let part = word(p.word);
                v | (if p.right < 0 { part << -p.right } else { part >> p.right }) & p.mask
            }),
        };
        f32::from_bits(short) * f32::from_bits(panel[lane])
    }

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    fn encoded(form: F29, values: &[f32]) -> Option<Vec<u8>> {
        let raw = bytes(values);
        let all: Option<Vec<Vec<u8>>> = form.encode(&raw).collect();
        assert_eq!(all.is_some(), form.holds(&raw));
        all.map(|panels| panels.concat())
    }

    proptest! {
        #[test]
        fn weights_keep_all_their_bits(seed in any::<u64>(), top in 40i32..158, zeros in 0u64..4) {
            let form = F29 { panels: 2, steps: 64 };
            let mut state = seed | 1;
            let mut next = || { state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); state >> 20 };
            let values: Vec<f32> = (0..form.panels * form.steps * LANES).map(|_| {
                let exponent = (top - (next() % 31) as i32) as u32;
                let sign = (next() as u32 & 1) << 31;
                let number = if next() % 4 < zeros { 0 } else { exponent << 23 | next() as u32 & 0x7f_ffff };
                f32::from_bits(sign | number)
            }).collect();
            let stored = encoded(form, &values).unwrap();
            prop_assert_eq!(stored.len(), form.bytes());
            for (i, v) in values.iter().enumerate() {
                let (panel, step, lane) = (i / LANES / form.steps, i / LANES % form.steps, i % LANES);
                prop_assert_eq!(decoded(form, &stored, panel, step, lane).to_bits(), v.to_bits());
            }
        }
    }

    #[test]
    fn weights_that_would_lose_bits_are_refused() {
        let form = F29 { panels: 1, steps: 32 };
        let with = |v: f32| {
            let mut values = vec![1.5f32; form.steps * LANES];
            values[37] = v;
            encoded(form, &values).is_some()
        };
        let cases = [0.0, -0.0, 2f32.powi(-30), 2f32.powi(30), 2f32.powi(-31), 2f32.powi(31), f32::MIN_POSITIVE / 2.0, f32::NAN, f32::INFINITY];
        assert_eq!(cases.map(with), [true, true, true, true, false, false, false, false, false]);
        // Another column may be of another size.
        let mut values = vec![1e-20f32; form.steps * LANES];
        (0..form.steps).for_each(|k| values[k * LANES + 3] = 1e8);
        assert!(encoded(form, &values).is_some());
    }

    #[test]
    fn groups_are_whole() {
        assert_eq!(F29::of(&[7, 12, 64, 16]), Some(F29 { panels: 7, steps: 768 }));
        assert_eq!([F29::of(&[7, 12, 60, 16]), F29::of(&[7, 64, 8]), F29::of(&[16])], [None; 3]);
    }
}

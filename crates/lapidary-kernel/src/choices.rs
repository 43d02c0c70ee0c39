//! Schedules that were chosen beforehand: what a `.tune` file holds, and what lowering decided.

use crate::Cpu;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Choices by the names of kernels. What is not among them is left to the cost models. Sorted, since they are written to files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Of convolutions that Winograd's algorithm can compute.
    pub algorithms: BTreeMap<String, Algorithm>,
    /// Whether a run of kernels, named by its first, is computed strip by strip.
    pub strips: BTreeMap<String, bool>,
    /// Of contractions by [`Plan::keys`](crate::Plan::keys), for each code version.
    pub tiles: BTreeMap<Cpu, BTreeMap<String, Tile>>,
}

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// The plain sum of products.
    Direct,
    /// Winograd's, in tiles of 2 × 2 outputs.
    F2,
    /// Winograd's, in tiles of 4 × 4 outputs.
    F4,
}

/// The register tile of a contraction, and the block around it: `8x3 in 96x12`, or `8x3` where the block is left to the cost model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tile {
    pub rows: i64,
    /// Of 16 columns each.
    pub vectors: i64,
    pub block: Option<Block>,
}

/// The rows and columns of a contraction that are multiplied while they stay in the caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// A multiple of the tile's.
    pub rows: i64,
    /// Panels of 16 columns, a multiple of the tile's vectors.
    pub panels: i64,
}

impl Choices {
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    pub fn len(&self) -> usize {
        self.algorithms.len() + self.strips.len() + self.tiles.values().map(BTreeMap::len).sum::<usize>()
    }
    pub fn tile(&self, cpu: Cpu, kernel: &str) -> Option<Tile> {
        self.tiles.get(&cpu)?.get(kernel).copied()
    }
    /// Takes the choices of `other` in the place of these.
    pub fn extend(&mut self, other: &Choices) {
        self.algorithms.extend(other.algorithms.iter().map(|(k, v)| (k.clone(), *v)));
        self.strips.extend(other.strips.iter().map(|(k, v)| (k.clone(), *v)));
        for (cpu, tiles) in &other.tiles {
            self.tiles.entry(*cpu).or_default().extend(tiles.iter().map(|(k, v)| (k.clone(), *v)));
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Algorithm::Direct => "direct",
            Algorithm::F2 => "f2",
            Algorithm::F4 => "f4",
        })
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows, self.vectors)?;
        match self.block {
            Some(b) => write!(f, " in {}x{}", b.rows, b.panels),
            None => Ok(()),
        }
    }
}

impl FromStr for Tile {
    type Err = String;
    fn from_str(text: &str) -> Result<Tile, String> {
        let pair = |s: &str| -> Option<(i64, i64)> {
            let (a, b) = s.split_once('x')?;
            let number = |s: &str| s.parse::<u32>().ok().filter(|n| *n > 0).map(i64::from);
            Some((number(a)?, number(b)?))
        };
        let read = || {
            let (tile, block) = text.split_once(" in ").map_or((text, None), |(t, b)| (t, Some(b)));
            let (rows, vectors) = pair(tile)?;
            let block = match block {
                Some(b) => Some(pair(b).map(|(rows, panels)| Block { rows, panels })?),
                None => None,
            };
            Some(Tile { rows, vectors, block })
        };
        read().ok_or_else(|| format!("'{text}' is no tile; one is written like 8x3, or 8x3 in 96x12"))
    }
}

impl TryFrom<String> for Tile {
    type Error = String;
    fn try_from(text: String) -> Result<Tile, String> {
        text.parse()
    }
}

impl From<Tile> for String {
    fn from(tile: Tile) -> String {
        tile.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_read_as_they_are_written() {
        for text in ["8x3", "1x1 in 192x6"] {
            assert_eq!(text.parse::<Tile>().map(|t| t.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_no_tile_is_refused() {
        for text in ["", "8", "8x", "8x0", "-8x3", "8x3 in", "8x3 in 96", "8x3in96x12", "8x99999999999"] {
            assert!(text.parse::<Tile>().is_err(), "{text}");
        }
    }
}

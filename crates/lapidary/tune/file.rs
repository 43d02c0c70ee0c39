//! `.tune` files: what measuring chose, as TOML that can be read, compared and edited.

use lapidary_ir::{Diagnostic, Result};
use lapidary_kernel::{Algorithm, Choices, Cpu, Tile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The form of files that this version writes and reads.
const FORM: u32 = 1;

const HEAD: &str = "\
# Schedules that `lapidary compile --tune` measured; `--schedule` compiles with them.
# winograd: f4, f2 (tiles of 4 or 2 outputs a side) or direct. strips: whether a run of kernels, named by its first, goes strip by strip.
# tile: for each code version, rows x vectors of 16 columns, in blocks of rows x vectors.
";

/// The contents of a `.tune` file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// Version of this form.
    form: u32,
    /// Version of Lapidary that measured.
    lapidary: String,
    /// The CPU that was measured.
    pub cpu: String,
    /// Threads that were measured.
    pub threads: u16,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    winograd: BTreeMap<String, Algorithm>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    strips: BTreeMap<String, bool>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tile: BTreeMap<Cpu, BTreeMap<String, Tile>>,
}

impl Tuning {
    pub fn new(cpu: String, threads: u16, choices: Choices) -> Tuning {
        let Choices { algorithms, strips, tiles } = choices;
        Tuning { form: FORM, lapidary: env!("CARGO_PKG_VERSION").into(), cpu, threads, winograd: algorithms, strips, tile: tiles }
    }
    pub fn choices(&self) -> Choices {
        Choices { algorithms: self.winograd.clone(), strips: self.strips.clone(), tiles: self.tile.clone() }
    }
    /// The text of the file: the same for the same choices.
    pub fn to_text(&self) -> Result<String> {
        let body = toml::to_string(self).map_err(|e| Diagnostic::error("tune", format!("the schedules cannot be written: {e}")))?;
        Ok(format!("{HEAD}{body}"))
    }
    /// Reads the text of a file.
    ///
    /// # Errors
    /// Text that is no TOML, keys that are not known, values that are no choices (each with its place); a form of another version.
    pub fn parse(text: &str) -> Result<Tuning> {
        let made = "`lapidary compile --tune` writes such files";
        let form = |t: &toml::Table| t.get("form").and_then(|f| f.as_integer());
        match text.parse::<toml::Table>().ok().as_ref().and_then(form) {
            Some(n) if n != i64::from(FORM) => {
                let d = Diagnostic::error("tune-version", format!("the file has form {n}, and this version reads form {FORM}"));
                return Err(d.help("measure again with --tune").into());
            }
            _ => {}
        }
        toml::from_str(text).map_err(|e| {
            let d = Diagnostic::error("tune-syntax", e.message().trim_end().to_string()).help(made);
            match e.span() {
                Some(span) => d.source(text, span),
                None => d,
            }
            .into()
        })
    }
    pub fn read(path: &Path) -> Result<Tuning> {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| crate::arrays::unreadable(path, &e))?;
        Tuning::parse(&text).map_err(|mut e| {
            e.0.iter_mut().for_each(|d| d.place.file = Some(place.clone()));
            e
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapidary_kernel::Block;

    fn example() -> Tuning {
        let mut choices = Choices::default();
        choices.algorithms.insert("Conv:b \"c\"".into(), Algorithm::F2);
        choices.algorithms.insert("Conv:a".into(), Algorithm::Direct);
        choices.strips.insert("winograd:inputs Conv:b \"c\"".into(), true);
        let block = Some(Block { rows: 96, panels: 12 });
        choices.tiles.entry(Cpu::X86V4).or_default().insert("Conv:a".into(), Tile { rows: 8, vectors: 3, block });
        choices.tiles.entry(Cpu::X86V3).or_default().insert("Conv:a".into(), Tile { rows: 6, vectors: 1, block: None });
        Tuning::new("a CPU".into(), 1, choices)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let tuning = example();
        let text = tuning.to_text().unwrap();
        assert_eq!(Tuning::parse(&text).unwrap(), tuning, "{text}");
        assert_eq!(Tuning::new("a CPU".into(), 1, tuning.choices()).to_text().unwrap(), text);
        assert!(text.contains("\n\"Conv:a\" = \"8x3 in 96x12\"\n"), "{text}");
    }

    #[test]
    fn mistakes_are_marked() {
        let head = "form = 1\nlapidary = \"0\"\ncpu = \"\"\nthreads = 1\n";
        let line = |text: &str| {
            let e = Tuning::parse(text).unwrap_err();
            let (text, at) = e.0[0].place.source.clone().unwrap_or_else(|| panic!("{e}"));
            (text[..at.start].lines().count().max(1), e.to_string())
        };
        for (body, message) in [
            ("[tile.x86-64-v4]\n\"a\" = \"9y3\"\n", "'9y3' is no tile"),
            ("[winograd]\n\"a\" = \"f9\"\n", "f9"),
            ("[strips]\na = 3\n", "boolean"),
            ("[tile.arm]\n\"a\" = \"8x3\"\n", "arm"),
            ("[tiles]\n", "tiles"),
            ("[strips\n", ""),
        ] {
            let (line, found) = line(&format!("{head}{body}"));
            assert!(line >= 4 && found.contains(message), "{body}: line {line}: {found}");
        }
        assert!(Tuning::parse("").is_err());
        let newer = Tuning::parse(&head.replace("form = 1", "form = 2")).unwrap_err();
        assert!(newer.to_string().contains("form 2"), "{newer}");
    }
}

//! Choices that were made beforehand come first, then the cost models; what was decided is noted.

use crate::winograd::Form;
use lapidary_ir::{Diagnostic, Result};
use lapidary_kernel::{Algorithm, Choices, Program, Strips};

pub struct Chooser<'a> {
    asked: &'a Choices,
    made: Choices,
    /// Kernels for which an algorithm was asked, and there is no choice.
    alone: Vec<String>,
}

impl<'a> Chooser<'a> {
    pub fn new(asked: &'a Choices) -> Chooser<'a> {
        Chooser { asked, made: Choices { tiles: asked.tiles.clone(), ..Choices::default() }, alone: vec![] }
    }
    /// The form of Winograd's algorithm that computes a kernel; `best`: what the cost model says of a convolution that can be computed by it.
    ///
    /// # Errors
    /// Winograd's algorithm was asked for, and `exact` forbids it.
    pub fn form(&mut self, kernel: &str, best: Option<Option<Form>>, exact: bool) -> Result<Option<Form>> {
        let asked = self.asked.algorithms.get(kernel).copied();
        let Some(best) = best else {
            self.alone.extend(asked.map(|_| kernel.to_string()));
            return Ok(None);
        };
        let form = match asked {
            None => best,
            Some(Algorithm::Direct) => None,
            Some(_) if exact => {
                let d = Diagnostic::error("schedule", format!("kernel '{kernel}' is to be computed by an algorithm that --exact-conv forbids"));
                return Err(d.help("measure again with --exact-conv").into());
            }
            Some(Algorithm::F2) => Some(Form::F2),
            Some(Algorithm::F4) => Some(Form::F4),
        };
        let made = match form {
            None => Algorithm::Direct,
            Some(Form::F2) => Algorithm::F2,
            Some(Form::F4) => Algorithm::F4,
        };
        self.made.algorithms.insert(kernel.into(), made);
        Ok(form)
    }
    /// Whether the run that begins with kernel `first` goes strip by strip; `pays`: what the cost model says.
    pub fn strips(&mut self, first: &str, pays: bool) -> bool {
        let yes = self.asked.strips.get(first).copied().unwrap_or(pays);
        self.made.strips.insert(first.into(), yes);
        yes
    }
    /// What was decided.
    ///
    /// # Errors
    /// A choice for a kernel that leaves none.
    pub fn finish(self, p: &Program, strips: &[Strips]) -> Result<Choices> {
        let wrong = |name: &str, why: &str| Diagnostic::error("schedule", format!("kernel '{name}' {why}")).help("leave its line out");
        if let Some(name) = self.alone.iter().find(|n| !self.made.algorithms.contains_key(*n)) {
            return Err(wrong(name, "is no convolution that Winograd's algorithm could compute").into());
        }
        for name in self.asked.strips.keys().filter(|n| !self.made.strips.contains_key(*n)) {
            // Within a run that an earlier kernel begins, there is nothing left to choose.
            let outside = |i: usize| *p.kernels[i].name == **name && !strips.iter().any(|s| s.range().contains(&i));
            if (0..p.kernels.len()).any(outside) {
                return Err(wrong(name, "begins no run that could go strip by strip").into());
            }
        }
        Ok(self.made)
    }
}

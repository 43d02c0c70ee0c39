//! Constants, laid out in one block.

use crate::emit::library::WEIGHTS_SYMBOL;
use lapidary_ir::{DType, Diagnostic, Result, Tensor};
use lapidary_kernel::{BufferKind, F29, Plan};
use lapidary_runtime::abi::{ALIGN, WEIGHTS_DATA_OFFSET, WeightsHeader};
use rustc_hash::FxHashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a large part of a file: some of the largest pages there are.
const PART_BYTES: usize = 16 << 20;

/// Writes a file in large parts that begin at multiples of their size: the system keeps those in large pages, through which weights are read faster.
pub struct PartsWriter {
    file: File,
    part: Vec<u8>,
}

impl PartsWriter {
    pub fn new(file: File) -> PartsWriter {
        PartsWriter { file, part: vec![] }
    }
}

impl Write for PartsWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = bytes.len().min(PART_BYTES - self.part.len());
        self.part.extend_from_slice(&bytes[..count]);
        if self.part.len() == PART_BYTES {
            self.flush()?;
        }
        Ok(count)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.file.write_all(&self.part)?;
        self.part.clear();
        Ok(())
    }
}

/// Where each constant lies.
pub struct Weights {
    /// By buffer.
    pub offsets: Vec<Option<u64>>,
    pub bytes: u64,
    /// Hash of the content.
    pub hash: u64,
    /// In order of offsets.
    pieces: Vec<Piece>,
}

/// A constant, its place, and the form in which it is kept there.
struct Piece {
    at: u64,
    tensor: Arc<Tensor>,
    form: Option<F29>,
}

impl Piece {
    fn bytes(&self) -> u64 {
        self.form.map_or(self.tensor.bytes().len(), |f| f.bytes()) as u64
    }
    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Some(form) = self.form else { return out.write_all(self.tensor.bytes()) };
        form.encode(self.tensor.bytes()).try_for_each(|panel| {
            let lost = || std::io::Error::other("a weight does not fit 29 bits");
            out.write_all(&panel.ok_or_else(lost)?)
        })
    }
}

impl Weights {
    /// Places every constant of the plan once, at multiples of 64 bytes; equal ones share their place.
    pub fn of(plan: &Plan) -> Result<Weights> {
        let mut known: FxHashMap<u64, Vec<usize>> = FxHashMap::default();
        let mut w = Weights { offsets: vec![], bytes: 0, hash: 0, pieces: vec![] };
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for id in plan.program.buffer_ids() {
            let (b, form) = (plan.program.buffer(id), plan.f29(id));
            let BufferKind::Const(t) = &b.kind else {
                w.offsets.push(None);
                continue;
            };
            if t.dtype() == DType::String {
                let message = format!("constant '{}' holds strings, which native code cannot read", b.name);
                return Err(Diagnostic::unsupported("string-constant", message).into());
            }
            let content = xxhash_rust::xxh3::xxh3_64(t.bytes());
            let same = known.entry(content).or_default();
            let equal = |p: &Piece| p.form == form && p.tensor.bytes() == t.bytes();
            let at = match same.iter().find(|i| equal(&w.pieces[**i])) {
                Some(i) => w.pieces[*i].at,
                None => {
                    let at = w.bytes.next_multiple_of(ALIGN as u64);
                    same.push(w.pieces.len());
                    let piece = Piece { at, tensor: t.clone(), form };
                    w.bytes = at + piece.bytes();
                    w.pieces.push(piece);
                    hash.update(&at.to_le_bytes());
                    hash.update(&content.to_le_bytes());
                    at
                }
            };
            w.offsets.push(Some(at));
        }
        w.hash = hash.digest();
        Ok(w)
    }
    fn write_data(&self, out: &mut impl Write) -> std::io::Result<()> {
        let mut end = 0;
        for p in &self.pieces {
            out.write_all(&vec![0; (p.at - end) as usize])?;
            p.write(out)?;
            end = p.at + p.bytes();
        }
        Ok(())
    }
    /// Writes the block, and an assembly file that makes an object of it.
    pub fn write_assembly(&self, folder: &Path) -> std::io::Result<std::path::PathBuf> {
        let data = folder.join("weights.bin");
        let mut out = PartsWriter::new(File::create(&data)?);
        self.write_data(&mut out)?;
        out.flush()?;
        let assembly = folder.join("weights.s");
        // A relative name: the folder's differs from run to run. Read-only data that needs no relocation.
        let text = format!(
            ".section .rodata.{WEIGHTS_SYMBOL},\"a\",@progbits\n.balign {ALIGN}\n.globl {WEIGHTS_SYMBOL}\n.hidden {WEIGHTS_SYMBOL}\n\
             .type {WEIGHTS_SYMBOL},@object\n{WEIGHTS_SYMBOL}:\n.incbin \"weights.bin\"\n.size {WEIGHTS_SYMBOL},.-{WEIGHTS_SYMBOL}\n\
             .section .note.GNU-stack,\"\",@progbits\n"
        );
        std::fs::write(&assembly, text)?;
        Ok(assembly)
    }
    /// Writes a side file.
    pub fn write_side(&self, out: &mut impl Write, build_id: u64) -> std::io::Result<()> {
        let header = WeightsHeader::new(build_id, self.bytes).to_bytes();
        out.write_all(&header)?;
        out.write_all(&vec![0; WEIGHTS_DATA_OFFSET as usize - header.len()])?;
        self.write_data(out)
    }
}

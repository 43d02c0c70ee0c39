use serde::{Deserialize, Serialize};

/// How a kernel is executed: a template and its numbers. Chosen by the structure of the kernel, never by an operator's name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "template", rename_all = "lowercase")]
pub enum Schedule {
    /// Elementwise: every parallel point on its own, vectors along parallel axis `vector`.
    Map { vector: u16 },
    /// Reductions inside each point, vectors along parallel axis `vector` (depthwise convolution, pooling, column sums).
    Window { vector: u16 },
    /// Vectors along the reduced or local axis `vector` of each point (softmax, norms, row sums).
    Row { vector: u16 },
    /// A sum of products on a register tile: `m`, `n` (parallel axes; vectors along `n`), `k` (reduced axes, the last is the inner loop),
    /// `batch` (the other parallel axes); `a` and `b` are the expressions of the two loads.
    Contract { batch: Vec<u16>, m: Vec<u16>, n: Vec<u16>, k: Vec<u16>, a: u32, b: u32 },
    /// One thread, one point at a time, in order.
    Serial,
}

impl Schedule {
    pub fn template(&self) -> &'static str {
        match self {
            Schedule::Map { .. } => "map",
            Schedule::Window { .. } => "window",
            Schedule::Row { .. } => "row",
            Schedule::Contract { .. } => "contract",
            Schedule::Serial => "serial",
        }
    }
}

/// Products of 8-bit codes that one instruction adds up in a lane: neighbours along the inner sum.
pub const QUAD: i64 = 4;

/// What the two factors of a contraction are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factors {
    F32,
    /// Read as bf16, added up in f32.
    Bf16,
    /// Codes of 8 bits, the left ones unsigned and the right ones signed, added up in i32.
    Codes,
}

impl Factors {
    /// Neighbours along the inner sum that a lane of 32 bits holds: their products are added up in one step.
    pub fn group(self) -> i64 {
        match self {
            Factors::F32 => 1,
            Factors::Bf16 => 2,
            Factors::Codes => QUAD,
        }
    }
}

/// What scheduling and emission need to know of a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    pub cpu: Cpu,
    /// Bytes of a vector register.
    pub vector_bytes: usize,
    /// Architectural vector registers.
    pub vector_registers: usize,
    pub l1_bytes: usize,
    pub l2_bytes: usize,
}

/// Code versions that a library can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cpu {
    /// AVX2 and FMA.
    #[serde(rename = "x86-64-v3")]
    X86V3,
    /// AVX-512 with VNNI and BF16.
    #[serde(rename = "x86-64-v4")]
    X86V4,
}

impl Cpu {
    pub fn name(self) -> &'static str {
        match self {
            Cpu::X86V3 => "x86-64-v3",
            Cpu::X86V4 => "x86-64-v4",
        }
    }
}

impl Target {
    pub fn of(cpu: Cpu) -> Target {
        match cpu {
            Cpu::X86V3 => Target { cpu, vector_bytes: 32, vector_registers: 16, l1_bytes: 32 << 10, l2_bytes: 512 << 10 },
            Cpu::X86V4 => Target { cpu, vector_bytes: 64, vector_registers: 32, l1_bytes: 32 << 10, l2_bytes: 1 << 20 },
        }
    }
}

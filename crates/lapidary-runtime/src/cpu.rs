//! What the CPU can do: one bit per instruction set that generated code may ask for, read from the CPU itself and from
//! the operating system (which must save the wide registers).

/// One instruction set: its bit in a feature mask and the name that users know.
pub struct Feature {
    pub bit: u64,
    pub name: &'static core::ffi::CStr,
}

macro_rules! features {
    ($($constant:ident = $index:literal, $name:literal;)*) => {
        $(pub const $constant: u64 = 1 << $index;)*
        /// All features, in the order in which messages list them.
        pub const FEATURES: &[Feature] = &[$(Feature { bit: $constant, name: $name },)*];
    };
}

features! {
    SSE3 = 0, c"SSE3";
    SSSE3 = 1, c"SSSE3";
    SSE41 = 2, c"SSE4.1";
    SSE42 = 3, c"SSE4.2";
    POPCNT = 4, c"POPCNT";
    CX16 = 5, c"CMPXCHG16B";
    LAHF = 6, c"LAHF";
    AVX = 7, c"AVX";
    F16C = 8, c"F16C";
    FMA = 9, c"FMA";
    MOVBE = 10, c"MOVBE";
    AVX2 = 11, c"AVX2";
    BMI1 = 12, c"BMI1";
    BMI2 = 13, c"BMI2";
    LZCNT = 14, c"LZCNT";
    AVX512F = 15, c"AVX512F";
    AVX512BW = 16, c"AVX512BW";
    AVX512CD = 17, c"AVX512CD";
    AVX512DQ = 18, c"AVX512DQ";
    AVX512VL = 19, c"AVX512VL";
    AVX512VNNI = 20, c"AVX512-VNNI";
    AVX512BF16 = 21, c"AVX512-BF16";
    AVXVNNI = 22, c"AVX-VNNI";
    AVX512FP16 = 23, c"AVX512-FP16";
}

/// What the compiler's `x86-64-v3` needs.
pub const X86_64_V3: u64 = SSE3 | SSSE3 | SSE41 | SSE42 | POPCNT | CX16 | LAHF | AVX | F16C | FMA | MOVBE | AVX2 | BMI1 | BMI2 | LZCNT;
/// What the compiler's `x86-64-v4` needs.
pub const X86_64_V4: u64 = X86_64_V3 | AVX512F | AVX512BW | AVX512CD | AVX512DQ | AVX512VL;
/// `x86-64-v4` with the dot products of bytes and of bfloat16.
pub const X86_64_V4_DOT: u64 = X86_64_V4 | AVX512VNNI | AVX512BF16;

/// The features that this CPU has and the operating system supports.
#[cfg(target_arch = "x86_64")]
pub fn detect() -> u64 {
    use core::arch::x86_64::{__cpuid, __cpuid_count};
    // The intrinsics became safe functions in a later compiler than the oldest one supported.
    #[allow(unused_unsafe)]
    // SAFETY: every x86-64 CPU has `cpuid`; a leaf is read only if leaf 0 says that it is there.
    let (highest, one, seven, seven_one, extended) = unsafe {
        let none = core::arch::x86_64::CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
        let highest = __cpuid(0).eax;
        let seven = if highest >= 7 { __cpuid_count(7, 0) } else { none };
        let seven_one = if seven.eax >= 1 { __cpuid_count(7, 1) } else { none };
        let extended = if __cpuid(0x8000_0000).eax >= 0x8000_0001 { __cpuid(0x8000_0001) } else { none };
        (highest, __cpuid(1), seven, seven_one, extended)
    };
    if highest < 1 {
        return 0;
    }
    let mut found = 0;
    let mut add = |register: u32, bit: u32, feature: u64| {
        if register >> bit & 1 == 1 {
            found |= feature;
        }
    };
    add(one.ecx, 0, SSE3);
    add(one.ecx, 9, SSSE3);
    add(one.ecx, 13, CX16);
    add(one.ecx, 19, SSE41);
    add(one.ecx, 20, SSE42);
    add(one.ecx, 22, MOVBE);
    add(one.ecx, 23, POPCNT);
    add(extended.ecx, 0, LAHF);
    add(extended.ecx, 5, LZCNT);
    add(seven.ebx, 3, BMI1);
    add(seven.ebx, 8, BMI2);

    // Bit 27: the system has switched on XSAVE, so `xgetbv` may be asked which registers it saves.
    let saved = if one.ecx >> 27 & 1 == 1 { xcr0() } else { 0 };
    const YMM: u64 = 0b110;
    const ZMM: u64 = 0b1110_0110;
    if saved & YMM == YMM {
        add(one.ecx, 28, AVX);
        add(one.ecx, 12, FMA);
        add(one.ecx, 29, F16C);
        add(seven.ebx, 5, AVX2);
        add(seven_one.eax, 4, AVXVNNI);
    }
    if saved & ZMM == ZMM {
        add(seven.ebx, 16, AVX512F);
        add(seven.ebx, 17, AVX512DQ);
        add(seven.ebx, 28, AVX512CD);
        add(seven.ebx, 30, AVX512BW);
        add(seven.ebx, 31, AVX512VL);
        add(seven.ecx, 11, AVX512VNNI);
        add(seven.edx, 23, AVX512FP16);
        add(seven_one.eax, 5, AVX512BF16);
    }
    found
}

/// Other architectures: generated code asks for no feature beyond the baseline.
#[cfg(not(target_arch = "x86_64"))]
pub fn detect() -> u64 {
    0
}

/// The register sets that the operating system saves on a context switch.
#[cfg(target_arch = "x86_64")]
fn xcr0() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller has seen OSXSAVE; the instruction reads one control register.
    unsafe {
        core::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    (high as u64) << 32 | low as u64
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_library() {
        let found = detect();
        macro_rules! same {
            ($($name:tt $bit:expr;)*) => { $(assert_eq!(found & $bit != 0, std::is_x86_feature_detected!($name), $name);)* };
        }
        same! {
            "sse3" SSE3; "ssse3" SSSE3; "sse4.1" SSE41; "sse4.2" SSE42; "popcnt" POPCNT; "cmpxchg16b" CX16;
            "avx" AVX; "f16c" F16C; "fma" FMA; "movbe" MOVBE; "avx2" AVX2; "bmi1" BMI1; "bmi2" BMI2; "lzcnt" LZCNT;
            "avx512f" AVX512F; "avx512bw" AVX512BW; "avx512cd" AVX512CD; "avx512dq" AVX512DQ; "avx512vl" AVX512VL;
            "avx512vnni" AVX512VNNI; "avx512bf16" AVX512BF16; "avxvnni" AVXVNNI; "avx512fp16" AVX512FP16;
        }
    }

    #[test]
    fn bits_are_distinct() {
        let mut all = 0;
        for feature in FEATURES {
            assert_eq!(all & feature.bit, 0);
            all |= feature.bit;
        }
    }
}

//! For each thing that the verifier checks, a program that it refuses.

use lapidary_kernel::text::parse_program;

const SOUND: &str = "program p {
  in 0 x: f32[N, 8]
  in 1 ids: i64[N]
  temp t: f32[N, 8]
  out 0 y: f32[N, 8]

  kernel first {
    par i < N, j < 8
    t[i, j] = exp(x[i, j])
  }

  kernel second {
    par i < N
    axes j < 8
    s = sum(j): f32 t[i, j]
    let e[j]: f32 = t[i, j] / s
    y[i, j] = e[j] for j
    schedule row { vector: j }
  }
}
";

#[test]
fn what_is_sound_passes() {
    assert_eq!(parse_program(SOUND, &|_| None).unwrap().verify(), vec![]);
}

#[test]
fn what_is_wrong_is_named() {
    let cases = [
        ("exp(x[i, j])", "(x[i, j]):f16", "an element of 'x' as f16"),
        ("exp(x[i, j])", "f64(x[i, j])", "f64 stored in 't' of f32"),
        ("exp(x[i, j])", "x[i, j] + f32(ids[i]) * (ids[i]):f32", "an element of 'ids' as f32"),
        ("exp(x[i, j])", "x[i, j] + (ids[i] + i)", "Add of f32 and i64 as f32"),
        ("exp(x[i, j])", "select(x[i, j], 1, x[i, j])", "a choice by f32"),
        ("exp(x[i, j])", "x[i, j] + f32(fma(ids[i], 2, 1))", "fma of i64, i64 and i64 as i64"),
        ("exp(x[i, j])", "x[i]", "1 indices into 'x', which has 2 dims"),
        ("exp(x[i, j])", "x[i, j + 1]", "index 1 into 'x' leaves 0..8"),
        ("exp(x[i, j])", "x[i - 1, j]", "index 0 into 'x' leaves 0..N"),
        ("t[i, j] = exp", "t[i, j + 1] = exp", "index 1 into 't' leaves 0..8"),
        ("exp(x[i, j])", "y[i, j]", "it reads 'y' before any kernel writes it"),
        ("    t[i, j] = exp(x[i, j])\n", "    t[i, j] = exp(x[i, j])\n    x[i, j] = 0\n", "it writes 'x'"),
        ("    y[i, j] = e[j] for j\n", "    t[i, j] = e[j] for j\n", "no kernel writes output 'y'"),
        ("out 0 y", "out 0 z: f32[N] out 0 y", "has the number of another input or output"),
        ("let e[j]: f32 = t[i, j] / s", "let e[j]: f32 = f32(isnan(t[i, j]) and not(t[i, j] + s))", "Not of f32"),
        ("sum(j)", "sum(j, i)", "runs along axis 'i', which is parallel"),
        ("sum(j)", "sum(j, j)", "runs along axis 'j' twice"),
        ("sum(j)", "sum()", "axis 'j' is used where no statement runs along it"),
        ("y[i, j] = e[j] for j", "y[i, j] = e[j]", "axis 'j' is used where no statement runs along it"),
        ("axes j < 8\n", "axes j < 8\n    local s: f32\n    let q: f32 = s\n", "local 's' is read before it is assigned"),
        ("row { vector: j }", "map { vector: j }", "the vector axis is not parallel"),
        ("row { vector: j }", "row { vector: i }", "the vector axis is parallel or missing"),
        ("    schedule row { vector: j }", "    %0 = t[i, j]\n    schedule contract { batch: [], m: [], n: [i], k: [j], a: %0, b: %0 }", ""),
        ("    schedule row { vector: j }", "    %0 = t[i, j]\n    schedule contract { batch: [], m: [], n: [], k: [j], a: %0, b: %0 }", "each once"),
    ];
    for (from, to, want) in cases {
        let text = SOUND.replacen(from, to, 1);
        assert_ne!(text, SOUND, "{from}");
        let p = parse_program(&text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let found: Vec<String> = p.verify().iter().map(|d| d.to_string()).collect();
        assert_eq!(want.is_empty(), found.is_empty(), "{found:?}\n{text}");
        assert!(want.is_empty() || found.iter().any(|f| f.contains(want)), "{found:?} do not say '{want}'\n{text}");
    }
}

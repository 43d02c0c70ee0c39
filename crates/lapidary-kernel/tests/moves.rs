//! Each kind of kernel that only moves elements, and what is none.

use lapidary_kernel::Move;
use lapidary_kernel::text::parse_program;

/// What the kernel `k { … }` on `x: f32[N, 32]` is.
fn of(target: &str, name: &str, body: &str) -> Option<Move> {
    let text = format!(
        "program p {{\n  in 0 x: f32[N, 32]\n  in 1 ids: i64[N]\n  {target}\n  out 0 y: f32[N, 32]\n\n  kernel {name} {{\n{body}\n  }}\n}}\n"
    );
    let p = parse_program(&text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}"));
    p.moves(&p.kernels[0])
}

#[test]
fn what_an_index_could_say_is_waste() {
    let transposed = "par j < 32, i < N\nt[j, i] = x[i, j]";
    assert_eq!(of("temp t: f32[32, N]", "k", transposed), Some(Move::View));
    assert_eq!(of("temp t: f32[N, 8]", "k", "par i < N, j < 8\nt[i, j] = x[i, j + 4]"), Some(Move::View));
    assert_eq!(of("temp t: f32[N, 3, 32]", "k", "par i < N, r < 3, j < 32\nt[i, r, j] = x[i, j]"), Some(Move::View));
    assert_eq!(of("temp t: f32[N, 34]", "k", "par i < N, j < 34\nt[i, j] = x[i, j - 1 else 0]"), Some(Move::Padding));
    let windows = "par i < N, j < 30, p < 3\nt[i, j, p] = x[i, j + p]";
    assert_eq!(of("temp t: f32[N, 30, 3]", "k", windows), Some(Move::Window));
    // A name excuses neither windows nor a margin.
    assert_eq!(of("temp t: f32[N, 30, 3]", "\"pack:x\"", windows), Some(Move::Window));
    assert_eq!(of("temp t: f32[N, 34]", "\"layout:x\"", "par i < N, j < 34\nt[i, j] = x[i, j - 1 else 0]"), Some(Move::Padding));
    assert!(Move::View.is_waste() && Move::Padding.is_waste() && Move::Window.is_waste());
}

#[test]
fn what_has_a_reason_is_named() {
    assert_eq!(of("temp t: f32[32, N]", "\"layout:x\"", "par j < 32, i < N\nt[j, i] = x[i, j]"), Some(Move::Layout));
    let panels = "par p < ((N + 15) floordiv 16), j < 32, l < 16\nt[p, j, l] = x[p*16 + l, j else 0]";
    assert_eq!(of("temp t: f32[((N + 15) floordiv 16), 32, 16]", "\"pack:x\"", panels), Some(Move::Layout));
    // Heads of 8 columns, each padded to a panel of 16: the guard keeps the panel within its head.
    let heads = "par i < N, h < 4, l < 16\nt[i, h, l] = x[i, h*8 + l else 0 when 0 <= l < 8]";
    assert_eq!(of("temp t: f32[N, 4, 16]", "\"pack:x\"", heads), Some(Move::Layout));
    assert_eq!(of("", "k", "par i < N, j < 32\ny[i, j] = x[i, 31 - j]"), Some(Move::Output));
    assert_eq!(of("temp t: f32[N, 32]", "k", "par i < N, j < 32\n%0 = ids[i]\nt[i, j] = x[%0, j]"), Some(Move::Gather));
    let pieces = "par i < N, j < 32\nt[i, j] = x[i, j]\nt[i, j + 32] = x[i, j]";
    assert_eq!(of("temp t: f32[N, 64]", "k", pieces), Some(Move::Piece));
    assert!(!Move::Layout.is_waste() && !Move::Piece.is_waste() && !Move::Gather.is_waste() && !Move::Output.is_waste());
}

#[test]
fn what_computes_moves_nothing() {
    assert_eq!(of("temp t: f32[N, 32]", "k", "par i < N, j < 32\nt[i, j] = exp(x[i, j])"), None);
    assert_eq!(of("temp t: f32[N]", "k", "par i < N\naxes j < 32\nt0 = sum(j): f32 x[i, j]\nt[i] = t0"), None);
    // Positions alone: nothing is read.
    assert_eq!(of("temp t: i64[N]", "k", "par i < N\nt[i] = [i]"), None);
}

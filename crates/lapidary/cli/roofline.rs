//! The roofline of a model as a picture: each kernel a point, operations a byte against operations a second, below what the machine can do
//! (Williams, Waterman, Patterson: Roofline, CACM 52(4), 2009).

use super::profile::{Counted, Kernel, Limit, shortened};
use super::table::ms;
use lapidary::roofs::Roofs;
use std::fmt::Write;

pub struct Roofline<'a> {
    pub model: &'a str,
    pub cpu: &'a str,
    pub roofs: &'a Roofs,
    /// The slowest first.
    pub kernels: &'a [Kernel],
}

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 600.0;
/// Where the plot lies: left, top, right, bottom.
const PLOT: [f64; 4] = [64.0, 76.0, 864.0, 520.0];
/// The radius of a kernel that takes all the time.
const RADIUS: f64 = 56.0;
const RADIUS_MIN: f64 = 2.0;
/// Kernels with a label, as far as there is room.
const LABELLED: usize = 8;
/// The mean width of a character of labels, and their height.
const CHARACTER: [f64; 2] = [6.0, 13.0];
/// What lies below is drawn at the border: decades below the highest roof, and octaves of operations a byte.
const DECADES: i32 = 5;
const OCTAVES: [f64; 2] = [-6.0, 12.0];

const STYLE: &str = "\
:root { --ink: #1c2126; --soft: #66707a; --line: #e3e7eb; --paper: #ffffff; --operations: #2a6fb0; --bytes: #b3541e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ebee; --soft: #98a2ac; --line: #2a3138; --paper: #14181c; --operations: #6cb1ee; --bytes: #f0935b; }
}
.paper { fill: var(--paper); }
text { font: 11px system-ui, sans-serif; fill: var(--ink); }
.title { font-size: 15px; font-weight: 600; }
.soft { fill: var(--soft); }
.halo { paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; }
.grid { stroke: var(--line); }
.roof { stroke: var(--ink); stroke-width: 1.5; fill: none; }
.unused { stroke: var(--soft); stroke-width: 0.75; stroke-dasharray: 4 3; }
circle { fill-opacity: 0.45; }
.operations { fill: var(--operations); stroke: var(--operations); }
.bytes { fill: var(--bytes); stroke: var(--bytes); }
";

/// The picture; the same figures give the same text.
pub fn svg(r: &Roofline) -> String {
    let total: f64 = r.kernels.iter().map(|k| k.ms).sum();
    let points: Vec<Point> = r.kernels.iter().filter_map(|k| Point::of(k, total)).collect();
    let scale = Scale::around(r.roofs, &points);
    let mut out = Picture::default();
    let _ = writeln!(
        out.text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\n\
         <title>Roofline of {}</title>\n<style>\n{STYLE}</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>",
        escaped(r.model)
    );
    out.label("title", PLOT[0], 26.0, "start", &format!("Roofline of {}", r.model));
    let threads = if r.roofs.threads == 1 { "1 thread".into() } else { format!("{} threads", r.roofs.threads) };
    out.label("soft", PLOT[0], 46.0, "start", &format!("{}, {threads}; kernels take {} ms a run", r.cpu, ms(total)));
    out.grid(&scale);
    out.roofs(r.roofs, &scale, &points);
    for p in &points {
        let (x, y) = scale.at(p.intensity(), p.gops());
        let _ = writeln!(out.text, "<circle class=\"{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{:.1}\">", p.class(), p.radius());
        let _ = writeln!(out.text, "<title>{}</title></circle>", escaped(&p.tooltip()));
    }
    out.names(&scale, &points);
    out.legend(total, points.iter().map(|p| p.kernel.ms).sum());
    out.text.push_str("</svg>\n");
    out.text
}

/// A kernel that computes.
struct Point<'a> {
    kernel: &'a Kernel,
    work: &'a Counted,
    /// Of all kernels' time.
    share: f64,
}

impl<'a> Point<'a> {
    fn of(kernel: &'a Kernel, total: f64) -> Option<Point<'a>> {
        let work = kernel.work.as_ref()?;
        (work.operations > 0.0 && work.bytes > 0.0).then(|| Point { kernel, work, share: kernel.ms / total })
    }
    /// Operations a byte.
    fn intensity(&self) -> f64 {
        self.work.operations / self.work.bytes
    }
    fn gops(&self) -> f64 {
        self.work.operations / self.kernel.ms / 1e6
    }
    fn radius(&self) -> f64 {
        (RADIUS * self.share.sqrt()).max(RADIUS_MIN)
    }
    fn class(&self) -> &'static str {
        match self.work.limit {
            Limit::Operations => "operations",
            Limit::Bytes => "bytes",
        }
    }
    fn tooltip(&self) -> String {
        let (k, w) = (self.kernel, self.work);
        format!(
            "{}\n{}\n{} ms, {:.1} % of the time\n{:.1} Gop/s, {:.1} GB/s\nfloor: {:.0} % of that time, by {}",
            k.name,
            shortened(&k.nodes, 200),
            ms(k.ms),
            100.0 * self.share,
            self.gops(),
            w.bytes / k.ms / 1e6,
            w.floor_percent,
            self.class()
        )
    }
}

/// From operations a byte and Gop/s to places: octaves to the right, decades upwards.
struct Scale {
    octaves: [f64; 2],
    decades: [f64; 2],
}

impl Scale {
    fn around(roofs: &Roofs, points: &[Point]) -> Scale {
        let peaks = || roofs.peaks.iter().map(|p| p.operations_per_second);
        let highest = peaks().fold(1e9, f64::max);
        // Where the lowest diagonal meets the highest roof.
        let slowest = roofs.levels.iter().map(|l| l.bytes_per_second).fold(f64::INFINITY, f64::min);
        let ridge = if slowest.is_finite() && slowest > 0.0 { (highest / slowest).log2() } else { 0.0 };
        let (mut left, mut right) = (-2f64, ridge + 1.0);
        let mut bottom = (highest / 1e9).log10() - 2.0;
        for p in points {
            left = left.min(p.intensity().log2() - 0.5);
            right = right.max(p.intensity().log2() + 1.0);
            bottom = bottom.min(p.gops().log10() - 0.2);
        }
        let top = (1.6 * highest / 1e9).log10();
        Scale {
            octaves: [left.max(OCTAVES[0]).floor(), right.clamp(OCTAVES[0] + 1.0, OCTAVES[1]).ceil()],
            decades: [bottom.max(top - f64::from(DECADES)), top],
        }
    }
    /// The place of a point; of one beyond the scale the nearest on the border.
    fn at(&self, intensity: f64, gops: f64) -> (f64, f64) {
        let along = |v: f64, [low, high]: [f64; 2]| ((v - low) / (high - low)).clamp(0.0, 1.0);
        let [left, top, right, bottom] = PLOT;
        let (x, y) = (along(intensity.log2(), self.octaves), along(gops.log10(), self.decades));
        (left + x * (right - left), bottom - y * (bottom - top))
    }
}

/// A rectangle that text or a point takes: left, top, right, bottom.
type Taken = [f64; 4];

fn overlap(a: &Taken, b: &Taken) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

#[derive(Default)]
struct Picture {
    text: String,
    taken: Vec<Taken>,
}

impl Picture {
    fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let _ = writeln!(self.text, "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
    }
    fn label(&mut self, class: &str, x: f64, y: f64, anchor: &str, text: &str) {
        let _ = writeln!(self.text, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(text));
    }
    /// Lines at powers of two, and at 1, 2 and 5 of each decade.
    fn grid(&mut self, s: &Scale) {
        let [left, top, right, bottom] = PLOT;
        for octave in s.octaves[0] as i32..=s.octaves[1] as i32 {
            let (x, _) = s.at(2f64.powi(octave), 1.0);
            self.line("grid", (x, top), (x, bottom));
            let text = if octave < 0 { format!("1/{}", 1 << -octave) } else { (1 << octave).to_string() };
            self.label("soft", x, bottom + 16.0, "middle", &text);
        }
        for decade in s.decades[0].floor() as i32..=s.decades[1] as i32 {
            for step in [1.0, 2.0, 5.0] {
                let gops = step * 10f64.powi(decade);
                if gops.log10() < s.decades[0] || gops.log10() > s.decades[1] {
                    continue;
                }
                let (_, y) = s.at(1.0, gops);
                self.line("grid", (left, y), (right, y));
                self.label("soft", left - 8.0, y + 4.0, "end", &gops.to_string());
            }
        }
        self.label("soft", right, bottom + 34.0, "end", "operations a byte");
        self.label("soft", left - 8.0, top - 10.0, "end", "Gop/s");
    }
    /// Diagonals for what can be read, up to the highest roof; horizontals for what can be computed, from where the fastest level allows it.
    fn roofs(&mut self, roofs: &Roofs, s: &Scale, points: &[Point]) {
        let highest = roofs.peaks.iter().map(|p| p.operations_per_second).fold(0.0, f64::max);
        let fastest = roofs.levels.iter().map(|l| l.bytes_per_second).fold(0.0, f64::max);
        let (left, right) = (2f64.powf(s.octaves[0]), 2f64.powf(s.octaves[1]));
        let floor = 1e9 * 10f64.powf(s.decades[0]);
        for l in roofs.levels.iter().filter(|l| l.bytes_per_second > 0.0) {
            let rate = l.bytes_per_second;
            let from = left.max(floor / rate);
            let start = s.at(from, from * rate / 1e9);
            let end = s.at(highest / rate, highest / 1e9);
            self.line("roof", start, end);
            let text = format!("{} {:.0} GB/s", l.name, rate / 1e9);
            let slope = (end.1 - start.1) / (end.0 - start.0);
            // A third of the way up, above the line.
            let (x, y) = (start.0 + 0.3 * (end.0 - start.0), start.1 + 0.3 * (end.1 - start.1));
            let _ = writeln!(
                self.text,
                "<text class=\"halo\" transform=\"translate({x:.1} {y:.1}) rotate({:.1})\" y=\"-5\">{text}</text>",
                slope.atan().to_degrees()
            );
            let width = CHARACTER[0] * text.len() as f64 / (1.0 + slope * slope).sqrt();
            self.taken.push([x, y + slope * width - CHARACTER[1], x + width, y]);
        }
        for p in roofs.peaks.iter().filter(|p| p.operations_per_second > 0.0 && fastest > 0.0) {
            let rate = p.operations_per_second;
            let used = points.iter().any(|point| point.work.factors == p.factors);
            let (start, end) = (s.at((rate / fastest).max(left), rate / 1e9), s.at(right, rate / 1e9));
            self.line(if used { "roof" } else { "roof unused" }, start, end);
            let text = format!("{} {:.0} Gop/s", p.name, rate / 1e9);
            self.label("halo", end.0 - 4.0, end.1 - 5.0, "end", &text);
            self.taken.push([end.0 - 4.0 - CHARACTER[0] * text.len() as f64, end.1 - 5.0 - CHARACTER[1], end.0, end.1]);
        }
    }
    /// Names of the slowest kernels, where they hide no other text; beside, above or below their points.
    fn names(&mut self, s: &Scale, points: &[Point]) {
        let places: Vec<(f64, f64, f64)> = points.iter().map(|p| (s.at(p.intensity(), p.gops()), p.radius())).map(|((x, y), r)| (x, y, r)).collect();
        for (p, (x, y, r)) in points.iter().zip(&places).take(LABELLED) {
            let node = p.kernel.nodes.split(',').next().unwrap_or_default();
            let text = format!("{} {}, {:.0} %", p.kernel.kind(), shortened(node, 28), 100.0 * p.share);
            let (width, [_, height]) = (CHARACTER[0] * text.chars().count() as f64, CHARACTER);
            let around = [
                (x + r + 4.0, y + 4.0),
                (x - r - 4.0 - width, y + 4.0),
                (x - width / 2.0, y - r - 5.0),
                (x - width / 2.0, y + r + height),
                (x + 0.7 * r + 4.0, y - 0.7 * r - 4.0),
                (x + 0.7 * r + 4.0, y + 0.7 * r + height - 2.0),
            ];
            let boxes = around.map(|(x, y)| [x, y - height + 2.0, x + width, y + 3.0]);
            let inside = |b: &&Taken| b[0] >= PLOT[0] && b[1] >= PLOT[1] && b[2] <= PLOT[2] && b[3] <= PLOT[3];
            let free = |b: &&Taken| !self.taken.iter().any(|t| overlap(t, b));
            let clear = |b: &&Taken| !places.iter().any(|(px, py, pr)| overlap(&[px - pr, py - pr, px + pr, py + pr], b));
            let found = boxes.iter().filter(inside).filter(free).find(clear).or_else(|| boxes.iter().filter(inside).find(free));
            if let Some(&b) = found {
                self.label("halo", b[0], b[3] - 3.0, "start", &text);
                self.taken.push(b);
            }
        }
    }
    fn legend(&mut self, total: f64, shown: f64) {
        let y = HEIGHT - 30.0;
        for (x, class, text) in [(PLOT[0], "operations", "limited by operations"), (PLOT[0] + 150.0, "bytes", "limited by bytes")] {
            let _ = writeln!(self.text, "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"6\"/>", x + 6.0, y - 4.0);
            self.label("soft", x + 18.0, y, "start", text);
        }
        self.label("soft", PLOT[0] + 270.0, y, "start", "areas are shares of the time; dashed roofs are those of no kernel here");
        if total - shown > 0.0005 * total {
            let text = format!("kernels that only move data, {:.1} % of the time, are not shown", 100.0 * (total - shown) / total);
            self.label("soft", PLOT[0], y + 18.0, "start", &text);
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapidary::roofs::{Level, Peak};
    use lapidary_kernel::Factors;

    fn roofs() -> Roofs {
        let peak = |factors, name, gops: f64| Peak { factors, name, operations_per_second: gops * 1e9 };
        let level = |name, capacity_bytes, gbps: f64| Level { name, capacity_bytes, bytes_per_second: gbps * 1e9 };
        Roofs {
            threads: 2,
            peaks: vec![peak(Factors::F32, "f32", 500.0), peak(Factors::Bf16, "bf16", 1000.0), peak(Factors::Codes, "8-bit", 2000.0)],
            levels: vec![level("L2", Some(2 << 20), 400.0), level("L3", Some(32 << 20), 180.0), level("DRAM", None, 40.0)],
        }
    }

    fn kernel(name: &str, ms: f64, mega: [f64; 2], floor_percent: f64, limit: Limit) -> Kernel {
        let [operations, bytes] = mega.map(|v| v * 1e6);
        let work = Counted { operations, factors: Factors::F32, bytes, floor_ms: ms * floor_percent / 100.0, floor_percent, limit };
        Kernel { name: name.into(), nodes: name.split(':').next_back().unwrap_or_default().into(), ms, work: Some(work) }
    }

    fn some() -> Vec<Kernel> {
        vec![
            kernel("Conv:/layer1/conv<1>", 2.0, [900.0, 6.0], 90.0, Limit::Operations),
            kernel("MatMul:/head & tail", 1.0, [20.0, 40.0], 95.0, Limit::Bytes),
            kernel("Softmax:p", 0.1, [4.0, 2.0], 20.0, Limit::Bytes),
            kernel("Transpose:t", 0.05, [0.0, 1.0], 30.0, Limit::Bytes),
        ]
    }

    #[test]
    fn a_picture_of_some_kernels() {
        let roofs = roofs();
        insta::assert_snapshot!(svg(&Roofline { model: "m.onnx", cpu: "A CPU", roofs: &roofs, kernels: &some() }));
    }

    #[test]
    fn strange_figures_stay_on_the_paper() {
        let (roofs, extreme) = (roofs(), [1e-9, 1e-3, 1e9]);
        let mut kernels = vec![];
        for ms in extreme {
            for operations in extreme {
                kernels.extend(extreme.map(|bytes| kernel("A:b", ms, [operations, bytes], 1.0, Limit::Bytes)));
            }
        }
        for kernels in [&kernels[..], &[]] {
            let text = svg(&Roofline { model: "m", cpu: "c", roofs: &roofs, kernels });
            for attribute in [" x=\"", " cx=\"", " x1=\"", " y=\"", " cy=\"", " y2=\""] {
                let numbers = text.split(attribute).skip(1).filter_map(|t| t.split('"').next());
                numbers.for_each(|n| assert!(n.parse::<f64>().is_ok_and(|v| (-5.0..=WIDTH).contains(&v)), "{attribute}{n}"));
            }
        }
    }

    #[test]
    fn labels_do_not_overlap() {
        let (roofs, scale) = (roofs(), Scale { octaves: [-2.0, 12.0], decades: [0.0, 4.0] });
        let kernels: Vec<Kernel> = (0..20).map(|i| kernel("Conv:a", 1.0, [900.0 + f64::from(i), 6.0], 90.0, Limit::Operations)).collect();
        let points: Vec<Point> = kernels.iter().filter_map(|k| Point::of(k, 20.0)).collect();
        let mut picture = Picture::default();
        picture.roofs(&roofs, &scale, &points);
        let before = picture.taken.len();
        picture.names(&scale, &points);
        let labels = &picture.taken[before..];
        assert!(!labels.is_empty());
        for (i, a) in labels.iter().enumerate() {
            assert!(picture.taken[..before + i].iter().all(|b| !overlap(a, b)));
        }
    }
}

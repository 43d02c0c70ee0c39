//! Bands of images. Between convolutions of large images lie tensors that leave the caches of a core. Where one kernel feeds the next and nobody
//! else, both get a leading axis that counts bands of the last one's rows; of what lies between, each band computes just the rows that it
//! needs, those that two bands need twice. So the kernels of such a chain can take turns, see [`crate::strips`].

use crate::fuse::single_store;
use crate::rewrite::{AxisMap, Copier, copy_stmt, shell};
use crate::uses::Uses;
use crate::{schedule, strips};
use lapidary_ir::Dim;
use lapidary_kernel::{Atom, Axis, AxisId, BAND, BufferId, ExprKind, Guard, Index, Kernel, Program, Schedule, Stmt, typical};

/// The dim of rows: images are the first.
const ROWS: usize = 1;
/// Tensors from this size on leave the caches nearest to a core; what lies between the kernels of a band must not.
const NEAR_BYTES: f64 = 1e6;
const BAND_BYTES: f64 = 7e5;
/// Bytes a nanosecond of what has left.
const FAR_PER_NS: f64 = 10.0;
/// Operations a nanosecond of tiles, and of windows.
const TILES_PER_NS: f64 = 110.0;
const WINDOWS_PER_NS: f64 = 60.0;
/// Elements that are copied in a nanosecond, twice.
const COPIES_PER_NS: f64 = 10.0;
/// Rows of a band.
const MOST_ROWS: i64 = 32;
/// What must be gained, in parts of the time of the chain.
const GAIN: f64 = 0.1;

/// Rewrites every chain that gains by it.
pub fn rewrite(p: &mut Program) {
    let uses = Uses::of(p);
    let links: Vec<Option<Link>> = (0..p.kernels.len()).map(|at| link(p, &uses, at)).collect();
    // The chains that gain most together, from the back.
    let n = p.kernels.len();
    let mut best: Vec<(f64, Option<Chain>)> = vec![(0.0, None); n + 1];
    for first in (0..n).rev() {
        let mut choice = (best[first + 1].0, None);
        let joined: Vec<&Link> = links[first..].iter().map_while(Option::as_ref).collect();
        for count in 1..=joined.len() {
            let rest = best[first + count + 1].0;
            if let Some((gain, chain)) = chain(p, &joined[..count], first)
                && gain + rest > choice.0
            {
                choice = (gain + rest, Some(chain));
            }
        }
        best[first] = choice;
    }
    let mut first = 0;
    while first < n {
        first = match best[first].1.take() {
            Some(chain) => chain.apply(p, &links, first),
            None => first + 1,
        };
    }
}

/// How a kernel's rows are read by the next.
struct Link {
    buffer: BufferId,
    /// The axis of the rows where they are written, and that along which they are read.
    from: AxisId,
    to: AxisId,
    /// Row `step·to + low` is the first that is read, `step·to + high` the last.
    step: i64,
    low: i64,
    high: i64,
}

/// How kernel `at` feeds the next, where it feeds nobody else, the next is a sum at the points of images, and it is one, too, or copies an image.
fn link(p: &Program, uses: &Uses, at: usize) -> Option<Link> {
    let (k, next) = (p.kernels.get(at)?, p.kernels.get(at + 1)?);
    let sums = |k: &Kernel| matches!(k.body.first(), Some(Stmt::Reduce { .. })) && k.locals.iter().all(|l| l.axes.is_empty());
    let buffer = strips::between(p, uses, at)?;
    let Some(Stmt::Store { index, guard, axes, .. }) = k.body.last() else { return None };
    let plain = |i: &Index| i.as_const() == Some(0) || i.as_axis().is_some_and(|a| k.is_parallel(a));
    if !(sums(k) || copies(k)) || !sums(next) || !guard.is_empty() || !axes.is_empty() || index.len() <= ROWS || !index.iter().all(plain) {
        return None;
    }
    let from = index[ROWS].as_axis().filter(|a| p.buffer(buffer).dims[ROWS] == *k.extent(*a))?;
    let (mut found, mut low, mut high): (Option<(AxisId, i64)>, i64, i64) = (None, i64::MAX, i64::MIN);
    for e in &next.exprs {
        let ExprKind::Load { buffer: b, index, .. } = &e.kind else { continue };
        if *b != buffer {
            continue;
        }
        let (mut least, mut step) = (index[ROWS].offset().as_const()?, None);
        let mut most = least;
        for (atom, by) in index[ROWS].terms() {
            let (Atom::Axis(a), by) = (atom, by.as_const()?) else { return None };
            if next.is_parallel(*a) {
                step = step.is_none().then_some((*a, by)).filter(|_| by > 0);
                step?;
            } else {
                let reach = by * (next.extent(*a).as_const()? - 1);
                (least, most) = (least + reach.min(0), most + reach.max(0));
            }
        }
        let step = step?;
        if found.is_some_and(|f| f != step) || index.iter().enumerate().any(|(d, i)| d != ROWS && i.mentions(step.0)) {
            return None;
        }
        (found, low, high) = (Some(step), low.min(least), high.max(most));
    }
    let (to, step) = found?;
    Some(Link { buffer, from, to, step, low, high })
}

/// The rows of a kernel that a band computes: `rows` of them from `step·band + low` on.
#[derive(Clone, Copy)]
struct Part {
    axis: AxisId,
    step: i64,
    low: i64,
    rows: i64,
}

/// A chain of kernels, what a band computes of each, and how many bands there are.
#[derive(Clone)]
struct Chain {
    parts: Vec<Part>,
    bands: i64,
}

/// The best bands of the kernels from `first` on that these links join, and the nanoseconds that they save
/// for each image.
fn chain(p: &Program, links: &[&Link], first: usize) -> Option<(f64, Chain)> {
    let kernels = &p.kernels[first..=first + links.len()];
    // What one kernel computes the rows of, the next reads the rows of.
    if links.windows(2).any(|w| w[0].to != w[1].from) {
        return None;
    }
    let last = links.last()?;
    let rows = kernels.last()?.extent(last.to).as_const()?;
    let times = kernels.iter().map(|k| time(p, k)).collect::<Option<Vec<f64>>>()?;
    let all: f64 = times.iter().sum();
    let bytes = |l: &&Link| {
        p.buffer(l.buffer).dims[ROWS..].iter().map(|d| typical::size(d) as f64).product::<f64>() * p.buffer(l.buffer).dtype.bits() as f64 / 8.0
    };
    let gain = |chain: &Chain| {
        let count = chain.bands as f64;
        let part = |i: usize| chain.parts[i].rows as f64 / typical::size(kernels[i].extent(chain.parts[i].axis)) as f64;
        let again: f64 = (0..kernels.len()).map(|i| times[i] * (count * part(i) - 1.0)).sum();
        let held: f64 = (0..links.len()).map(|i| bytes(&links[i]) * part(i)).sum();
        // What a kernel waits for memory: it computes meanwhile.
        let far = |l: Option<&&Link>| l.map(bytes).filter(|b| *b > NEAR_BYTES).unwrap_or(0.0) / FAR_PER_NS;
        let waits = |i: usize| (far(i.checked_sub(1).and_then(|i| links.get(i))) + far(links.get(i)) - times[i]).max(0.0);
        let saved: f64 = (0..kernels.len()).map(waits).sum();
        // Of an odd number of bands one of two threads takes one more.
        let uneven = if count % 2.0 == 0.0 { 0.0 } else { all / count / 2.0 };
        (held <= BAND_BYTES).then_some(saved - again - uneven)
    };
    let heights = (1..=MOST_ROWS).filter(|h| rows % h == 0 && rows / h >= strips::KNOWN_STRIPS);
    let bands = heights.filter_map(|height| {
        let mut parts = vec![Part { axis: last.to, step: height, low: 0, rows: height }];
        for l in links.iter().rev() {
            let next = parts[parts.len() - 1];
            let rows = l.step * (next.rows - 1) + l.high - l.low + 1;
            parts.push(Part { axis: l.from, step: l.step * next.step, low: l.step * next.low + l.low, rows });
        }
        parts.reverse();
        let chain = Chain { parts, bands: rows / height };
        let gain = gain(&chain)?;
        (gain > GAIN * all).then_some((gain, chain))
    });
    bands.max_by(|a, b| a.0.total_cmp(&b.0))
}

/// Whether the kernel puts an image into another layout.
fn copies(k: &Kernel) -> bool {
    single_store(k).is_some_and(|(_, _, value)| matches!(k.expr(value).kind, ExprKind::Load { .. }))
}

/// About how many nanoseconds a kernel computes each image.
fn time(p: &Program, k: &Kernel) -> Option<f64> {
    let per_ns = match schedule::choose(p, k) {
        Schedule::Contract { .. } => TILES_PER_NS,
        Schedule::Window { .. } => WINDOWS_PER_NS,
        Schedule::Map { .. } if copies(k) => COPIES_PER_NS,
        _ => return None,
    };
    let images = k.body.iter().find_map(|s| match s {
        Stmt::Store { index, .. } => index.first()?.as_axis(),
        _ => None,
    });
    let axes = k.axes.iter().enumerate().filter(|(i, _)| images != Some(AxisId(*i as u16)));
    Some(2.0 * axes.map(|(_, a)| typical::size(&a.extent) as f64).product::<f64>() / per_ns)
}

/// The axis of the columns of what a kernel writes, and how many there are.
fn width(k: &Kernel) -> Option<(AxisId, &Dim)> {
    let Some(Stmt::Store { index, .. }) = k.body.last() else { return None };
    let column = index.get(ROWS + 1)?.as_axis()?;
    Some((column, k.extent(column)))
}

impl Chain {
    /// Rewrites the kernels from `first` on; gives the one after them.
    fn apply(&self, p: &mut Program, links: &[Option<Link>], first: usize) -> usize {
        let between: Vec<&Link> = links[first..first + self.parts.len() - 1].iter().flatten().collect();
        for i in 0..self.parts.len() {
            let input = i.checked_sub(1).map(|j| (between[j].buffer, self.parts[j]));
            let output = between.get(i).map(|l| l.buffer);
            p.kernels[first + i] = self.banded(&p.kernels[first + i], self.parts[i], input, output);
        }
        for (l, part) in between.iter().zip(&self.parts) {
            let dims = &mut p.buffer_mut(l.buffer).dims;
            dims[ROWS] = Dim::from(part.rows);
            dims.insert(0, Dim::from(self.bands));
        }
        first + self.parts.len()
    }
    /// The kernel with an axis of bands, which reads `input` and writes `output` band by band.
    fn banded(&self, k: &Kernel, part: Part, input: Option<(BufferId, Part)>, output: Option<BufferId>) -> Kernel {
        let (band, by_one) = (AxisId(0), |a: AxisId| AxisId(a.0 + 1));
        let row = by_one(part.axis);
        let start = |part: Part| Index::from(band).scale(&Dim::from(part.step)).add_dim(&Dim::from(part.low));
        let at = start(part).add(&row.into());
        let mut map = AxisMap::same(k);
        map.axes[part.axis.0 as usize].extent = Dim::from(part.rows);
        map.axes.insert(0, Axis { name: "band".into(), extent: Dim::from(self.bands) });
        map.parallel += 1;
        map.index = (0..k.axes.len() as u16).map(AxisId).map(|a| if a == part.axis { at.clone() } else { by_one(a).into() }).collect();
        map.list = (0..k.axes.len() as u16).map(|a| vec![by_one(AxisId(a))]).collect();
        let mut new = shell(k, &map);
        new.kernel_mut().name = format!("{BAND}{}", k.name).into();
        let rows = k.extent(part.axis);
        let exists: Guard = match width(k) {
            _ if at.known_within(rows, &|a| new.extent(a)) => Guard::new(),
            // As a condition on points of the image, rows and columns together, which can become one axis.
            Some((column, columns)) => [(at.scale(columns).add(&by_one(column).into()), rows * columns)].into_iter().collect(),
            None => [(at.clone(), rows.clone())].into_iter().collect(),
        };
        let mut copier = Copier::new(k, map.index.clone(), 0);
        for s in &k.body {
            copy_stmt(&mut new, &mut copier, s, &map, &mut |b, mut l| {
                let mentions = |i: &Index| i.mentions(row) || i.mentions(band);
                match input {
                    Some((buffer, rows)) if buffer == l.buffer => {
                        l.index[ROWS] = l.index[ROWS].sub(&start(rows));
                        l.index.insert(0, band.into());
                    }
                    // Rows that do not exist are computed, of anything, and read by nobody.
                    _ if l.index.iter().any(mentions) && !l.guard.iter().any(|(i, _)| mentions(i)) => l.guard.extend(exists.iter().cloned()),
                    _ => {}
                }
                l.keep(b)
            });
        }
        for s in &mut new.kernel_mut().body {
            let Stmt::Store { buffer, index, guard, .. } = s else { continue };
            if output == Some(*buffer) {
                index[ROWS] = row.into();
                index.insert(0, band.into());
            } else {
                guard.extend(exists.iter().cloned());
            }
        }
        new.finish()
    }
}

//! LSTM, GRU and RNN: one hidden size in every gate, in the state, in the results. Directions stay.

use super::shapes::At;
use super::{AxisId, Role};

/// `X [steps, batch, inputs]`, `W [directions, gates · hidden, inputs]`, `R [directions, gates · hidden, hidden]`,
/// `B [directions, 2 · gates · hidden]`; results `Y [steps, directions, batch, hidden]`, `Y_h`, `Y_c [directions, batch, hidden]`.
pub fn link(at: &mut At<'_>) -> Option<()> {
    let (x, w, r) = (at.input(0)?, at.input(1)?, at.input(2)?);
    // Other layouts and peepholes are rare; they keep their sizes.
    if at.int("layout", 0) != 0 || at.has(7) || x.rank() != 3 || w.rank() != 3 || r.rank() != 3 {
        return None;
    }
    let hidden = r.size(2)?;
    let h = at.axis(&r, 2)?;
    at.link(&x, 2, &w, 2);
    at.sum(0, &x, 2, Some((&w, 2)));
    at.role(&w, 2, Role::Columns);
    at.role(&w, 1, Role::Rows);
    at.role(&r, 2, Role::State);
    at.pin(&x, 0, "steps along it");
    let repeat = |at: &mut At<'_>, axis: Option<AxisId>| {
        if let Some(a) = axis {
            (0..at.c.axes[a].lanes).for_each(|l| at.link_lanes(a, l, h, l % hidden, 1));
        }
    };
    let (rows, back) = (at.axis(&w, 1), at.axis(&r, 1));
    repeat(at, rows);
    repeat(at, back);
    let mut directions = vec![(w, 0), (r.clone(), 0)];
    if let Some(b) = at.input(3) {
        let all = at.axis(&b, 1);
        repeat(at, all);
        directions.push((b, 0));
    }
    for slot in [5, 6] {
        if let Some(s) = at.input(slot) {
            at.link(&s, 2, &r, 2);
            at.link_broadcast(&s, 1, &x, 1);
            directions.push((s, 0));
        }
    }
    for o in 0..at.node().outputs().len() {
        let y = at.output(o)?;
        let before = usize::from(o == 0);
        if y.rank() != 3 + before {
            return None;
        }
        at.link(&y, 2 + before, &r, 2);
        at.link(&y, 1 + before, &x, 1);
        if o == 0 {
            at.pin(&y, 0, "steps along it");
        }
        directions.push((y, before));
    }
    directions.iter().for_each(|(s, d)| at.pin(s, *d, "has a size of its own for each direction"));
    Some(())
}

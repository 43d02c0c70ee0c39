use lapidary_ir::{Graph, OpName, Result};
use lapidary_ops::{find, schema};

/// Brings operators that were left in an older form into their newest, now that types are known: whether an old Softmax means the same as
/// a new one, say, depends on the rank of its operand, which a file does not tell.
pub fn lift(graph: &mut Graph) -> Result<()> {
    crate::for_each_graph(graph, &mut |g, _| {
        for id in g.operators() {
            let version = g.node(id).op.version;
            let Some(def) = find(&g.node(id).op).filter(|_| version > 0) else { continue };
            let mut done = true;
            for form in def.forms.iter().rev().filter(|f| f.since > version) {
                if !(form.lift)(g, id)? {
                    done = false;
                    break;
                }
                let op = OpName { version: form.since, ..g.node(id).op.clone() };
                g.node_mut(id).op = op;
            }
            let newest = schema::newest(&g.node(id).op.domain, &g.node(id).op.name).map_or(0, |s| s.since);
            if done && g.node(id).op.is(def.name) && g.node(id).op.version < newest {
                let op = OpName { version: newest, ..g.node(id).op.clone() };
                g.node_mut(id).op = op;
            }
        }
        Ok(())
    })
}

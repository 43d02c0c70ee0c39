//! A model: the graph, and what an ONNX file says around it.

use crate::lifted::Lifted;
use crate::proto::{
    DeviceConfigurationProto, FunctionProto, NodeDeviceConfigurationProto, StringStringEntryProto, TensorAnnotation, TrainingInfoProto, TypeProto,
    ValueInfoProto,
};
use lapidary_ir::{Diagnostic, Graph, Name, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A graph with everything that an ONNX file says around it and that a round trip keeps.
#[derive(Clone, Debug)]
pub struct Model {
    /// What passes work on.
    pub graph: Graph,
    /// The operator sets that the file imports, by domain; the default domain is the empty name. `write_model` writes these unless told
    /// otherwise, whatever version the nodes were lifted to.
    pub opsets: BTreeMap<Name, u32>,
    /// The file's IR version; what is written has the lowest that holds it.
    pub ir_version: u32,
    /// Who made it, what it is.
    pub about: About,
    /// `metadata_props` of the model, in the order of the file.
    pub metadata: Vec<(String, String)>,
    /// Functions that nodes may call, kept as they stand in the file. See [`crate::expand_functions`].
    pub functions: Vec<FunctionProto>,
    /// Training information, kept unread.
    pub training: Vec<TrainingInfoProto>,
    /// Device configurations, kept unread.
    pub devices: Vec<DeviceConfigurationProto>,
    /// Initial values of graph inputs that a caller may leave out (see [`crate::ReadOptions::keep_defaults`]), by input.
    pub defaults: BTreeMap<Name, Arc<Tensor>>,
    /// Whether weights lay outside the file.
    pub external: bool,
    /// The files that they lay in, relative to the model's folder, sorted.
    pub external_files: Vec<String>,
    /// What the reader left out or repaired.
    pub notes: Vec<Diagnostic>,
    /// Calls of overloaded functions: the operator's name in the graph → its name and overload in the file.
    pub(crate) overloads: BTreeMap<(Name, Name), (String, String)>,
    /// Names of dims in the file, to tell them from those made up for nameless dims.
    pub(crate) dim_names: BTreeSet<Name>,
    pub(crate) extras: GraphExtras,
}

/// Who made a model, and what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub producer_name: Option<String>,
    pub producer_version: Option<String>,
    pub domain: Option<String>,
    pub model_version: Option<i64>,
    pub doc: Option<String>,
}

/// What a file says about one graph beyond what [`Graph`] holds, by names; what is said of a value or node that a pass removed goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct GraphExtras {
    pub doc: Option<String>,
    pub metadata: Vec<StringStringEntryProto>,
    pub annotations: Vec<TensorAnnotation>,
    /// Values whose types the file declares although nothing asks for it.
    pub declared: BTreeSet<Name>,
    /// Initializers of the file, so that unused ones are told from leftovers of passes.
    pub initializers: BTreeSet<Name>,
    /// Constants that stood as sparse initializers: `Constant` nodes with a sparse value in the graph.
    pub sparse: BTreeSet<Name>,
    /// Types of inputs and outputs as the file declares them: what inference leaves open, or says in other words, goes out as it came.
    pub ports: BTreeMap<Name, TypeProto>,
    /// Declarations with documentation, properties, denotations or opaque types.
    pub values: BTreeMap<Name, ValueInfoProto>,
    /// Documentation and properties of initializers.
    pub tensors: BTreeMap<Name, TensorExtra>,
    /// By the first output that has a name.
    pub nodes: BTreeMap<Name, NodeExtra>,
    /// Of subgraphs, by the node as above and the attribute.
    pub regions: BTreeMap<(Name, Name), GraphExtras>,
    /// Nodes that lifting changed, by first output.
    pub lifted: BTreeMap<Name, Lifted>,
    /// First outputs of the nodes that lifting added.
    pub made_by_lifting: BTreeSet<Name>,
}

/// What a tensor carries besides its elements.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TensorExtra {
    pub name: Option<String>,
    pub doc: Option<String>,
    pub metadata: Vec<StringStringEntryProto>,
}

/// What a node carries that [`lapidary_ir::Node`] does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NodeExtra {
    pub devices: Vec<NodeDeviceConfigurationProto>,
    pub attr_docs: BTreeMap<Name, String>,
    pub attr_tensors: BTreeMap<Name, TensorExtra>,
}

impl NodeExtra {
    pub fn is_empty(&self) -> bool {
        *self == NodeExtra::default()
    }
}

impl Model {
    /// A model around a graph that no file holds: the newest operator sets, nothing else.
    pub fn new(graph: Graph) -> Model {
        let newest = crate::schemas::newest_opset("").unwrap_or(1);
        Model {
            graph,
            opsets: BTreeMap::from([("".into(), newest)]),
            ir_version: crate::ir_version::NEWEST,
            about: About::default(),
            metadata: vec![],
            functions: vec![],
            training: vec![],
            devices: vec![],
            defaults: BTreeMap::new(),
            external: false,
            external_files: vec![],
            notes: vec![],
            overloads: BTreeMap::new(),
            dim_names: BTreeSet::new(),
            extras: GraphExtras::default(),
        }
    }

    /// Forgets what the file says of the whole graph under keys that begin so.
    pub fn drop_graph_metadata(&mut self, prefix: &str) {
        self.extras.metadata.retain(|p| !p.key.as_deref().is_some_and(|k| k.starts_with(prefix)));
    }

    /// The version of ONNX's default operator set.
    pub fn opset(&self) -> u32 {
        self.opsets.get("").copied().unwrap_or(1)
    }

    /// Raises an operator set to at least `version`, as a pass must whose operators need it. Returns whether that changed anything.
    pub fn raise_opset(&mut self, domain: &str, version: u32) -> bool {
        let now = self.opsets.entry(domain.into()).or_insert(0);
        let raised = *now < version;
        *now = version.max(*now);
        raised
    }
}
